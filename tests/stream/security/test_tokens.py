from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stream.exceptions import SettingsError
from stream.security.tokens import EndpointTokens, FileTokens

SECRET = "correct-horse"


class Endpoint(ThreadingHTTPServer):
    """Gives what it is told to give, and counts."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: tuple[int, bytes, dict[str, str]] = (200, b"", {})
        self.asked = 0
        self.url = f"http://127.0.0.1:{self.server_port}/token"


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked += 1
        code, body, headers = self.server.answer
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_token_is_asked_for_again_shortly_before_it_expires(endpoint: Endpoint) -> None:
    now = 0.0
    tokens = EndpointTokens(endpoint.url, "shop", SECRET, clock=lambda: now)
    endpoint.answer = (200, b'{"access_token": "first", "expires_in": 600}', {})
    assert [tokens.token(), tokens.token()] == ["first", "first"]
    endpoint.answer = (200, b'{"access_token": "second", "expires_in": 10}', {})
    now = 539.0
    assert tokens.token() == "first"
    now = 541.0
    assert tokens.token() == "second"
    now = 545.0
    assert tokens.token() == "second"
    assert endpoint.asked == 2
    now = 547.0
    tokens.token()
    assert endpoint.asked == 3


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        ((401, b'{"error": "invalid_client", "more": "correct-horse"}', {}), "answers 401 (invalid_client)"),
        ((500, b"correct-horse", {}), "answers 500"),
        ((302, b"", {"Location": "/elsewhere"}), "answers 302"),
        ((200, b"correct-horse", {}), "does not answer with a token"),
        ((200, b'{"access_token": 7}', {}), "does not answer with a token"),
        ((200, b"[]", {}), "does not answer with a token"),
    ],
)  # fmt: skip
def test_an_endpoint_that_gives_no_token_is_one_line_without_the_secret(
    answer: tuple[int, bytes, dict[str, str]], line: str, endpoint: Endpoint
) -> None:
    endpoint.answer = answer
    with pytest.raises(SettingsError) as refused:
        EndpointTokens(endpoint.url, "shop", SECRET).token()
    assert str(refused.value).startswith(f"the token endpoint {endpoint.url} {line}: check INTENT_SASL_OAUTH")
    assert SECRET not in str(refused.value)
    assert endpoint.asked == 1


@pytest.mark.parametrize("held", ["", "\n", "two tokens", "a\x01auth=b", "ä"])
def test_a_file_without_a_token_is_named(held: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(held, encoding="utf-8")
    with pytest.raises(SettingsError, match=f"^INTENT_SASL_OAUTH_TOKEN_FILE {path} "):
        FileTokens(path).token()


def test_a_file_is_read_at_each_login(tmp_path: Path) -> None:
    path = tmp_path / "token"
    tokens = FileTokens(path)
    path.write_text("first\n")
    assert tokens.token() == "first"
    path.write_text("second\n")
    assert tokens.token() == "second"

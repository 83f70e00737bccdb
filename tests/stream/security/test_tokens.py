from __future__ import annotations

import asyncio
import base64
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from aiokafka.errors import KafkaConnectionError

from stream.exceptions import SettingsError
from stream.security.tokens import EndpointTokens, FileTokens, expiry
from stream.settings import load_settings

SECRET = "correct-horse"


class Endpoint(ThreadingHTTPServer):
    """Gives what it is told to give, and counts."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: tuple[int, bytes, dict[str, str]] = (200, b"", {})
        self.drips: Iterator[bytes] | None = None
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
        with suppress(OSError):  # who asked has gone
            for piece in [body] if self.server.drips is None else self.server.drips:
                self.wfile.write(piece)
                self.wfile.flush()

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
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
        ((200, b"<!doctype html><p>correct-horse", {"Content-Type": "text/html"}), "does not answer with a token"),
        ((200, b"[" * 500_000, {}), "does not answer with a token"),
        ((200, b'{"access_token": "' + b"x" * 3_000_000 + b'"}', {}), "does not answer with a token"),
        ((200, b'{"access_token": ""}', {}), "does not answer with a token"),
        ((200, b'{"access_token": "a b"}', {}), "does not answer with a token"),
        ((200, b'{"access_token": "a", "expires_in": ' + b"9" * 400 + b"}", {}), "does not answer with a token"),
        ((400, b'{"error": "' + b"correcthorse" * 9 + b'"}', {}), "answers 400: "),
        ((500, b"[" * 500_000, {}), "answers 500"),
        ((200, b"", {"Content-Length": "70"}), "does not answer with a token"),
    ],
)  # fmt: skip
def test_an_endpoint_that_gives_no_token_is_one_line_without_the_secret(
    answer: tuple[int, bytes, dict[str, str]], line: str, endpoint: Endpoint
) -> None:
    endpoint.answer = answer
    with pytest.raises(SettingsError) as refused:
        EndpointTokens(endpoint.url, "shop", SECRET).token()
    assert str(refused.value).startswith(
        f"the token endpoint {endpoint.url} {line.removesuffix(': ')}: check INTENT_SASL"
    )
    assert "\n" not in str(refused.value)
    assert SECRET not in str(refused.value)
    assert endpoint.asked == 1


def test_a_token_is_used_while_it_lives_though_the_endpoint_gives_no_other(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    tokens = EndpointTokens(endpoint.url, "shop", SECRET, clock=lambda: now)
    endpoint.answer = (200, b'{"access_token": "first", "expires_in": 600}', {})
    assert tokens.token() == "first"
    endpoint.answer = (503, b"correct-horse", {})
    for moment in (541.0, 545.0, 552.0, 599.0):
        now = moment
        assert tokens.token() == "first"
    assert endpoint.asked == 4, "not at each login"
    assert len(caplog.messages) == 1
    assert caplog.messages[0] == (
        f"the token endpoint {endpoint.url} answers 503: check INTENT_SASL_OAUTH_TOKEN_ENDPOINT, INTENT_SASL_USERNAME "
        "and INTENT_SASL_PASSWORD; the token before lives for 59 s more"
    )
    now = 610.0
    with pytest.raises(SettingsError, match="answers 503"):
        tokens.token()
    endpoint.answer = (200, b'{"access_token": "second", "expires_in": 600}', {})
    assert tokens.token() == "second"
    assert caplog.messages[1:] == [f"the token endpoint {endpoint.url} gives tokens again"]


@pytest.mark.parametrize("told", ["NaN", "Infinity", "1e999"])
def test_a_life_without_an_end_is_none_that_was_told(told: str, endpoint: Endpoint) -> None:
    now = 0.0
    tokens = EndpointTokens(endpoint.url, "shop", SECRET, clock=lambda: now)
    endpoint.answer = (200, b'{"access_token": "a", "expires_in": %s}' % told.encode(), {})
    tokens.token()
    now = 241.0
    tokens.token()
    assert endpoint.asked == 2


def dripping(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> tuple[EndpointTokens, threading.Event]:
    """Let the endpoint answer byte by byte until the event is set, and its clients wait for less than half a second."""
    monkeypatch.setattr("stream.security.tokens._ANSWER_SECONDS", 0.4)
    done = threading.Event()
    endpoint.drips = iter(lambda: b" " * (not done.wait(0.05)), b"")
    return EndpointTokens(endpoint.url, "shop", SECRET), done


def test_an_endpoint_that_drips_or_speaks_something_else_is_not_waited_for_for_ever(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, done = dripping(endpoint, monkeypatch)
    refused: list[str] = []

    def ask() -> None:
        with pytest.raises(SettingsError) as none:
            tokens.token()
        refused.append(str(none.value))

    clients = [threading.Thread(target=ask) for _ in range(3)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    told = f"the token endpoint {endpoint.url} has not answered within 0 s: check INTENT_SASL_OAUTH_TOKEN_ENDPOINT"
    assert (refused, endpoint.asked) == ([told] * 3, 1), "they wait together"
    done.set()
    with socket.create_server(("127.0.0.1", 0)) as other:
        url = f"http://127.0.0.1:{other.getsockname()[1]}/token"

        def answer() -> None:
            with other.accept()[0] as client:
                client.sendall(f"{SECRET}\r\n".encode() * 3 + client.recv(65_536))

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(SettingsError) as garbled:
            EndpointTokens(url, "shop", SECRET).token()
        thread.join()
    told = f"the token endpoint {url} does not speak HTTP: check INTENT_SASL_OAUTH_TOKEN_ENDPOINT"
    assert str(garbled.value) == told


def test_an_endpoint_that_is_still_being_asked_is_not_asked_again(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Headers drip, which no limit of a read ends."""
    monkeypatch.setattr("stream.security.tokens._ANSWER_SECONDS", 0.4)
    done, asked = threading.Event(), 0

    def drip(server: socket.socket) -> None:
        nonlocal asked
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                asked += 1
                with connection:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                    while not done.wait(0.05):
                        connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server,))
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/token"
        tokens = EndpointTokens(url, "shop", SECRET)
        told = (
            f"^the token endpoint {url} has not answered within 0 s: check INTENT_SASL_OAUTH_TOKEN_ENDPOINT$"
        )
        for _ in range(3):
            with pytest.raises(SettingsError, match=told):
                tokens.token()
        assert asked == 1
        done.set()
        assert tokens._asking is not None
        tokens._asking.join()
        with pytest.raises(SettingsError, match=f"^the token endpoint {url} "):
            tokens.token()
        assert asked == 2, "what has ended is asked again"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_body_that_drips_is_read_no_longer_than_somebody_waits(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, done = dripping(endpoint, monkeypatch)
    with pytest.raises(SettingsError, match="has not answered"):
        tokens.token()
    assert tokens._asking is not None
    tokens._asking.join(30)
    assert not tokens._asking.is_alive()
    done.set()


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param(b'{"exp": %s}' % (b"9" * 400), id="no float"),
        pytest.param(b'{"exp": %s}' % (b"9" * 5000), id="no integer"),
        pytest.param(b'{"exp": -1e300}', id="on no calendar"),
        pytest.param(b'{"exp": NaN}', id="no number"),
        pytest.param(b"[" * 100_000, id="nested too deeply"),
        pytest.param(b"\xff", id="not UTF-8"),
    ],
)
def test_a_token_that_says_no_moment_has_no_expiry(claims: bytes) -> None:
    assert expiry(f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.") is None


@pytest.mark.parametrize("held", ["", "\n", "two tokens", "a\x01auth=b", "ä"])
def test_a_file_without_a_token_is_named(held: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(held, encoding="utf-8")
    with pytest.raises(SettingsError, match=f"^INTENT_SASL_OAUTH_TOKEN_FILE {path} "):
        FileTokens(path).token()


def test_a_file_that_is_gone_is_told_once_with_its_setting_while_clients_try_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "token"
    settings = load_settings(
        security_protocol="SASL_PLAINTEXT", sasl_mechanism="OAUTHBEARER", sasl_oauth_token_file=path
    )
    clients = [settings.aiokafka_security()["sasl_oauth_token_provider"] for _ in range(2)]

    def log_in() -> list[str]:
        return [asyncio.run(client.token()) for client in clients]

    with pytest.raises(KafkaConnectionError, match="No such file"):
        log_in()
    assert caplog.messages == [], "the first login ends with its error"
    path.write_text("first")
    assert log_in() == ["first", "first"]
    path.unlink()
    for client in clients:
        with pytest.raises(KafkaConnectionError):
            asyncio.run(client.token())
    assert caplog.messages == [
        f"INTENT_SASL_OAUTH_TOKEN_FILE {path} cannot be read (No such file or directory): name a file with a token; "
        "until then nobody can log in to Kafka again"
    ]
    path.write_text("second")
    assert log_in() == ["second", "second"]
    assert caplog.messages[1:] == [f"INTENT_SASL_OAUTH_TOKEN_FILE {path} holds a token again"]


def test_a_file_is_read_at_each_login(tmp_path: Path) -> None:
    path = tmp_path / "token"
    tokens = FileTokens(path)
    path.write_text("first\n")
    assert tokens.token() == "first"
    path.write_text("second\n")
    assert tokens.token() == "second"

"""What a client is told of things that are no broker, or not yet one."""

from __future__ import annotations

import base64
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stream.addresses import Address
from stream.exceptions import BrokerUnavailable
from stream.kafka.diagnosis import _Conversation, check_access, unavailable
from stream.security.tokens import FileTokens, for_kafka_python


@contextmanager
def listening(answer: bytes | None) -> Iterator[str]:
    """Answer what comes with these bytes, or hang up at once; yield the address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    if answer is not None:
                        connection.recv(4096)
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_proxy_whose_broker_is_starting_refuses_nobody() -> None:
    with listening(None) as broker:
        check_access(broker, {})
        assert str(unavailable(broker, {})) == (
            f"Kafka at {broker} hangs up on a client that comes by PLAINTEXT: if it is starting, try again; else set "
            "INTENT_SECURITY_PROTOCOL to what this port of the broker wants"
        )


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="a web server"),
        pytest.param(b"\x00\x00\x00\x05\x00\x00\x00\x01\x00", id="half an answer"),
        pytest.param(b"\x00\x00\x00\x0c\x00\x00\x00\x01" + 2 * b"\x7f\xff\xff\xff", id="two thousand million brokers"),
    ],
)  # fmt: skip
def test_what_is_no_broker_is_called_so(answer: bytes) -> None:
    with listening(answer) as address, pytest.raises(BrokerUnavailable) as refused:
        check_access(address, {})
    assert str(refused.value) == f"what listens at {address} is no Kafka broker: check INTENT_KAFKA"


@pytest.mark.parametrize("exp", ["-1e300", "9" * 400, "1"])
def test_a_refused_token_is_one_line_whatever_it_says_of_its_end(exp: str, tmp_path: Path) -> None:
    claims = base64.urlsafe_b64encode(f'{{"exp": {exp}}}'.encode()).decode().rstrip("=")
    security = {"sasl_oauth_token_provider": for_kafka_python(FileTokens(tmp_path / "token"))}
    with socket.socket() as connection:
        refused = _Conversation(connection, Address("kafka", 9092), security)._refused("no", f"e30.{claims}.")
    why = "expired at 1970-01-01 00:00:01" if exp == "1" else r"INTENT_SASL_OAUTH_TOKEN_FILE \(no\)"
    assert re.search(why, str(refused))


def test_nobody_who_listens_is_no_refusal_but_unavailable() -> None:
    check_access("127.0.0.1:1", {})
    assert str(unavailable("127.0.0.1:1", {})).startswith("no Kafka broker answers at 127.0.0.1:1: ")

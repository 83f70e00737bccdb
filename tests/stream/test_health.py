"""Health, readiness and metrics over HTTP."""

from __future__ import annotations

import asyncio
import socket
from typing import cast

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from stream.exceptions import ServiceError
from stream.health import health_app, listening, serve_health
from stream.ownership.partitions import Ownership


class Owns:
    """An ownership as far as health looks at it."""

    ready = False
    trouble = "waiting for the consumer group to assign partitions"


async def _ask(owns: Owns, *paths: str, host: str = "127.0.0.1") -> list[httpx.Response]:
    registry = CollectorRegistry()
    Counter("intent_events", "Records", registry=registry).inc(3)
    app = health_app(cast(Ownership, owns), registry)
    async with serve_health(app, host, 0) as port:
        address = f"[{host}]" if ":" in host else host
        async with httpx.AsyncClient(base_url=f"http://{address}:{port}") as client:
            return [await client.get(path) for path in paths]


def ask(owns: Owns, *paths: str) -> list[httpx.Response]:
    return asyncio.run(_ask(owns, *paths))


def test_a_worker_that_waits_is_healthy_but_not_ready_and_says_why() -> None:
    health, ready = ask(Owns(), "/healthz", "/readyz")
    assert (health.status_code, health.json()) == (200, {"status": "ok"})
    assert ready.status_code == 503
    assert ready.json() == {"status": "not ready", "reason": Owns.trouble}


def test_a_worker_that_owns_its_partitions_is_ready() -> None:
    owns = Owns()
    owns.ready = True
    [ready] = ask(owns, "/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})


def test_metrics_are_prometheus_text() -> None:
    [metrics] = ask(Owns(), "/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert "intent_events_total 3.0" in metrics.text.splitlines()


def test_there_are_no_other_pages() -> None:
    assert [answer.status_code for answer in ask(Owns(), "/docs", "/", "/openapi.json/x")] == [404, 404, 404]


def test_a_taken_port_is_an_error_of_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    async def serve(port: int) -> None:
        async with serve_health(health_app(cast(Ownership, Owns()), CollectorRegistry()), "127.0.0.1", port):
            raise AssertionError("two listen on one port")

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServiceError, match=rf"127\.0\.0\.1:{port} .*INTENT_HTTP_PORT") as refused:
            asyncio.run(serve(port))
    assert "\n" not in str(refused.value)
    assert capfd.readouterr() == ("", "")


def test_a_port_that_is_taken_is_named_once_with_the_setting() -> None:
    with listening("127.0.0.1", 0, "INTENT_HTTP_PORT") as first:
        port = first.getsockname()[1]
        with pytest.raises(ServiceError) as raised:
            listening("127.0.0.1", port, "INTENT_SERVE_PORT", backlog=5)
    assert str(raised.value) == (
        f"cannot listen on 127.0.0.1:{port} (Address already in use): set INTENT_SERVE_PORT to a free port"
    )


def test_an_address_that_is_none_is_an_error_of_one_line() -> None:
    with pytest.raises(ServiceError, match="cannot listen on nowhere.invalid:0"):
        asyncio.run(_ask(Owns(), "/healthz", host="nowhere.invalid"))


def test_the_port_is_free_again_afterwards() -> None:
    async def twice() -> list[int]:
        app = health_app(cast(Ownership, Owns()), CollectorRegistry())
        async with serve_health(app, "127.0.0.1", 0) as port:
            pass
        async with serve_health(app, "127.0.0.1", port) as again:
            return [port, again]

    first, second = asyncio.run(twice())
    assert first == second

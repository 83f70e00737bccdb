"""``/healthz``, ``/readyz`` and ``/metrics`` of a worker or a learner, on a port of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Protocol

import uvicorn
from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from stream.exceptions import ServiceError

# Bounds the wait for requests under way when the process stops; part of `stream.running.ending.END_SECONDS`.
_CLOSE_SECONDS = 1


class Readiness(Protocol):
    """Who knows whether the process does its work, and why not."""

    @property
    def ready(self) -> bool:
        """Whether it does."""
        ...

    @property
    def trouble(self) -> str:
        """Why not."""
        ...


class AllReady:
    """Ready when all of several are; the first trouble of them is its trouble."""

    def __init__(self, *parts: Readiness) -> None:
        self._parts = parts

    @property
    def ready(self) -> bool:
        """Whether all are."""
        return all(part.ready for part in self._parts)

    @property
    def trouble(self) -> str:
        """Why not."""
        return next((part.trouble for part in self._parts if not part.ready), "")


def health_app(readiness: Readiness, registry: CollectorRegistry) -> FastAPI:
    """Return the service.

    ``/healthz`` answers as long as the event loop turns; ``/readyz`` is 503 with the reason unless Kafka and Redis
    have lately answered for every assigned partition; ``/metrics`` is Prometheus text.
    """
    app = FastAPI(title="purchase-intent worker", docs_url=None, redoc_url=None)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz(response: Response) -> dict[str, str]:
        if readiness.ready:
            return {"status": "ready"}
        response.status_code = 503
        return {"status": "not ready", "reason": readiness.trouble}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return app


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the worker."""
        yield


@contextlib.asynccontextmanager
async def serve_health(app: FastAPI, host: str, port: int) -> AsyncIterator[int]:
    """Serve ``app`` in this event loop; yields the port (0 asks for a free one).

    Raises
    ------
    ServiceError
        The port is taken.
    """
    config = uvicorn.Config(
        app, host=host, port=port, log_level="warning", access_log=False,
        timeout_graceful_shutdown=_CLOSE_SECONDS, lifespan="off",
    )  # fmt: skip
    server = _Server(config)
    listener = listening(host, port, "INTENT_HTTP_PORT")
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await asyncio.wait({serving}, timeout=2 * _CLOSE_SECONDS)
        listener.close()


def listening(host: str, port: int, setting: str, *, backlog: int | None = None) -> socket.socket:
    """Return a socket that listens.

    Parameters
    ----------
    setting
        Where the port is said; the error names it.

    Raises
    ------
    ServiceError
        The address is not this machine's, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=backlog)
    except OSError as error:
        # `socket` adds the address, which is said here.
        reason = (error.strerror or str(error)).partition(" (while ")[0]
        raise ServiceError(
            f"cannot listen on {host}:{port} ({reason}): set {setting} to a free port"
        ) from None

"""The routes of the live page: the page itself, what it shows, and a customer's timeline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, cast

from starlette.requests import Request
from starlette.responses import Response

from stream.messages.score import Band
from stream.serving import problems
from stream.serving.event_stream import EventStream
from stream.serving.events import check_customer
from stream.serving.gate import make_endless
from stream.serving.keys import Scope
from stream.serving.live.pages import Pages
from stream.serving.live.reader import ALL, LiveReader
from stream.serving.metrics import ServiceMetrics

Handler = Callable[[Request], Awaitable[Response]]

_STREAM: Final = "text/event-stream"


class LiveRoutes:
    """Answers for the page.

    Parameters
    ----------
    live
        What is shown.
    metrics
        Counts open pages.
    """

    def __init__(self, live: LiveReader, metrics: ServiceMetrics) -> None:
        self._live = live
        self._metrics = metrics
        self._pages = Pages()

    def table(self) -> list[tuple[str, str, Scope | None, Handler]]:
        """Return path, method, needed scope and handler of every route."""
        pages: list[tuple[str, str, Scope | None, Handler]] = [
            (path, "GET", None, self.page) for path in self._pages.paths
        ]
        return [
            *pages,
            ("/v1/live", "GET", "read", self.live),
            ("/v1/live/customers/{customer_id:customer}", "GET", "read", self.timeline),
        ]

    async def page(self, request: Request) -> Response:
        """Answer with a file of the page."""
        return self._pages.answer(request.url.path, request.headers.get("if-none-match"))

    async def live(self, request: Request) -> Response:
        """Answer with what is shown now, or with a stream of it."""
        named = frozenset(request.query_params.getlist("band")) or ALL
        if not named <= ALL:
            raise problems.Unprocessable(f"band is {min(named - ALL)[:100]!r}: use medium or high")
        wanted = cast("frozenset[Band]", named)
        if _STREAM not in request.headers.get("accept", ""):
            return Response(await self._live.snapshot(wanted), media_type="application/json")
        make_endless(request)
        pieces = self._live.follow(wanted)
        first = await anext(pieces)
        return EventStream(pieces, first, self._metrics.dropped.inc)

    async def timeline(self, request: Request) -> Response:
        """Answer with a customer's newest scores."""
        customer = check_customer(request.path_params["customer_id"])
        return Response(await self._live.timeline(customer), media_type="application/json")

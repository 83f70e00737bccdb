"""The application: every route, the scope of a key that it needs, and what it answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from prometheus_client import Gauge
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from features.exceptions import SchemaMismatch, StoreError
from features.refusals import Reason
from stream.exceptions import NO_ACTIONS, BrokerError
from stream.formats.registry import format_of
from stream.messages.score import SegmentRef, is_segment, segment_names
from stream.scoring.engine import NoProbability
from stream.serving import openapi, problems
from stream.serving.answers import (
    BatchAnswer,
    BatchQuestion,
    Customer,
    EventOutcome,
    EventsAnswer,
    HypotheticalScore,
    Missing,
)  # fmt: skip
from stream.serving.bodies import check_parameters, flag_of, messages_of, parameter_of, question_of
from stream.serving.event_stream import EventStream
from stream.serving.events import EventSink, check_customer, now_ms
from stream.serving.feed import Feed, Wanted, positions_of
from stream.serving.gate import Gate, check_scope, make_endless, name_route
from stream.serving.keys import FollowedKeys, Scope
from stream.serving.live.reader import LiveReader
from stream.serving.live.routes import LiveRoutes
from stream.serving.lookups import Lookups
from stream.serving.metrics import ServiceMetrics
from stream.serving.quality import MOST_LETTERS, Insight
from stream.serving.readiness import ServiceReadiness
from stream.serving.what_if import WhatIf, WhatIfQuestion
from stream.setting_values import check_format

Handler = Callable[[Request], Awaitable[Response]]

_encode: Final = msgspec.json.Encoder().encode
_batch: Final = msgspec.json.Decoder(BatchQuestion)
_question: Final = msgspec.json.Decoder(WhatIfQuestion)

_BANDS: Final = frozenset({"low", "medium", "high"})
_MOST_FILTERS: Final = 1_000
_DEFAULT_LETTERS: Final = 20
_MIXED: Final = 207


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes need; see each one's own module."""

    lookups: Lookups
    what_if: WhatIf
    events: EventSink
    scores: Feed
    actions: Feed | None
    insight: Insight
    readiness: ServiceReadiness
    metrics: ServiceMetrics
    partitions: int
    form: str
    live: LiveReader
    segments: Callable[[], Sequence[SegmentRef]]  # of the bundle in force


def create_app(parts: Parts, keys: FollowedKeys | None) -> Gate:
    """Return the application, behind its gate."""
    app = FastAPI(title="purchase-intent", docs_url=None, redoc_url=None, openapi_url=None)
    gate = Gate(app, keys, parts.metrics)
    routes = _Routes(parts, gate)
    handlers: dict[str, dict[str, Handler]] = {}
    parameters = openapi.query_parameters()
    for path, method, scope, handler in routes.table() + LiveRoutes(parts.live, parts.metrics).table():
        # A scrape may carry parameters of its own, and is worth more than the word about them.
        free = scope is None or path == "/metrics"
        known = None if free else parameters[path.replace(":customer}", "}"), method]
        handlers.setdefault(path, {})[method] = _guarded(path, scope, handler, known)
    document = _encode(openapi.document(keyed=keys is not None))

    async def described(request: Request) -> Response:
        return Response(document, media_type="application/json")

    handlers["/openapi.json"] = {"GET": _guarded("/openapi.json", None, described)}
    for path, by_method in handlers.items():
        _add(app, path, by_method)
    app.add_exception_handler(Exception, _mistaken)
    app.add_exception_handler(problems.Problem, _problem)
    app.add_exception_handler(HTTPException, _unrouted)
    app.add_exception_handler(StoreError, _unavailable)
    app.add_exception_handler(BrokerError, _unavailable)
    app.add_exception_handler(SchemaMismatch, _failed)
    app.add_exception_handler(NoProbability, _failed)
    return gate


def _require_some(events: Sequence[EventOutcome] | Sequence[HypotheticalScore]) -> None:
    """Raise the problem of a request of which every event was refused; it says what became of each."""
    if events and all(one.outcome == "refused" for one in events):
        why = events[0].detail or events[0].reason
        raise problems.Unprocessable(
            f"every event was refused{', the first one because' if len(events) > 1 else ''}: {why}",
            events=events,
        )


class _CustomerConvertor(Convertor[str]):
    """Takes whatever stands in a path, line ends included: what is an id is decided elsewhere."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("customer", _CustomerConvertor())


class _Routes:
    def __init__(self, parts: Parts, gate: Gate) -> None:
        self._parts = parts
        self._gate = gate

    def table(self) -> list[tuple[str, str, Scope | None, Handler]]:
        """Return path, method, needed scope and handler of every route."""
        return [
            ("/v1/customers:batch", "POST", "read", self.batch),
            ("/v1/customers/{customer_id:customer}", "GET", "read", self.customer),
            ("/v1/customers/{customer_id:customer}", "DELETE", "erase", self.erase),
            ("/v1/what-if", "POST", "read", self.what_if),
            ("/v1/events", "POST", "write", self.events),
            ("/v1/scores", "GET", "read", self.scores),
            ("/v1/actions", "GET", "read", self.actions),
            ("/v1/quality", "GET", "read", self.quality),
            ("/v1/dead-letters", "GET", "admin", self.dead_letters),
            ("/metrics", "GET", "admin", self.metrics),
            ("/healthz", "GET", None, self.healthz),
            ("/readyz", "GET", None, self.readyz),
        ]

    async def customer(self, request: Request) -> Response:
        shown = check_customer(request.path_params["customer_id"])
        customer = await self._parts.live.real(shown)
        [found] = await self._parts.lookups.look([customer], features=flag_of(request, "features", True))
        if isinstance(found, Missing):
            if found.reason == "unreadable":
                raise problems.Failed("the customer's state cannot be read: the log of the workers says why")
            raise problems.NotFound("nothing is known about this customer")
        return _json(found if customer == shown else self._masked(found))

    async def batch(self, request: Request) -> Response:
        question = await question_of(request, _batch)
        customers = [check_customer(one) for one in question.customer_ids]
        self._gate.charge(request, len(customers))
        found = await self._parts.lookups.look(customers, features=question.features)
        known = [one for one in found if isinstance(one, Customer)]
        return _json(BatchAnswer(known, [one for one in found if isinstance(one, Missing)]))

    async def what_if(self, request: Request) -> Response:
        question = await question_of(request, _question)
        shown = check_customer(question.customer_id)
        customer = await self._parts.live.real(shown)
        question = msgspec.structs.replace(question, customer_id=customer)
        answer = await self._parts.what_if.answer(question, now_ms())
        _require_some(answer.events)
        if customer != shown:
            before, after = (one and self._masked(one) for one in (answer.before, answer.after))
            answer = msgspec.structs.replace(answer, before=before, after=after)
        return _json(answer)

    def _masked(self, customer: Customer) -> Customer:
        """Return an answer that does not say whose it is: who asked knew only the masked id."""
        return msgspec.structs.replace(customer, customer_id=self._parts.live.shown(customer.customer_id))

    async def events(self, request: Request) -> Response:
        said = parameter_of(request, "format")
        try:
            form = format_of(check_format(self._parts.form if said is None else said))
        except ValueError as error:
            raise problems.Unprocessable(str(error)) from None
        messages = await messages_of(request)
        self._gate.charge(request, len(messages))
        found = await self._parts.events.take(messages, form, now_ms())
        for one in found:
            self._parts.metrics.events.labels(one.outcome).inc()
        refused = sum(one.outcome == "refused" for one in found)
        _require_some(found)
        accepted = sum(one.outcome == "accepted" for one in found)
        return _json(EventsAnswer(accepted, refused, found), _MIXED if refused else 202)

    async def erase(self, request: Request) -> Response:
        customer = check_customer(request.path_params["customer_id"])
        return _json(await self._parts.events.erase(customer), 202)

    async def scores(self, request: Request) -> Response:
        return await self._stream(request, self._parts.scores)

    async def actions(self, request: Request) -> Response:
        if self._parts.actions is None:
            raise problems.NotFound(NO_ACTIONS)
        return await self._stream(request, self._parts.actions)

    async def _stream(self, request: Request, feed: Feed) -> Response:
        wanted = _wanted(request)
        start = parameter_of(request, "from")
        if start not in (None, "now", "start"):
            raise problems.Unprocessable(f"from is {start[:100]!r}: use now or start")
        last = request.headers.get("last-event-id")
        positions = None if not last else positions_of(last, self._parts.partitions)
        if positions is None and start != "start":  # what Kafka holds may be of bundles of before
            self._require_segments(wanted, feed)
        make_endless(request)
        open_streams = self._parts.metrics.streams.labels(feed.topic)
        pieces = feed.follow(wanted, positions, from_start=start == "start" and positions is None)
        first = await anext(pieces)
        return EventStream(_counted(pieces, open_streams), first, self._parts.metrics.dropped.inc)

    def _require_segments(self, wanted: Wanted, feed: Feed) -> None:
        """Refuse a segment that neither the bundle in force has nor anything that is held."""
        there = self._parts.segments()
        unknown = [one for one in wanted.segments if not any(is_segment(segment, one) for segment in there)]
        if unknown:
            held = feed.segments() | self._parts.live.segments()
            unknown = [one for one in unknown if not any(is_segment(segment, one) for segment in held)]
        if unknown:
            raise problems.Unprocessable(
                f"segment is {unknown[0][:100]!r}: use the number of a segment, or a part of its name: "
                f"{segment_names(there)}"
            )

    async def quality(self, request: Request) -> Response:
        return _json(await self._parts.insight.quality())

    async def dead_letters(self, request: Request) -> Response:
        limit, reason = parameter_of(request, "limit"), parameter_of(request, "reason")
        if reason is not None and reason not in set(Reason):
            raise problems.Unprocessable(f"reason is {reason[:100]!r}: use {', '.join(Reason)}")
        number = _DEFAULT_LETTERS if limit is None else _number(limit, MOST_LETTERS)
        return _json(await self._parts.insight.letters(number, reason))

    async def healthz(self, request: Request) -> Response:
        return _json({"status": "ok"})

    async def readyz(self, request: Request) -> Response:
        await self._parts.readiness.ask()
        trouble = self._parts.readiness.trouble
        if trouble:
            return _json({"status": "not ready", "reason": trouble}, 503)
        return _json({"status": "ready"})

    async def metrics(self, request: Request) -> Response:
        body, media_type = self._parts.metrics.exposed()
        return Response(body, headers={"content-type": media_type})


def _add(app: FastAPI, path: str, handlers: Mapping[str, Handler]) -> None:
    async def handle(request: Request) -> Response:
        return await handlers[request.method](request)

    route = Route(path, handle, methods=list(handlers))
    route.methods = set(handlers)  # Starlette adds HEAD, and a stream has no head without its body
    app.router.routes.append(route)


def _guarded(
    path: str, scope: Scope | None, handler: Handler, parameters: Collection[str] | None = None
) -> Handler:
    """Return a handler that checks scope and names of query parameters; ``None`` lets any parameter pass."""

    async def guarded(request: Request) -> Response:
        name_route(request, path)
        if scope is not None:
            check_scope(request, scope)
        if parameters is not None:
            check_parameters(request, parameters)
        return await handler(request)

    return guarded


def _json(answer: Any, status: int = 200) -> Response:
    return Response(_encode(answer), status, media_type="application/json")


async def _counted(pieces: AsyncGenerator[bytes], gauge: Gauge) -> AsyncGenerator[bytes]:
    gauge.inc()
    try:
        async for piece in pieces:
            yield piece
    finally:
        gauge.dec()
        await pieces.aclose()


def _wanted(request: Request) -> Wanted:
    named = request.query_params.getlist
    bands = frozenset(named("band"))
    if not bands <= _BANDS:
        raise problems.Unprocessable(f"band is {min(bands - _BANDS)[:100]!r}: use low, medium or high")
    if len(request.query_params.multi_items()) > _MOST_FILTERS:
        raise problems.Unprocessable(f"more than {_MOST_FILTERS:,} parameters: follow all, and choose")
    return Wanted(
        bands,
        tuple(named("segment")),
        frozenset(named("action")),
        frozenset(map(check_customer, named("customer"))),
        flag_of(request, "all_traffic", False),
    )


def _number(text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 0 < int(text) <= most):  # noqa: PLR2004
        raise problems.Unprocessable(f"limit is {text[:100]!r}: use a number from 1 to {most}")
    return int(text)


async def _mistaken(request: Request, error: Exception) -> Response:
    """Answer; the gate logs the error."""
    return problems.Failed("an error of this program: its log says more; try again").response()


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, problems.Problem)
    return error.response()


async def _unrouted(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == problems.NotAllowed.status:
        return problems.NotAllowed("see /openapi.json", error.headers).response()
    return problems.NotFound("there is no such path: see /openapi.json").response()


async def _unavailable(request: Request, error: Exception) -> Response:
    return problems.Unavailable(str(error)).response()


async def _failed(request: Request, error: Exception) -> Response:
    return problems.Failed(str(error)).response()

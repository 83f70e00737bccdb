"""Rounds as spans of OpenTelemetry, and their way to a collector (OTLP over HTTP).

Spans wait in memory, 2,048 at most, and a thread of OpenTelemetry's sends them every five seconds. A collector that
does not answer holds nothing up: what has no room is dropped, and the log tells of an outage
(`stream.running.outages`).

The provider is this module's own. Nothing is registered for the whole process, so that libraries which find a global
provider (FastAPI, for health checks) do not begin to trace as well.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import threading
import traceback
import uuid
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from stream.exceptions import SettingsError
from stream.running import outages
from stream.tracing.links import links_of
from stream.tracing.trace import UNTRACED, Described, Stretch, Trace, Tracing

logger = logging.getLogger(__name__)

_PROJECT: Final = "purchase-intent"

# The last spans get this long; part of `stream.running.ending.END_SECONDS`.
_CLOSE_SECONDS: Final = 1.0

# A span names the offsets of up to so many partitions.
_NAMED: Final = 16


class OtlpTracing(Tracing):
    """Traces a share of the rounds.

    Parameters
    ----------
    service
        Name of the service, unless ``OTEL_SERVICE_NAME`` says otherwise.
    share
        Of the rounds, from 0 to 1.
    exporter
        Takes the spans; by default it sends them to where ``OTEL_EXPORTER_OTLP_ENDPOINT`` says.
    chance
        Returns random numbers from 0 to below 1.

    Raises
    ------
    SettingsError
        OpenTelemetry cannot use one of its own variables (``OTEL_...``).
    """

    def __init__(
        self,
        service: str,
        share: float,
        exporter: SpanExporter | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._share = share
        self._chance = chance
        try:
            # The share has decided already: all that begins is recorded.
            self._provider = TracerProvider(ALWAYS_ON, _resource(service), shutdown_on_exit=False)
            self._provider.add_span_processor(BatchSpanProcessor(exporter or _Exporter()))
        except (ValueError, OSError) as error:
            raise SettingsError(f"OpenTelemetry cannot use its settings: {error}; mend OTEL_...") from error
        self._tracer = self._provider.get_tracer(_PROJECT, _version())

    def begin(self, name: str, taken: Iterable[tuple[str, Stretch]]) -> Trace:
        """See `Tracing.begin`."""
        if self._chance() >= self._share:
            return UNTRACED
        return SpanTrace(self._tracer, name, list(taken))

    async def close(self) -> None:
        """See `Tracing.close`."""
        last = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        last.start()
        await asyncio.to_thread(last.join, _CLOSE_SECONDS)
        if last.is_alive():
            logger.info(
                "the collector of spans has not answered for %.0f s: the last are lost", _CLOSE_SECONDS
            )


class SpanTrace(Trace):
    """A round as a span, and each of its steps as a span within it."""

    def __init__(self, tracer: Tracer, name: str, taken: Sequence[tuple[str, Stretch]]) -> None:
        self._tracer = tracer
        self._name = name
        self._span = tracer.start_span(
            name,
            Context(),  # a trace of its own, whatever is active
            SpanKind.CONSUMER,
            _attributes(taken),
            links_of(chain.from_iterable(batch.records for _, batch in taken)),
        )
        self._within = set_span_in_context(self._span, Context())
        self._step: Span | None = None
        self._ended = False

    def step(self, name: str) -> None:
        """See `Trace.step`."""
        self._end_step()
        self._step = self._tracer.start_span(f"{self._name}.{name}", self._within)

    def note(self, result: Described) -> None:
        """See `Trace.note`."""
        self._span.set_attributes(result.described)

    def end(self, error: BaseException | None = None) -> None:
        """See `Trace.end`."""
        if self._ended:
            return
        self._ended = True
        self._end_step(error)
        if error is not None:
            _fail(self._span, error)
        self._span.end()

    def _end_step(self, error: BaseException | None = None) -> None:
        step, self._step = self._step, None
        if step is not None:
            if error is not None:
                step.set_status(Status(StatusCode.ERROR, type(error).__name__))
            step.end()


class _Exporter(OTLPSpanExporter):
    """Tells when the collector has taken spans: an outage is over then."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans; called by OpenTelemetry's thread."""
        result = super().export(spans)
        if result is SpanExportResult.SUCCESS:
            outages.COLLECTOR.answered()
        return result


def _attributes(taken: Sequence[tuple[str, Stretch]]) -> dict[str, str | int | list[str]]:
    """Return what is known of a round when it begins, as OpenTelemetry's conventions for messaging name it."""
    topics = sorted({topic for topic, _ in taken})
    found: dict[str, str | int | list[str]] = {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.batch.message_count": sum(len(batch.records) for _, batch in taken),
        "intent.partitions": len({(topic, batch.partition) for topic, batch in taken}),
    }
    if len(topics) == 1:
        found["messaging.destination.name"] = topics[0]
    if len(taken) <= _NAMED:
        found["intent.offsets"] = [
            f"{topic}-{batch.partition}@{batch.start}..{batch.stop}" for topic, batch in taken
        ]
    return found


def _fail(span: Span, error: BaseException) -> None:
    """Say what kind of error it was and where it was raised; its text may name a customer, and stays here."""
    kind = type(error).__qualname__
    where = "".join(traceback.format_tb(error.__traceback__))
    span.set_attribute("error.type", kind)
    span.add_event("exception", {"exception.type": kind, "exception.stacktrace": where})
    span.set_status(Status(StatusCode.ERROR, kind))


def _resource(service: str) -> Resource:
    """Return who sends the spans; what the environment says of it counts more."""
    ours: dict[str, str | int] = {
        "service.name": service,
        "service.version": _version(),
        "service.instance.id": str(uuid.uuid4()),
        "host.name": socket.gethostname(),
        "process.pid": os.getpid(),
    }
    return Resource.create(Resource(ours).merge(OTELResourceDetector().detect()).attributes)


def _version() -> str:
    try:
        return version(_PROJECT)
    except PackageNotFoundError:  # run from a folder of sources
        return "unknown"

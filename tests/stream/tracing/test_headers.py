"""What a shop's program emits within a span carries that span; OpenTelemetry is never imported for it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from stream.clients import emit
from stream.clients.emit import EventEmitter
from stream.formats.contract import NATIVE
from stream.settings import Settings
from stream.tracing.headers import active_trace
from stream.tracing.links import parent_of

EVENT = {"type": "search", "customer_id": "c-17"}


class Producer:
    """Stands for kafka-python's producer; writes to the list that it is given, as instrumentation does."""

    def __init__(self, **options: Any) -> None:
        self.sent: list[list[tuple[str, bytes]]] = []

    def partitions_for(self, topic: str) -> set[int]:
        return {0}

    def send(self, topic: str, *, headers: list[tuple[str, bytes]], **_: Any) -> Any:
        self.sent.append(list(headers))
        headers.append(("added", b"by instrumentation"))
        return self

    def add_callback(self, done: Any) -> None:
        done(None)

    def add_errback(self, failed: Any) -> None:
        """Nothing fails."""

    def flush(self, timeout: float) -> None:
        """All is sent."""

    def close(self, timeout: float) -> None:
        """Nothing is open."""


def headers_of(monkeypatch: pytest.MonkeyPatch, form: str = "native") -> list[list[tuple[str, bytes]]]:
    """Return the headers of two events, the second emitted within a span."""
    monkeypatch.setattr(emit, "KafkaProducer", Producer)
    with EventEmitter(Settings(_env_file=None, format=form)) as shop:
        shop.emit(**EVENT)
        with TracerProvider(shutdown_on_exit=False).get_tracer("shop").start_as_current_span("page"):
            shop.emit(**EVENT)
    sent: list[list[tuple[str, bytes]]] = shop._producer.sent
    return sent


def test_an_event_that_is_emitted_within_a_span_carries_it(monkeypatch: pytest.MonkeyPatch) -> None:
    alone, [(name, value)] = headers_of(monkeypatch)
    assert alone == []
    assert name == "traceparent"
    context = parent_of(value)
    assert context is not None
    assert context.trace_flags.sampled


def test_the_mark_of_our_own_form_stays_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    alone, within = headers_of(monkeypatch, "segment")
    assert alone == [NATIVE]
    assert [name for name, _ in within] == [NATIVE[0], "traceparent"]


def test_the_state_of_a_trace_goes_along() -> None:
    context = SpanContext(
        0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, is_remote=True,
        trace_flags=TraceFlags(1), trace_state=TraceState([("vendor", "a:1"), ("other", "b")]),
    )  # fmt: skip
    with trace.use_span(NonRecordingSpan(context)):
        assert active_trace() == [
            ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("tracestate", b"vendor=a:1,other=b"),
        ]
    assert active_trace() == []


def ran(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_emitter_never_imports_opentelemetry() -> None:
    told = ran(
        "import sys\n"
        "from stream.clients.emit import EventEmitter\n"
        "from stream.tracing.headers import active_trace\n"
        "print(active_trace(), [name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    assert told == "[] []\n"


def test_a_process_that_does_not_trace_imports_nothing_that_sends_spans() -> None:
    """redis-py imports the part of the SDK that measures wherever it is installed; nothing that traces is."""
    told = ran(
        "import sys\n"
        "import stream.worker, stream.learner\n"
        "from stream.settings import Settings\n"
        "from stream.tracing.trace import tracing_of\n"
        "tracing_of(Settings(_env_file=None), 'intent-worker')\n"
        "sending = ('opentelemetry.exporter', 'opentelemetry.proto', 'stream.tracing.')\n"
        "print(*(name for name in sys.modules if name.startswith(sending)))"
    )
    assert set(told.split()) <= {"stream.tracing.trace", "stream.tracing.headers"}
    assert "stream.tracing.trace" in told


def test_without_the_extra_tracing_is_refused_by_one_line() -> None:
    told = ran(
        "import sys\n"
        "sys.modules['opentelemetry.exporter'] = None\n"
        "from features.extras import MissingExtra\n"
        "from stream.settings import Settings\n"
        "from stream.tracing.trace import tracing_of\n"
        "try:\n"
        "    tracing_of(Settings(_env_file=None, tracing='otlp'), 'intent-worker')\n"
        "except MissingExtra as error:\n"
        "    print(error)"
    )
    assert "is not installed: pip install" in told
    assert "'.[tracing]'" in told

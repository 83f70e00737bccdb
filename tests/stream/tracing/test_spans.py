"""A round is one span, and its steps are spans within it; a round that is not traced costs nothing."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from features.exceptions import StoreError
from features.state import empty
from features.store.memory_store import MemoryStore
from features.store.partition_record import NO_WATERMARK, PartitionRecord
from stream.exceptions import SettingsError
from stream.kafka.batches import RecordBatch
from stream.ownership.cache import StateCache
from stream.ownership.job import StateChanges
from stream.ownership.partition_batch import PartitionBatch
from stream.ownership.rounds import Rounds
from stream.settings import Settings
from stream.tracing.spans import OtlpTracing
from stream.tracing.trace import UNTRACED, Tracing, tracing_of
from tests.stream.fakes import Counted, Read
from tests.stream.records import record

PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MINE = PartitionRecord(1, bytes(16), 0, NO_WATERMARK, 2)


class Job:
    """Saves nothing, and fails on batches of some partitions."""

    def __init__(self, *failing: int, error: Exception | None = None) -> None:
        self.failing = set(failing)
        self.error = error or ValueError("customer c-17 is odd")

    def read(self, batches: Sequence[RecordBatch], watermarks: Sequence[int]) -> Read:
        if self.failing.intersection(batch.partition for batch in batches):
            raise self.error
        return Read(batches, watermarks, [[] for _ in batches], reached=[NO_WATERMARK] * len(batches))

    def score(self, read: Read, loaded: Sequence[Any]) -> Counted:
        return Counted(read.batches, [StateChanges((), empty(0), NO_WATERMARK) for _ in read.batches])

    async def publish(self, counted: Counted) -> None:
        """Nothing is published."""

    async def act(self, partition: int, outbox: bytes) -> None:
        """Nothing is promised."""


class Failing(MemoryStore):
    """A store that takes no saves."""

    def save_many(self, saves: Sequence[Any]) -> list[StoreError | None]:
        return [StoreError("the key of c-17") for _ in saves]


def worked(
    job: Job,
    *partitions: int,
    share: float = 1.0,
    store: MemoryStore | None = None,
    chance: Callable[[], float] = random.random,
) -> list[ReadableSpan]:
    """Have a round of batches worked on, and return the spans that came of it, in the order in which they ended."""
    exporter, states = InMemorySpanExporter(), store or MemoryStore()

    async def work() -> None:
        tracing = OtlpTracing("intent-worker", share, exporter, chance)

        def begin(batches: Sequence[Any]) -> Any:
            return tracing.begin("intent.round", (("events", batch) for batch in batches))

        parts = []
        for partition in partitions:
            states.claim(partition, None, MINE)
            one = record(7, b"{}", b"c-17", partition=partition, headers=[("traceparent", PARENT)])
            parts.append(PartitionBatch(RecordBatch(partition, [one], 7, 9), MINE, StateCache(10)))
        with ThreadPoolExecutor(1) as executor:
            rounds = Rounds(job, states, executor, round_max=10, at_once=1, begin_trace=begin)
            await asyncio.gather(*(rounds.take(part) for part in parts), return_exceptions=True)
        await tracing.close()

    asyncio.run(work())
    return list(exporter.get_finished_spans())


def test_a_round_is_a_span_with_a_span_for_each_step() -> None:
    *steps, whole = worked(Job(), 0, 1)
    assert [step.name for step in steps] == [
        f"intent.round.{step}" for step in ("read", "load", "score", "publish", "save")
    ]
    assert (whole.name, whole.kind, whole.parent) == ("intent.round", SpanKind.CONSUMER, None)
    assert whole.context is not None
    for step in steps:
        assert step.parent is not None
        assert step.parent.span_id == whole.context.span_id
        assert step.status.status_code is StatusCode.UNSET
    assert dict(whole.attributes or {}) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "events",
        "messaging.batch.message_count": 2,
        "intent.partitions": 2,
        "intent.offsets": ("events-0@7..9", "events-1@7..9"),
        "intent.letters": 0,
    }
    [link] = whole.links
    assert f"{link.context.span_id:016x}" == "b7ad6b7169203331", "both records were emitted under it"
    assert whole.status.status_code is StatusCode.UNSET


def test_offsets_are_named_only_where_they_are_few() -> None:
    whole = worked(Job(), *range(9))[-1]
    assert whole.attributes is not None
    assert len(whole.attributes["intent.offsets"]) == 9  # type: ignore[arg-type]
    many = [("events", RecordBatch(partition, [], 0, 1)) for partition in range(500)]
    exporter = InMemorySpanExporter()

    async def trace() -> None:
        tracing = OtlpTracing("intent-worker", 1.0, exporter)
        tracing.begin("intent.round", many).end()
        await tracing.close()

    asyncio.run(trace())
    [span] = exporter.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["intent.partitions"] == 500
    assert "intent.offsets" not in span.attributes


def said(span: ReadableSpan) -> str:
    """Return all that a span says, as text."""
    return span.to_json()


def test_a_failed_round_says_which_error_and_where_and_nothing_of_a_customer() -> None:
    step, whole = worked(Job(0), 0)
    assert (step.name, step.status.status_code) == ("intent.round.read", StatusCode.ERROR)
    assert (whole.status.status_code, whole.status.description) == (StatusCode.ERROR, "ValueError")
    assert whole.attributes is not None
    assert whole.attributes["error.type"] == "ValueError"
    [event] = whole.events
    assert event.attributes is not None
    assert "in read" in str(event.attributes["exception.stacktrace"])
    assert "c-17" not in said(whole) + said(step)


def test_batches_of_a_failed_round_are_traced_again_one_by_one() -> None:
    wholes = [span for span in worked(Job(1), 0, 1) if span.name == "intent.round"]
    found = [
        (dict(span.attributes or {})["intent.offsets"], span.status.status_code is StatusCode.ERROR)
        for span in wholes
    ]
    assert found == [
        (("events-0@7..9", "events-1@7..9"), True),
        (("events-0@7..9",), False),
        (("events-1@7..9",), True),
    ]
    ends = [span.end_time or 0 for span in wholes]
    assert (wholes[1].start_time or 0) >= ends[0], "the first is over before"


def test_a_round_that_is_not_saved_has_failed() -> None:
    *_, save, whole = worked(Job(), 0, store=Failing())
    assert (save.name, save.status.status_code) == ("intent.round.save", StatusCode.ERROR)
    assert whole.status.description == "StoreError"
    assert "c-17" not in said(whole)


def test_the_share_decides_and_nothing_else() -> None:
    chances = iter([0.0, 0.24, 0.25, 0.99])
    spans = [worked(Job(), 0, share=0.25, chance=lambda: next(chances)) for _ in range(4)]
    assert [bool(found) for found in spans] == [True, True, False, False]


class Untouched:
    """Taken batches that nobody may look at."""

    def __iter__(self) -> Any:
        raise AssertionError("somebody looked at a round that is not traced")


def test_nobody_looks_at_a_round_that_is_not_traced() -> None:
    tracing = OtlpTracing("intent-worker", 0.5, InMemorySpanExporter(), lambda: 0.5)
    untouched: Any = Untouched()
    assert tracing.begin("intent.round", untouched) is UNTRACED
    assert Tracing().begin("intent.round", untouched) is UNTRACED
    with pytest.raises(AssertionError):
        OtlpTracing("intent-worker", 1.0, InMemorySpanExporter()).begin("intent.round", untouched)
    asyncio.run(tracing.close())


def test_it_is_off_unless_asked_for() -> None:
    assert type(tracing_of(Settings(_env_file=None), "intent-worker")) is Tracing


def test_the_environment_says_who_sends_the_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test,service.instance.id=w1")
    [*_, whole] = worked(Job(), 0)
    assert {
        name: whole.resource.attributes[name]
        for name in ("service.name", "service.instance.id", "deployment.environment")
    } == {"service.name": "intent-worker", "service.instance.id": "w1", "deployment.environment": "test"}
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop-scorer")
    assert worked(Job(), 0)[-1].resource.attributes["service.name"] == "shop-scorer"


def test_a_variable_that_opentelemetry_cannot_use_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "100000")
    with pytest.raises(SettingsError, match="max_export_batch_size .*mend OTEL_"):
        tracing_of(Settings(_env_file=None, tracing="otlp"), "intent-worker")


class Hanging(SpanExporter):
    """A collector that never answers."""

    def __init__(self) -> None:
        self.asked, self.over = threading.Event(), threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked.set()
        self.over.wait(60)
        return SpanExportResult.FAILURE


def test_a_collector_that_never_answers_holds_the_end_up_for_a_second(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    hanging = Hanging()

    async def end() -> float:
        tracing = OtlpTracing("intent-worker", 1.0, hanging)
        tracing.begin("intent.round", []).end()
        began = time.monotonic()
        await tracing.close()
        return time.monotonic() - began

    took = asyncio.run(end())
    hanging.over.set()
    assert hanging.asked.is_set()
    assert 0.9 < took < 3
    assert "has not answered for 1 s" in caplog.text

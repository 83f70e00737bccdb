"""Tracing: from an event that is emitted within a span to the span of its round, over a real Kafka, Redis and OTLP."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from kafka import KafkaProducer
from opentelemetry.sdk.trace import TracerProvider

from stream.clients.emit import EventEmitter
from stream.logs.archive import archive
from stream.logs.replay import replay
from stream.messages.dead_letter import parse
from stream.running.ending import END_SECONDS
from stream.settings import Settings
from tests.bundles import save_bundle
from tests.integration.collector import Collector, values
from tests.integration.outcome import read_topic, scores_by_event
from tests.integration.shop_logs import simulated
from tests.integration.workers import SLACK_SECONDS, Fleet, until
from tests.stream.formats.test_segment import track

NOW = 1_709_510_400_000
TRACER = TracerProvider(shutdown_on_exit=False).get_tracer("shop")
GOOD = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
STEPS = ("read", "load", "score", "publish", "save")


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that processes of this test send their spans to, at once."""
    with Collector() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.address)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        yield found


@pytest.fixture
def traced(topics: Settings) -> Settings:
    """Settings of processes that trace every round."""
    save_bundle(topics.bundle)
    return topics.model_copy(update={"tracing": "otlp", "tracing_sample": 1.0})


def emit(settings: Settings, *numbers: int, customer: str = "anna") -> None:
    with EventEmitter(settings) as shop:
        for number in numbers:
            shop.emit(
                event_id=f"e{number}", type="view_item", customer_id=customer, event_time=NOW + number * 1000
            )


def traced_records(collector: Collector) -> int:
    """Return how many records the rounds had whose spans have come: at its end a worker waits only 1 s for the last."""
    rounds = [values(one.attributes) for one in collector.spans("intent.round")]
    return sum(int(str(one["messaging.batch.message_count"])) for one in rounds)


def test_an_event_that_is_emitted_within_a_span_is_linked_from_its_round(
    traced: Settings, collector: Collector, tmp_path: Path
) -> None:
    with Fleet(traced, tmp_path) as fleet:
        worker = fleet.ready()
        with TRACER.start_as_current_span("page") as page:
            emit(traced, 1, 2)
        fleet.finish(worker)
        until(lambda: traced_records(collector) == 2, "the spans of both events have come")
        assert worker.stop()[0] == 0
        assert "collector" not in worker.tail()
    rounds = collector.spans("intent.round")
    mine = page.get_span_context()
    linked = [link for one in rounds for link in one.links]
    assert {(link.trace_id.hex(), link.span_id.hex()) for link in linked} == {
        (f"{mine.trace_id:032x}", f"{mine.span_id:016x}")
    }
    assert all(one.trace_id.hex() != f"{mine.trace_id:032x}" for one in rounds), "a link is no parent"
    found = [values(one.attributes) for one in rounds]
    assert sum(int(str(one["intent.scores"])) for one in found) == 2
    assert {str(one["intent.bundle"]) for one in found} == {"random-6"}
    assert {str(one["messaging.destination.name"]) for one in found} == {traced.events_topic}
    for step in STEPS:
        steps = collector.spans(f"intent.round.{step}")
        assert {one.parent_span_id for one in steps} == {one.span_id for one in rounds}, step
    assert collector.services == {"intent-worker"}
    assert "anna" not in collector.everything()


def test_the_learner_traces_what_it_learns_from(
    traced: Settings, collector: Collector, tmp_path: Path
) -> None:
    settings = traced.model_copy(update={"snapshot_interval": timedelta(milliseconds=300)})
    with Fleet(settings, tmp_path) as fleet:
        worker, learner = fleet.ready(), fleet.ready(command="learner")
        log = simulated(400, 3, 1)
        replay(settings, log, close=True)
        fleet.finish(worker)
        views = log["type"].to_pylist().count("view_item")
        until(
            lambda: (
                views
                == sum(
                    int(str(values(one.attributes).get("intent.examples", 0)))
                    for one in collector.spans("intent.learn")
                )
            ),
            f"spans tell of {views} learned examples",
            seconds=200.0,  # in a new checkout the learner compiles first
        )
        assert learner.stop()[0] == worker.stop()[0] == 0
    learned = collector.spans("intent.learn")
    topics = {str(values(one.attributes).get("messaging.destination.name")) for one in learned}
    assert topics <= {settings.examples_topic, settings.outcomes_topic, "None"}
    assert {one.parent_span_id for one in collector.spans("intent.learn.learn")} == {
        one.span_id for one in learned
    }
    assert collector.services == {"intent-worker", "intent-learner"}


def hostile() -> list[list[tuple[str, bytes]]]:
    bad = [b"", b"\xff" * 40, b"0" * 60_000, GOOD.upper(), GOOD + b"-x", b"00-" + b"0" * 32 + GOOD[35:]]
    return [[("traceparent", value), ("tracestate", b"\x00=,,;\xff" * 50)] for value in bad]


def test_hostile_headers_fail_nothing(traced: Settings, collector: Collector, tmp_path: Path) -> None:
    with Fleet(traced, tmp_path) as fleet:
        worker = fleet.ready()
        producer = KafkaProducer(bootstrap_servers=traced.kafka)
        for number, headers in enumerate([*hostile(), [("traceparent", GOOD)] * 3]):
            event = {"event_id": f"e{number}", "type": "search", "customer_id": "anna", "event_time": NOW}
            producer.send(traced.events_topic, json.dumps(event).encode(), b"anna", headers=headers)
        producer.send(traced.events_topic, b"no event", b"anna", headers=[("traceparent", GOOD)])
        producer.close()
        fleet.finish(worker)
        until(lambda: traced_records(collector) == len(hostile()) + 2, "all spans have come")
        assert worker.stop()[0] == 0
        assert " WARNING " not in worker.tail()
    scored = scores_by_event(read_topic(traced, traced.scores_topic))
    assert set(scored) == {f"e{number}" for number in range(len(hostile()) + 1)}
    [letter] = read_topic(traced, traced.dead_letters_topic)
    parsed = parse(letter)
    assert parsed is not None
    assert ("traceparent", GOOD) in parsed.original_headers
    links = [link.span_id.hex() for one in collector.spans("intent.round") for link in one.links]
    assert set(links) == {"b7ad6b7169203331"}


def test_without_a_collector_a_worker_scores_all_the_same_and_ends_in_time(
    traced: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    # Who waited for it would be cut off, and end with code 3.
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "60")
    with Fleet(traced, tmp_path) as fleet:
        worker = fleet.ready()
        for number in range(40):
            emit(traced, number)
        fleet.finish(worker)
        until(lambda: "127.0.0.1" in worker.tail(), "the worker has told that nobody takes its spans")
        assert worker.status("/readyz") == 200
        code, seconds = worker.stop()
        assert code == 0
        assert seconds < END_SECONDS + SLACK_SECONDS
        complaints = [line for line in worker.lines() if re.search(r"opentelemetry|urllib3|spans", line)]
        assert len([line for line in complaints if " INFO " not in line]) == 1, complaints
        assert len(complaints) <= 2, "the one more says that the last spans are lost"
        assert "Traceback" not in worker.tail()
    assert len(scores_by_event(read_topic(traced, traced.scores_topic))) == 40


@contextmanager
def silent_server() -> Iterator[str]:
    """Take connections and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_collector_that_never_answers_holds_nothing_up(
    traced: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    # Who waited for it would be cut off, and end with code 3.
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "60")
    with silent_server() as address, Fleet(traced, tmp_path) as fleet:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        worker = fleet.ready()
        emit(traced, *range(10))
        fleet.finish(worker)
        code, seconds = worker.stop()
        assert code == 0
        assert seconds < END_SECONDS + SLACK_SECONDS


def test_a_round_is_not_traced_unless_it_is_asked_for(
    topics: Settings, collector: Collector, tmp_path: Path
) -> None:
    save_bundle(topics.bundle)
    with Fleet(topics, tmp_path) as fleet:
        worker = fleet.ready()
        with TRACER.start_as_current_span("page"):
            emit(topics, 1)
        fleet.finish(worker)
        assert worker.stop()[0] == 0
    assert not collector.requests


def test_events_of_another_form_and_archives_and_replays_bear_the_headers(
    traced: Settings, collector: Collector, tmp_path: Path
) -> None:
    settings = traced.model_copy(update={"format": "segment"})
    call = track("Product Viewed", {"product_id": "p"}, timestamp="2024-03-04T00:00:01Z")
    with Fleet(settings, tmp_path) as fleet:
        worker = fleet.ready()
        producer = KafkaProducer(bootstrap_servers=settings.kafka)
        customer = str(call["userId"]).encode()
        producer.send(
            settings.events_topic, json.dumps(call).encode(), customer, headers=[("traceparent", GOOD)]
        )
        producer.close()
        with TRACER.start_as_current_span("page"):
            emit(settings, 1)  # in our own form
        fleet.finish(worker)
        until(lambda: traced_records(collector) == 2, "the spans of both events have come")
        assert worker.stop()[0] == 0
    scored = scores_by_event(read_topic(settings, settings.scores_topic))
    assert len(scored) == 2
    assert not read_topic(settings, settings.dead_letters_topic)
    assert len({link.span_id for one in collector.spans("intent.round") for link in one.links}) == 2
    log = tmp_path / "log.parquet"
    assert archive(settings, log).events == 2

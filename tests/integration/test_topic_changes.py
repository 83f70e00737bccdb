"""The events topic changes while a worker runs: its clock, its partitions, its existence."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from aiokafka import AIOKafkaProducer
from kafka import KafkaAdminClient

from features.events import Event, encode
from features.log import read_log
from features.partition import partitions_of
from stream.logs.archive import archive
from stream.ownership.interventions import append_time_before
from stream.settings import Settings
from tests.integration.outcome import (
    assert_same_states,
    expected,
    read_topic,
    scores_by_event,
    stored_states,
)
from tests.integration.refusals import forget, make, refusal, remove
from tests.integration.topics import configure
from tests.integration.workers import Fleet, until

YEAR_2999 = 32_472_144_000_000
# What is promised for being unready, and for a refusal.
UNREADY_SECONDS, REFUSED_SECONDS = 15.0, 30.0


def view(customer: str, number: int, at: int) -> Event:
    return Event(event_id=f"e{number}", type="view_item", customer_id=customer, event_time=at)


def emit(
    settings: Settings, *events: Event, time_ms: int | None = None, partition: int | None = None
) -> None:
    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=settings.kafka) as producer:
            for event in events:
                key = event.customer_id.encode()
                home = int(partitions_of([key], settings.partitions)[0]) if partition is None else partition
                await producer.send_and_wait(
                    settings.events_topic, encode(event), key=key, partition=home, timestamp_ms=time_ms
                )

    asyncio.run(send())


def test_a_producers_clock_moves_no_watermark_and_expires_no_state(fleet: Fleet, tmp_path: Path) -> None:
    settings, now = fleet.settings, time.time_ns() // 1_000_000
    worker = fleet.ready()
    emit(settings, *(view(f"c{number}", number, now) for number in range(30)))
    fleet.finish(worker)
    before, states = fleet.records(), stored_states(settings)
    assert len(states) == 30

    producers = {
        "message.timestamp.type": "CreateTime",
        "message.timestamp.after.max.ms": str(2**63 - 1),
    }
    configure(settings, settings.events_topic, producers)
    emit(settings, view("c1", 31, YEAR_2999), time_ms=YEAR_2999)
    line = refusal(worker)
    assert "message.timestamp.type=CreateTime" in line
    assert "--add-config message.timestamp.type=LogAppendTime" in line
    assert fleet.records() == before, "nothing is folded"

    configure(settings, settings.events_topic, {"message.timestamp.type": "LogAppendTime"})
    worker = fleet.start()
    until(lambda: "still to come" in worker.tail(), "the record of 2999 waits for a clock")
    home = int(partitions_of([b"c1"], settings.partitions)[0])
    skip = f"partition skip {home} --to {before[home].next_offset + 1}"
    until(lambda: skip in worker.get("/readyz").json().get("reason", ""), "it is not ready, and says why")
    assert worker.status("/readyz") == 503
    arrived = asyncio.run(append_time_before(settings, home, before[home].next_offset + 1))
    assert arrived == before[home].last_time, "a producer's time is no arrival"
    emit(settings, *(view(f"c{number}", 100 + number, now + 1000) for number in range(30)))
    fleet.finish(worker)
    worker.wait_ready()
    letters = read_topic(settings, settings.dead_letters_topic)
    assert [dict(letter.headers)["reason"] for letter in letters] == [b"future"]
    assert len(scores_by_event(read_topic(settings, settings.scores_topic))) == 60
    assert all(record.watermark < now for record in fleet.records().values())
    assert worker.stop()[0] == 0

    states, watermarks = stored_states(settings), [one.watermark for one in fleet.records().values()]
    archive(settings, tmp_path / "archived.parquet")
    assert_same_states(settings, expected(settings, read_log(tmp_path / "archived.parquet")))
    forget(settings)
    rebuilding = fleet.start("--rebuild")
    fleet.finish(rebuilding)
    rebuilding.wait_ready()
    assert stored_states(settings) == states, "a rebuild comes to the same"
    assert [one.watermark for one in fleet.records().values()] == watermarks


def test_a_topic_that_is_gone_shows_and_one_made_again_is_refused(fleet: Fleet) -> None:
    quick = ("import stream.kafka.transport as transport", "transport.METADATA_MS = 1000")
    settings = fleet.settings
    worker = fleet.ready(first=quick)
    emit(settings, view("anna", 1, time.time_ns() // 1_000_000))
    fleet.finish(worker)
    began = time.monotonic()
    remove(settings)
    until(lambda: worker.status("/readyz") == 503, "the worker is not ready", seconds=UNREADY_SECONDS)
    gone = f"Kafka has no topic {settings.events_topic}"
    until(lambda: gone in worker.get("/readyz").json().get("reason", ""), "it says why")
    assert time.monotonic() - began < UNREADY_SECONDS
    until(lambda: gone in worker.tail(), "the log says so")
    make(settings)
    began = time.monotonic()
    assert "the topic was created again" in refusal(worker)
    assert time.monotonic() - began < REFUSED_SECONDS


def test_events_of_a_topic_that_has_grown_blame_no_producer(fleet: Fleet) -> None:
    """The worker has not noticed yet that there are more partitions; an event tells it."""
    slow = ("import stream.kafka.transport as transport", "transport.METADATA_MS = 600_000")
    settings, now = fleet.settings, time.time_ns() // 1_000_000
    worker = fleet.ready(first=slow)
    emit(settings, view("anna", 1, now), view("anna", 2, now), partition=_other(settings, b"anna"))
    fleet.finish(worker)
    assert len(read_topic(settings, settings.dead_letters_topic)) == 2, "a wrong partition is a letter"
    with KafkaAdminClient(bootstrap_servers=settings.kafka) as admin:
        admin.create_partitions({settings.events_topic: settings.partitions + 1})
    grown = settings.model_copy(update={"partitions": settings.partitions + 1})
    names = [f"c{number}" for number in range(100)]
    keys = [name.encode() for name in names]
    old, new = partitions_of(keys, settings.partitions), partitions_of(keys, grown.partitions)
    moved = [
        name for name, was, now_on in zip(names, old, new, strict=True) if was != now_on < settings.partitions
    ]
    until(lambda: _takes(grown), "the new partition takes records")
    emit(grown, *(view(name, number, now) for number, name in enumerate(moved)))
    line = refusal(worker)
    assert "4 partitions, but had 3" in line
    assert len(read_topic(settings, settings.dead_letters_topic)) == 2


def _other(settings: Settings, key: bytes) -> int:
    return (int(partitions_of([key], settings.partitions)[0]) + 1) % settings.partitions


def _takes(settings: Settings) -> bool:
    with KafkaAdminClient(bootstrap_servers=settings.kafka) as admin:
        [topic] = admin.describe_topics([settings.events_topic])
    return len(topic["partitions"]) == settings.partitions

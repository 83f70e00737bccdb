"""Ends and health while Kafka is frozen, away, or holds events back: the real worker and learner, real servers."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiokafka.errors import MessageSizeTooLargeError
from kafka import KafkaProducer

from features.events import Event, encode
from stream.kafka.topics import create_topics
from stream.scoring.publisher import Output, Publisher
from stream.services.services import EmbeddedServices
from stream.settings import Settings
from tests.bundles import save_bundle
from tests.integration.outcome import read_topic, scores_by_event
from tests.integration.topics import configure
from tests.integration.workers import ROOT, SLACK_SECONDS, Fleet, Worker, environment, until

NOW = 1_709_510_400_000

# What is promised, for an end and for being unready after a stall.
PROMISED_SECONDS = 15.0

CRASHING = """
from stream.kafka.fetching import BatchConsumerThread
async def broken(self, consumer):
    raise RuntimeError("out of order")
BatchConsumerThread._drain = broken
from stream.cli import main
main()
"""


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Iterator[tuple[EmbeddedServices, Settings]]:
    """Servers that this test may freeze and kill."""
    with EmbeddedServices(tmp_path / "servers") as servers:
        its = settings.model_copy(
            update={"kafka": servers.kafka, "redis": type(settings.redis)(servers.redis)}
        )
        create_topics(its)
        save_bundle(its.bundle)
        yield servers, its


@contextmanager
def frozen(pid: int | None) -> Iterator[None]:
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def view(number: int, customer: str = "anna") -> Event:
    return Event(
        event_id=f"e{number}", type="view_item", customer_id=customer, event_time=NOW + number * 1000
    )


def emit(settings: Settings, *numbers: int, customer: str = "anna") -> None:
    producer = KafkaProducer(bootstrap_servers=settings.kafka)
    for number in numbers:
        producer.send(settings.events_topic, key=customer.encode(), value=encode(view(number, customer)))
    producer.close()


def assert_ended(worker: Worker, began: float, *codes: int) -> None:
    """Wait for the end; nobody has to read a traceback, or the complaints of a client that is closed."""
    code = worker.wait(PROMISED_SECONDS + SLACK_SECONDS)
    assert time.monotonic() - began < PROMISED_SECONDS + SLACK_SECONDS
    assert code in codes, worker.tail()
    assert "Traceback" not in worker.tail()
    said = [line for line in worker.lines() if " aiokafka" in line]
    assert len(said) <= 3, said


def reason(worker: Worker) -> str:
    said: str = worker.get("/readyz").json().get("reason", "")
    return said


def test_a_frozen_broker_shows_and_holds_no_end_up(
    own: tuple[EmbeddedServices, Settings], tmp_path: Path
) -> None:
    servers, settings = own
    with Fleet(settings, tmp_path) as fleet:
        worker, learner = fleet.ready(), fleet.ready(command="learner")
        leaving = fleet.ready()
        emit(settings, 1)
        fleet.finish(worker, leaving)
        with frozen(servers.kafka_server.pid):
            began = time.monotonic()
            until(lambda: worker.status("/readyz") == 503, "the worker is not ready")
            until(lambda: learner.status("/readyz") == 503, "the learner is not ready")
            assert time.monotonic() - began < PROMISED_SECONDS + SLACK_SECONDS
            for process in (worker, learner):  # whichever is older at that moment
                assert re.search(r"has answered no (fetch|heartbeat) for 1\d s", reason(process))
            asked = time.monotonic()
            for process in (learner, leaving):
                process.send(signal.SIGTERM)
            for process in (learner, leaving):
                assert_ended(process, asked, 0)
        until(lambda: worker.status("/readyz") == 200, "the worker is ready again")
        emit(settings, 2)
        fleet.finish(worker)

        servers.redis_server.kill()
        for number in range(20):
            emit(settings, 10 + number, customer=f"customer {number}")  # on all partitions
        until(lambda: worker.status("/readyz") == 503, "the worker is not ready")
        servers.redis_server.start()
        fleet.finish(worker)
        until(
            lambda: "Redis answers again after" in worker.tail(), "the worker has told the end of the outage"
        )
        assert sum("Redis at" in line for line in worker.lines()) == 1, worker.tail()

        servers.kafka_server.kill()
        servers.redis_server.kill()
        asked = time.monotonic()
        worker.send(signal.SIGTERM)
        assert_ended(worker, asked, 0)


def test_a_worker_that_crashes_ends(settings: Settings, tmp_path: Path) -> None:
    create_topics(settings)
    save_bundle(settings.bundle)
    crashed = subprocess.run(
        [sys.executable, "-c", CRASHING, "worker"],
        cwd=tmp_path, env=environment(settings) | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert crashed.returncode == 1, crashed.stderr
    assert crashed.stderr.count("Traceback") == 1, "where it broke, and nothing of its end"
    assert "out of order" in crashed.stderr.splitlines()[-1]


def test_events_behind_an_open_transaction_are_lag_and_in_the_end_a_stall(
    topics: Settings, tmp_path: Path
) -> None:
    soon = ("import stream.ownership.partitions as partitions", "partitions.HELD_SECONDS = 1.0")
    save_bundle(topics.bundle)
    producer = KafkaProducer(bootstrap_servers=topics.kafka, transactional_id=topics.group)
    producer.init_transactions()
    with Fleet(topics, tmp_path) as fleet:
        worker = fleet.ready(first=soon)

        def lags() -> tuple[float, float]:
            metrics = worker.metrics()
            return tuple(
                sum(value for name, value in metrics.items() if name.startswith(f"intent_{kind}{{"))
                for kind in ("lag_events", "stable_lag_events")
            )  # type: ignore[return-value]

        producer.begin_transaction()
        for number in range(5):
            producer.send(topics.events_topic, key=b"anna", value=encode(view(number)))
        producer.flush()
        until(lambda: lags() == (5, 0), "five events are held back")
        until(lambda: "wait behind a transaction" in reason(worker), "it is not ready any more")
        producer.commit_transaction()
        until(lambda: lags() == (0, 0), "they are scored")
        assert worker.metrics()["intent_scored_total"] == 5
        assert worker.status("/readyz") == 200
    producer.close()


def test_a_publication_after_a_refused_one_goes_through(topics: Settings) -> None:
    async def publish() -> None:
        async with Publisher(
            topics.kafka, scores=topics.scores_topic, dead_letters=topics.dead_letters_topic
        ) as publisher:
            await publisher.publish([Output(0, scores=[("anna", b"1")])])
            configure(topics, topics.scores_topic, {"max.message.bytes": "100"})
            with pytest.raises(MessageSizeTooLargeError):
                await publisher.publish([Output(0, scores=[("anna", bytes(200))])])
            configure(topics, topics.scores_topic, {"max.message.bytes": "1000000"})
            await publisher.publish([Output(0, scores=[("anna", b"2")])])
            await publisher.publish([Output(0, scores=[("anna", b"3")])])

    asyncio.run(publish())
    assert [record.value for record in read_topic(topics, topics.scores_topic)] == [b"1", b"2", b"3"]


def test_a_worker_whose_scores_the_broker_refuses_for_a_while_goes_on(
    topics: Settings, tmp_path: Path
) -> None:
    save_bundle(topics.bundle)
    with Fleet(topics, tmp_path) as fleet:
        worker = fleet.ready()
        emit(topics, 1)
        fleet.finish(worker)
        refused = {"message.timestamp.type": "CreateTime", "message.timestamp.before.max.ms": "0"}
        configure(topics, topics.scores_topic, refused)
        sent = 1

        def refused_one() -> bool:
            """Emit one more, since the broker takes a new setting over only some time after it confirmed it."""
            nonlocal sent
            sent += 1
            emit(topics, sent)
            return "the topic takes no record of that time" in worker.tail()

        until(refused_one, "the broker refuses the scores", pause=0.2)
        configure(topics, topics.scores_topic, {"message.timestamp.before.max.ms": str(2**63 - 1)})
        emit(topics, sent + 1)
        fleet.finish(worker)
        assert worker.status("/readyz") == 200
    assert set(scores_by_event(read_topic(topics, topics.scores_topic))) == {
        f"e{number}" for number in range(1, sent + 2)
    }
    assert not read_topic(topics, topics.dead_letters_topic)

"""What workers refuse to go on with: states that are lost, topics that are made again, and the line that says so."""

from __future__ import annotations

import pyarrow as pa
import redis
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from stream.kafka.topics import create_topics
from stream.logs.replay import replay
from stream.settings import Settings
from tests.integration.workers import Fleet, Worker, until


def refusal(worker: Worker) -> str:
    """Return the one line with which a worker ended, exit code 1; log lines may come before it."""
    assert worker.wait() == 1, worker.tail()
    lines = worker.lines()
    assert [line for line in lines if line.startswith("intent: ")] == lines[-1:], worker.tail()
    assert "Traceback" not in worker.tail()
    return lines[-1]


def run_once(fleet: Fleet, log: pa.Table) -> None:
    """Score a log with a worker that then ends, so that Kafka has its commit."""
    worker = fleet.start()
    replay(fleet.settings, log)
    fleet.finish(worker)
    assert worker.stop()[0] == 0
    committed = KafkaConsumer(bootstrap_servers=fleet.settings.kafka, group_id=fleet.settings.group)
    for partition, end in fleet.ends(fleet.settings.events_topic).items():
        assert committed.committed(TopicPartition(fleet.settings.events_topic, partition)) == end
    committed.close()


def forget(settings: Settings) -> None:
    """Delete what Redis holds of this test."""
    with redis.Redis.from_url(settings.redis_url) as client:
        keys = list(client.scan_iter(match=f"{{{settings.redis_prefix}.*", count=5_000))
        assert client.delete(*keys) == len(keys) > 0


def recreate(settings: Settings) -> None:
    """Delete the topic of events and create it again, empty."""
    remove(settings)
    make(settings)


def remove(settings: Settings) -> None:
    """Delete the topic of events."""
    topic = settings.events_topic
    with KafkaAdminClient(bootstrap_servers=settings.kafka) as admin:
        admin.delete_topics([topic])
        until(lambda: topic not in admin.list_topics(), "the topic is gone")


def make(settings: Settings) -> None:
    """Create the topic of events again, empty."""
    until(lambda: _created(settings), "the topic is there again")


def _created(settings: Settings) -> bool:
    try:
        create_topics(settings)
    except KafkaError:  # the broker is still deleting the former one
        return False
    return True

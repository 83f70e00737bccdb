"""The worker goes on only in the log that it has read: not in a topic made again, not in one that lost its end."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from features.store.customer_store import UNKNOWN_TOPIC
from features.store.keys import record_key
from features.store.redis_store import RedisStore
from stream.kafka.topics import create_topics
from stream.logs.replay import replay
from stream.services.embedded import KafkaServer
from stream.settings import Settings
from tests.bundles import save_bundle
from tests.integration.outcome import (
    assert_same_scores,
    assert_same_states,
    expected,
    read_topic,
    scores_by_event,
    stored_states,
)
from tests.integration.shop_logs import simulated
from tests.integration.test_worker_refusals import recreate, refusal, run_once
from tests.integration.workers import Fleet


@pytest.fixture
def fleet(topics: Settings, tmp_path: Path) -> Iterator[Fleet]:
    save_bundle(topics.bundle)
    with Fleet(topics, tmp_path) as fleet:
        yield fleet


def published(settings: Settings) -> int:
    return len(read_topic(settings, settings.scores_topic))


def test_a_topic_made_again_is_refused_although_it_holds_more_events_than_were_read(fleet: Fleet) -> None:
    settings = fleet.settings
    run_once(fleet, simulated(30, 1, 1))
    assert all(record.topic_id != UNKNOWN_TOPIC for record in fleet.records().values())
    before, states = published(settings), stored_states(settings)
    recreate(settings)
    log = simulated(80, 1, 2)
    replay(settings, log)
    ends = fleet.ends(settings.events_topic)
    assert all(record.next_offset < ends[number] for number, record in fleet.records().items())

    line = refusal(fleet.start())
    assert "the topic was created again" in line
    assert "`intent worker --rebuild`" in line
    assert (published(settings), stored_states(settings)) == (before, states), "nothing was scored"

    worker = fleet.start("--rebuild")
    fleet.finish(worker)
    assert worker.stop()[0] == 0
    truth = expected(settings, log)
    assert_same_states(settings, truth)
    scores = read_topic(settings, settings.scores_topic)
    assert len(scores) == before + len(log), "events that nobody had scored are"
    fresh = {score.value for score in scores[:0]} or None
    assert fresh is None
    wanted = set(log["event_id"].to_pylist())
    found = {event: own for event, own in scores_by_event(scores).items() if event in wanted}
    assert_same_scores(found, truth)


def _whole(server: KafkaServer, topic: str) -> list[Path]:
    return [server.directory / "data"]


def _partitions(server: KafkaServer, topic: str) -> list[Path]:
    return sorted((server.directory / "data").glob(f"{topic}-*"))


@pytest.mark.parametrize("what", [_whole, _partitions], ids=["the whole broker", "its partitions"])
def test_a_broker_that_lost_acknowledged_events_is_refused_although_it_took_others(
    settings: Settings, tmp_path: Path, what: Callable[[KafkaServer, str], list[Path]]
) -> None:
    server = KafkaServer(tmp_path / "kafka").start()
    settings = settings.model_copy(update={"kafka": server.address, "partitions": 1})
    save_bundle(settings.bundle)
    try:
        create_topics(settings)
        replay(settings, simulated(10, 1, 1))
        server.stop()
        folders = what(server, settings.events_topic)
        for folder in folders:
            shutil.copytree(folder, tmp_path / "backup" / folder.name)
        server.start()
        with Fleet(settings, tmp_path / "logs") as fleet:
            newest = simulated(5, 1, 2)
            run_once(fleet, newest)  # and what was there before
            read = fleet.records()[0].next_offset
            assert read > len(newest)
            server.kill()
            for folder in folders:
                shutil.rmtree(folder)
                shutil.copytree(tmp_path / "backup" / folder.name, folder)
            server.start()
            others = simulated(20, 1, 3)
            replay(settings, others)
            assert fleet.ends(settings.events_topic)[0] > read
            before = published(settings)
            line = refusal(fleet.start())
            assert "Kafka lost events of partition 0" in line
            assert "`intent worker --rebuild`" in line
            assert published(settings) == before
            assert fleet.records()[0].next_offset == read
    finally:
        server.kill()


def test_states_that_survived_their_records_are_not_counted_twice_nor_scored_again(fleet: Fleet) -> None:
    settings = fleet.settings
    log = simulated(40, 1, 3)
    run_once(fleet, log)
    before = published(settings)
    with redis.Redis.from_url(settings.redis_url) as client:
        gone = [record_key(settings.redis_prefix, number) for number in range(settings.partitions)]
        assert client.delete(*gone) == len(gone)
    worker = fleet.start("--rebuild")
    fleet.finish(worker)
    worker.wait_ready()
    assert worker.metrics()["intent_rebuilt_total"] == len(log)
    assert worker.stop()[0] == 0
    assert "building its states again" in "\n".join(worker.lines())
    assert_same_states(settings, expected(settings, log))
    assert published(settings) == before
    assert not read_topic(settings, settings.dead_letters_topic)


def test_a_record_of_before_learns_which_log_it_is_of(fleet: Fleet) -> None:
    settings = fleet.settings
    run_once(fleet, simulated(10, 1, 1))
    store = RedisStore(settings.redis_url, settings.redis_prefix)
    found = store.record(0)
    assert found is not None
    assert found.leader_epoch >= 0
    assert found.last_offset == found.next_offset - 1
    store.close()
    assert uuid.UUID(bytes=found.topic_id).int

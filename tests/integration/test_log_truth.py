"""The worker goes on only in the log that it has read: not in a topic made again, not in one that lost its end."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
import redis
from aiokafka import AIOKafkaConsumer, TopicPartition
from typer.testing import CliRunner

from features.store.keys import record_key
from features.store.log_mark import UNKNOWN_TOPIC
from stream.cli import create_app
from stream.kafka import epochs
from stream.kafka.topics import create_topics
from stream.logs.archive import archive
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
from tests.integration.refusals import forget, recreate, refusal, run_once
from tests.integration.shop_logs import simulated
from tests.integration.topics import held
from tests.integration.workers import Fleet, environment


def published(settings: Settings) -> int:
    return len(read_topic(settings, settings.scores_topic))


def test_a_topic_made_again_is_refused_although_it_holds_more_events_than_were_read(fleet: Fleet) -> None:
    settings = fleet.settings
    run_once(fleet, simulated(30, 1, 1))
    for record in fleet.records().values():
        assert record.topic_id != UNKNOWN_TOPIC
        assert record.leader_epoch >= 0
        assert record.last_offset == record.next_offset - 1
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
    wanted = set(log["event_id"].to_pylist())
    found = {event: own for event, own in scores_by_event(scores).items() if event in wanted}
    assert_same_scores(found, truth)


def test_a_broker_that_lost_acknowledged_events_is_refused_although_it_took_others(
    settings: Settings, tmp_path: Path
) -> None:
    """The broker is set back as a whole, and counts its leader epochs as before: only its records tell."""
    server = KafkaServer(tmp_path / "kafka").start()
    settings = settings.model_copy(update={"kafka": server.address, "partitions": 1})
    save_bundle(settings.bundle)
    try:
        create_topics(settings)
        replay(settings, simulated(10, 1, 1))
        server.stop()
        data, backup = server.directory / "data", tmp_path / "backup"
        shutil.copytree(data, backup)
        server.start()
        with Fleet(settings, tmp_path / "logs") as fleet:
            newest = simulated(5, 1, 2)
            run_once(fleet, newest)  # and what was there before
            read = fleet.records()[0].next_offset
            assert read > len(newest)
            server.kill()
            shutil.rmtree(data)
            shutil.copytree(backup, data)
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


def test_a_broker_tells_where_epochs_end_and_which_record_stands_where(topics: Settings) -> None:
    log = simulated(10, 1, 1)
    topics = topics.model_copy(update={"partitions": 3})
    replay(topics, log)
    records = [one for one in held(topics, topics.events_topic) if one.partition == 0]
    tp, end = TopicPartition(topics.events_topic, 0), records[-1].offset + 1

    async def asked() -> None:
        async with AIOKafkaConsumer(bootstrap_servers=topics.kafka) as consumer:
            client = consumer._client
            first = await epochs.described(client, topics.events_topic)
            assert first == await epochs.described(client, topics.events_topic) != (bytes(16), 3)
            assert first.topic_id != (await epochs.described(client, topics.scores_topic)).topic_id
            assert await epochs.epoch_end(client, tp, 0) == end
            assert await epochs.epoch_end(client, tp, 7) is None
            for one in (records[0], records[-1]):
                assert await epochs.stamp_at(client, tp, one.offset) == (one.offset, one.timestamp, 0)
            assert await epochs.stamp_at(client, tp, end) is None
            assert await epochs.stamp_at(client, tp, end + 7) is None

    asyncio.run(asked())


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


def test_states_come_from_an_archived_log_equal_to_the_bit(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = fleet.settings
    log = simulated(60, 1, 4)
    first, second = log.slice(0, len(log) // 2), log.slice(len(log) // 2)
    run_once(fleet, first)
    left, records = stored_states(settings), fleet.records()
    archive(settings, tmp_path / "archived.parquet")
    forget(settings)
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    told = CliRunner().invoke(create_app(), ["restore", str(tmp_path / "archived.parquet"), "--json"])
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["events"] == len(first)
    assert stored_states(settings) == left
    for number, record in fleet.records().items():
        was = records[number]
        assert (record.next_offset, record.watermark) == (was.next_offset, was.watermark)

    worker = fleet.start()
    replay(settings, second)
    fleet.finish(worker)
    assert worker.stop()[0] == 0
    assert_same_states(settings, expected(settings, log))
    assert published(settings) == len(log), "what was scored before is not scored again"

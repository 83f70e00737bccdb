"""`intent doctor` on a real broker and a real Redis: what is well is good, and what is not is named with its remedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata
from pydantic import SecretStr
from typer.testing import CliRunner

from features.store.partition_record import NO_WATERMARK, TOKEN_BYTES, PartitionRecord
from features.store.redis_store import RedisStore
from stream.cli import create_app
from stream.kafka.topics import topic_configs
from stream.learning.records.examples import Examples, encode_examples
from stream.learning.records.header import Header
from stream.services.embedded import KafkaServer, RedisServer
from stream.services.process import free_port
from stream.settings import Settings
from tests.bundles import save_bundle
from tests.integration.topics import configure
from tests.integration.workers import environment, until

Findings = dict[str, list[tuple[str, str, str]]]
Doctor = Callable[[Settings], tuple[int, Findings]]


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Doctor:
    """Returns the exit code, and what was found by its subject: level, text and remedy."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INTENT_DATA_DIR", raising=False)  # of tests

    def ask(settings: Settings) -> tuple[int, Findings]:
        for name, value in environment(settings).items():
            if name.startswith("INTENT_"):
                monkeypatch.setenv(name, value)
        ended = CliRunner().invoke(create_app(), ["doctor", "--json"])
        told = json.loads(ended.stdout)
        assert told["wrong"] == any(one["level"] == "wrong" for one in told["findings"])
        found: Findings = {}
        for one in told["findings"]:
            found.setdefault(one["subject"], []).append((one["level"], one["text"], one["remedy"]))
        return ended.exit_code, found

    return ask


def levels(found: Findings) -> dict[str, list[str]]:
    return {subject: [level for level, *_ in own] for subject, own in found.items()}


def test_a_stack_that_is_well_is_good_but_for_workers_that_are_not_there(
    topics: Settings, doctor: Doctor
) -> None:
    save_bundle(topics.bundle)
    producer = KafkaProducer(bootstrap_servers=topics.kafka)
    for customer in (b"ada", b"bob"):
        producer.send(topics.events_topic, key=customer, value=b"{}")
    producer.close()
    code, found = doctor(topics)
    assert [one for own in found.values() for one in own if one[0] == "wrong"] == []
    assert code == 0
    wanted = dict.fromkeys(
        (
            "environment", "broker", "advertised address", "topics", "partitions", "timestamps", "retention",
            "broker's clock", "redis", "redis' keys", "redis' clock", "redis' files", "bundle", "policy and shop",
            "disk",
        ),
        ["good"],
    )  # fmt: skip
    assert levels(found) == wanted | {"worker": ["warning"], "learner": ["warning"]}
    [(_, text, remedy)] = found["worker"]
    assert text == (
        f"no worker runs: 0 members in group {topics.group}, 2 events behind (in Kafka and not scored yet)"
    )
    assert remedy == "start `intent worker`, unless it is meant so; it then takes what waits"
    [(_, text, _)] = found["learner"]
    assert text.endswith("0 events behind"), "nothing waits, so there is nothing to explain"
    assert found["partitions"] == [("good", "3 of each topic", "")]


MINUTE_MS = 60_000


def _tell_learner(settings: Settings, partition: int, *headers: Header) -> None:
    """Write records of the examples topic, as workers do."""
    producer = KafkaProducer(bootstrap_servers=settings.kafka)
    for header in headers:
        [raw] = encode_examples(header, Examples.none(), header.watermark)
        producer.send(settings.examples_topic, raw, partition=partition)
    producer.close()


def _told(start: int, stop: int, minute: int) -> Header:
    return Header(start, stop, 1_772_366_400_000 + minute * MINUTE_MS, (), 0, "1", "1")


def test_the_learner_is_behind_by_events_and_not_by_records_of_workers(
    topics: Settings, doctor: Doctor
) -> None:
    save_bundle(topics.bundle)
    _tell_learner(topics, 0, *[_told(0, 0, 1)] * 4, _told(0, 2, 2), *[_told(2, 2, 3)] * 3)
    _tell_learner(topics, 1, *[_told(0, 0, 1)] * 5)
    _tell_learner(topics, 2, _told(0, 7, 1), _told(7, 8, 2))
    tps = [TopicPartition(topics.examples_topic, partition) for partition in (0, 2)]
    consumer = KafkaConsumer(
        bootstrap_servers=topics.kafka, group_id=topics.learner_group, enable_auto_commit=False
    )
    consumer.assign(tps)
    consumer.commit({tps[1]: OffsetAndMetadata(1, "", -1)})
    consumer.close()
    [(_, text, _)] = doctor(topics)[1]["learner"]
    assert ", 3 events behind (scored, and not learned from yet; " in text
    producer = KafkaProducer(bootstrap_servers=topics.kafka)
    producer.send(topics.examples_topic, b"no record of a worker", partition=2)
    producer.close()
    [(_, text, _)] = doctor(topics)[1]["learner"]
    assert ", 4 events behind (" in text, "where a record cannot be read, each counts as an event"


@pytest.mark.parametrize(
    ("events", "minutes", "level"), [(100_001, 70, "warning"), (100_001, 60, "good"), (100_000, 70, "good")]
)
def test_a_learner_is_warned_of_where_many_events_wait_for_longer_than_labels_take(
    topics: Settings, doctor: Doctor, events: int, minutes: int, level: str
) -> None:
    save_bundle(
        topics.bundle
    )  # of a horizon of 30 minutes; the lateness is 15 minutes, and 20 more are usual
    _tell_learner(topics, 1, _told(0, 1, 0), _told(1, events, minutes))
    learner = KafkaConsumer(
        topics.examples_topic, bootstrap_servers=topics.kafka, group_id=topics.learner_group
    )
    try:
        until(lambda: bool(learner.poll(timeout_ms=200) or learner.assignment()), "the group has a member")
        [(found, text, remedy)] = doctor(topics)[1]["learner"]
    finally:
        learner.close(autocommit=False)
    assert (found, f", {events:,} events behind" in text) == (level, True)
    assert ("more than 100,000 are many if they span more than 1 h 5 min" in remedy) == (level == "warning")


def test_states_that_were_lost_are_named_with_the_way_to_build_them_again(
    topics: Settings, doctor: Doctor, tmp_path: Path
) -> None:
    save_bundle(topics.bundle)
    tps = [TopicPartition(topics.events_topic, partition) for partition in (0, 2)]
    consumer = KafkaConsumer(bootstrap_servers=topics.kafka, group_id=topics.group, enable_auto_commit=False)
    consumer.assign(tps)
    consumer.commit({tp: OffsetAndMetadata(7, "", -1) for tp in tps})
    consumer.close()
    code, found = doctor(topics)
    assert code == 1
    [(level, text, remedy)] = found["states"]
    assert level == "wrong"
    assert text.startswith("Redis has no record of partitions 0, 2, but Kafka has commits of the worker")
    assert "intent worker --rebuild" in remedy
    with closing(RedisStore(topics.redis_url, topics.redis_prefix)) as store:
        for tp in tps:
            store.claim(tp.partition, None, PartitionRecord(1, bytes(TOKEN_BYTES), 7, NO_WATERMARK, 3))
    keys = tmp_path / "keys"
    keys.write_text("no key\n")
    code, found = doctor(topics.model_copy(update={"hand_over_key": keys}))
    assert found["states"] == [("good", "Redis has a record of each partition that was read", "")]
    [(level, text, _)] = found["hand-overs"]
    assert (code, level) == (1, "wrong")
    assert str(keys) in text


def _make_topics(settings: Settings, **changes: dict[str, str]) -> None:
    """Make all topics, with other settings for some; a partition count is among them."""
    with KafkaAdminClient(bootstrap_servers=settings.kafka) as admin:
        for name, configs in topic_configs(settings).items():
            changed = {**configs, **changes.get(name.removeprefix(settings.topic_prefix), {})}
            partitions = int(changed.pop("partitions", "3"))
            if partitions:
                admin.create_topics(
                    {name: {"num_partitions": partitions, "replication_factor": 1, "configs": changed}}
                )
                admin.wait_for_topics([name])


def test_topics_that_are_not_as_they_must_be_are_named_with_what_to_do(
    settings: Settings, doctor: Doctor
) -> None:
    save_bundle(settings.bundle)
    _make_topics(
        settings,
        events={"message.timestamp.type": "CreateTime", "retention.ms": "3600000", "partitions": "4"},
        scores={"cleanup.policy": "delete"},
        alerts={"partitions": "0"},
        examples={"retention.ms": "60000"},
        outcomes={"cleanup.policy": "compact"},
        **{"dead-letters": {"max.message.bytes": "1000"}},
    )
    code, found = doctor(settings)
    assert code == 1
    prefix = settings.topic_prefix
    assert found["topics"] == [("wrong", f"{prefix}alerts missing", "run `intent topics create`")]
    [(level, text, _)] = found["partitions"]
    assert level == "wrong" and f"{prefix}events has 4" in text and f"{prefix}scores has 3" in text
    [(level, text, remedy)] = found["timestamps"]
    assert (level, "message.timestamp.type=CreateTime" in text) == ("wrong", True)
    assert "--add-config message.timestamp.type=LogAppendTime" in text + remedy
    retention = {text.split()[0].removeprefix(prefix): (level, text) for level, text, _ in found["retention"]}
    assert retention.keys() == {"events", "examples"}
    assert (
        retention["events"][0] == "warning"
        and "keeps records for 1 h, not for 30 d" in retention["events"][1]
    )
    assert retention["examples"][0] == "wrong"
    assert {(level, text) for level, text, _ in found["cleanup"]} == {
        ("warning", f"{prefix}scores has cleanup.policy=delete"),
        ("wrong", f"{prefix}outcomes has cleanup.policy=compact, which loses all but a key's last record"),
    }
    assert found["dead letters"][0][0] == "wrong"


def test_a_redis_that_may_lose_states_is_told(topics: Settings, doctor: Doctor, tmp_path: Path) -> None:
    save_bundle(topics.bundle)
    with RedisServer(tmp_path / "redis") as server, redis.Redis.from_url(server.url) as client:
        of_it = topics.model_copy(update={"redis": SecretStr(server.url)})
        code, found = doctor(of_it)
        assert (code, found["redis' files"][0][0]) == (0, "warning")
        assert found["redis' files"][0][2] == "set appendonly to yes"
        client.config_set("maxmemory-policy", "volatile-lru")
        code, found = doctor(of_it)
        assert (code, found["maxmemory-policy"][0][0]) == (0, "warning")
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", str(client.info("memory")["used_memory"] + 1000))
        code, found = doctor(of_it)
        assert (code, found["maxmemory-policy"][0][0]) == (1, "wrong")
        assert found["maxmemory-policy"][0][2].startswith("set it to noeviction")
        assert found["redis' memory"][0][0] == "warning"


def test_servers_that_do_not_answer_end_their_part_alone(settings: Settings, doctor: Doctor) -> None:
    gone = f"127.0.0.1:{free_port()}"
    code, found = doctor(
        settings.model_copy(update={"kafka": gone, "redis": SecretStr(f"redis://:secret@{gone}/0")})
    )
    assert code == 1
    assert {subject: one for subject, one in levels(found).items() if one != ["good"]} == {
        "broker": ["wrong"],
        "redis": ["wrong"],
        "bundle": ["wrong"],
    }
    assert gone in found["broker"][0][1]
    assert "secret" not in str(found)
    assert "make one with `intent train" in found["bundle"][0][2]


def test_an_advertised_address_that_nobody_reaches_is_named(
    settings: Settings, doctor: Doctor, tmp_path: Path
) -> None:
    port = free_port()
    elsewhere = {"advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}"}
    with KafkaServer(tmp_path / "kafka", properties=elsewhere) as server:
        code, found = doctor(settings.model_copy(update={"kafka": server.address}))
    assert code == 1
    [(level, text, remedy)] = found["advertised address"]
    assert level == "wrong" and f"127.0.0.1:{port}" in text and "advertised.listeners" in remedy
    assert "topics" not in found


def test_names_of_settings_that_are_not_there_are_told(
    settings: Settings, doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    save_bundle(settings.bundle, timezone="Asia/Tokyo")
    (tmp_path / ".env").write_text("# ours\nINTENT_KAFKKA=broker:9092\nINTENT_BATCH_MAX=10\nOTHER=1\n")
    monkeypatch.setenv("INTENT_ZZZ", "1")
    gone = settings.model_copy(update={"kafka": f"127.0.0.1:{free_port()}", "timezone": "Europe/Berlin"})
    _, found = doctor(gone)
    assert found[".env"] == [
        ("warning", "INTENT_KAFKKA is no setting and is passed over", "did you mean INTENT_KAFKA?")
    ]
    assert found["environment"][0][1] == "INTENT_ZZZ is no setting and is passed over"
    assert found["policy and shop"][0][0] == "wrong"
    assert "trained for Asia/Tokyo" in found["policy and shop"][0][1]


def test_what_is_set_wrongly_is_the_only_finding(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTENT_PARTITIONS", "none")
    ended: Any = CliRunner().invoke(create_app(), ["doctor"])
    assert ended.exit_code == 1
    assert "INTENT_PARTITIONS" in ended.stdout
    assert "broker" not in ended.stdout


def test_settings_of_a_topic_can_be_mended_as_the_remedy_says(topics: Settings, doctor: Doctor) -> None:
    configure(topics, topics.examples_topic, {"retention.ms": "1000"})
    _, found = doctor(topics)
    assert found["retention"][0][0] == "wrong"
    assert "run `intent topics create --bundle " in found["retention"][0][2]
    ended = CliRunner().invoke(create_app(), ["topics", "create"])
    assert ended.exit_code == 0
    (line,) = (line for line in ended.stdout.splitlines() if line.startswith(topics.examples_topic))
    assert "already there, kept for 7 d" in line
    until(lambda: levels(doctor(topics)[1])["retention"] == ["good"], "the broker tells the change")

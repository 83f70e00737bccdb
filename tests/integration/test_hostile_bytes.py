"""What others wrote over states in Redis and into the learner's topics: one partition waits, one record is a letter."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from pydantic import SecretStr

from features.partition import partitions_of
from features.sealing import SEAL_BYTES
from features.store.keys import state_keys
from features.store.redis_store import RedisStore
from features.vector import schema_hash
from stream.learning.records.examples import Examples, encode_examples
from stream.learning.records.header import EXAMPLES, OUTCOMES, Header, pack
from stream.learning.records.outcomes import Outcomes, encode_outcomes
from stream.messages.dead_letter import parse
from stream.services.embedded import RedisServer
from stream.settings import Settings
from tests.bundles import save_bundle
from tests.integration.outcome import read_topic, scores_by_event
from tests.integration.topics import Record, write
from tests.integration.workers import Fleet, Worker, until


@pytest.fixture
def fleet(topics: Settings, tmp_path: Path) -> Iterator[Fleet]:
    """Workers ask Redis for every state, and learners save at once."""
    save_bundle(topics.bundle)
    with Fleet(topics.model_copy(update={"cache_customers": 0}), tmp_path) as fleet:
        yield fleet


def customers_by_partition(partitions: int) -> list[list[str]]:
    """Return two customers of every partition."""
    names = [f"c-{number}" for number in range(40)]
    homes = partitions_of([name.encode() for name in names], partitions).tolist()
    return [
        [name for name, at in zip(names, homes, strict=True) if at == home][:2] for home in range(partitions)
    ]


def visit(settings: Settings, customers: list[str], step: int) -> set[str]:
    """Send an event of each customer; return the events' ids."""
    now = time.time_ns() // 1_000_000
    write(
        settings,
        settings.events_topic,
        [
            Record(
                name.encode(),
                json.dumps(
                    {
                        "event_id": f"{name}-{step}",
                        "type": "view_item",
                        "customer_id": name,
                        "event_time": now + step,
                    }
                ).encode(),
                int(partitions_of([name.encode()], settings.partitions)[0]),
            )
            for name in customers
        ],
    )
    return {f"{name}-{step}" for name in customers}


def scored(settings: Settings) -> set[str]:
    return set(scores_by_event(read_topic(settings, settings.scores_topic)))


def reason(worker: Worker) -> str:
    answer = worker.get("/readyz")
    return str(answer.json().get("reason", "")) if answer.status_code != 200 else ""


def test_a_state_that_cannot_be_read_parks_its_partition_alone_until_it_is_put_back(fleet: Fleet) -> None:
    settings = fleet.settings
    worker = fleet.ready()
    (garbled, beside), (listed, _), sound = customers_by_partition(3)
    everybody = [garbled, beside, listed, *sound]
    sent = visit(settings, everybody, 0)
    fleet.finish(worker)
    with redis.Redis.from_url(settings.redis_url) as client:
        keys = {}
        for partition, name in enumerate((garbled, listed)):
            incarnation = fleet.records()[partition].incarnation
            [keys[name]] = state_keys(settings.redis_prefix, partition, [name], incarnation)
        raw = {name: client.get(key) or b"" for name, key in keys.items()}
        client.set(keys[garbled], raw[garbled][:40] + b"\xff" * (len(raw[garbled]) - 40))
        client.delete(keys[listed])
        client.rpush(keys[listed], "x")

        sent |= visit(settings, everybody, 1)
        until(
            lambda: worker.check() and worker.metrics()["intent_parked_partitions"] == 2,
            "both partitions are parked",
        )
        until(
            lambda: {f"{name}-1" for name in sound} <= scored(settings),
            "the third partition goes on",
            pause=0.3,
        )
        assert scored(settings) == sent - {f"{name}-1" for name in (garbled, beside, listed)}
        assert "partitions 0, 1 are parked" in reason(worker)
        told = "\n".join(worker.lines())
        for partition, (name, why) in enumerate(
            ((garbled, "is damaged: its checksum does not fit"), (listed, "is no state but a list"))
        ):
            assert f"the state of customer '{name}' of partition {partition} {why}" in told
            assert f"`redis-cli DEL '{keys[name].decode()}'`" in told
        client.delete(keys[listed])
        client.mset({key: raw[name] for name, key in keys.items()})
        fleet.finish(worker)
    assert scored(settings) == sent
    until(lambda: not reason(worker), "the worker is ready again")
    assert worker.stop()[0] == 0


def test_a_record_of_a_partition_that_cannot_be_read_parks_it_before_its_claim(fleet: Fleet) -> None:
    settings = fleet.settings
    key = f"{{{settings.redis_prefix}.1}}:record"
    with redis.Redis.from_url(settings.redis_url) as client:
        client.set(key, b"\x03garbage")
        worker = fleet.start()
        until(
            lambda: worker.status("/healthz") and "is parked before its claim" in reason(worker),
            "it is parked",
        )
        assert f"partition 1 of {settings.events_topic} is parked before its claim" in reason(worker)
        assert f"{key} in Redis: " in reason(worker)
        client.delete(key)
        worker.wait_ready()
        sent = visit(settings, ["ada", "grace"], 0)
        fleet.finish(worker)
        assert worker.stop()[0] == 0

        # One bit of the incarnation: without a checksum all would begin anew, and the sweep delete old states.
        raw = client.get(key) or b""
        record = fleet.records()[1]
        other = record._replace(incarnation=record.incarnation ^ 1).to_bytes()
        client.set(key, other[:-SEAL_BYTES] + raw[-SEAL_BYTES:])
        worker = fleet.start()
        until(
            lambda: worker.status("/healthz") and "the partition record is damaged" in reason(worker),
            "it is parked again",
        )
        client.set(key, raw)
        worker.wait_ready()
    assert scored(settings) == sent
    assert worker.stop()[0] == 0


def test_damaged_and_forged_records_of_the_learners_topics_become_letters_and_it_goes_on(
    fleet: Fleet,
) -> None:
    settings = fleet.settings
    now = time.time_ns() // 1_000_000
    header = Header(0, 9, now, (), 0, "caf!", schema_hash())
    [outcomes] = encode_outcomes(header, Outcomes.none(), 0)
    [examples] = encode_examples(header, Examples.none(), 0)
    far = pack(OUTCOMES, msgspec.structs.replace(header, watermark=253_402_300_799_000), b"")
    huge = pack(EXAMPLES, msgspec.structs.replace(header, rows=2**40, stop=2**41), b"")
    bad = {
        settings.outcomes_topic: [outcomes.replace(b"caf!", b"caf\xff"), far, b"", b"\xff" * 90],
        settings.examples_topic: [examples.replace(b"caf!", b"caf\xff"), huge],
    }
    for topic, values in bad.items():
        write(settings, topic, [Record(b"k", value, 1) for value in values])
    # Examples are read once outcomes of every partition have come.
    write(
        settings, settings.outcomes_topic, [Record(b"k", outcomes, at) for at in range(settings.partitions)]
    )
    learner = fleet.start(command="learner")

    def letters() -> list[Any]:
        return [parse(record) for record in read_topic(settings, settings.dead_letters_topic)]

    until(lambda: learner.check() and len(letters()) == 6, "all six are letters", pause=0.3)
    for topic, values in (
        ("outcome", bad[settings.outcomes_topic]),
        ("example", bad[settings.examples_topic]),
    ):
        found = [letter.value for letter in letters() if letter.reason == f"bad_{topic}"]
        assert sorted(found) == sorted(values)
    learner.wait_ready()
    metrics = learner.metrics()
    assert metrics['intent_learner_bad_records_total{topic="outcomes"}'] == 4
    assert learner.stop()[0] == 0


def test_a_redis_that_may_evict_states_is_refused_and_one_that_does_not_say_is_only_warned_of(
    fleet: Fleet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        RedisServer(tmp_path / "redis", appendonly=True) as server,
        redis.Redis.from_url(server.url) as client,
    ):
        client.config_set("maxmemory-policy", "allkeys-lru")
        worker = fleet.start(settings=fleet.settings.model_copy(update={"redis": SecretStr(server.url)}))
        assert worker.wait() == 1
        assert "Redis has maxmemory-policy allkeys-lru" in worker.tail()
        assert "`redis-cli CONFIG SET maxmemory-policy noeviction`" in worker.tail()

        def warnings(url: str) -> str:
            caplog.clear()
            with closing(RedisStore(url)) as store:
                store.check_keeping()
            return caplog.text

        client.config_set("maxmemory-policy", "volatile-ttl")
        assert "may drop offers" in warnings(server.url)
        client.config_set("maxmemory-policy", "noeviction")
        assert warnings(server.url) == ""
        client.config_set("appendonly", "no")
        assert "loses all states" in warnings(server.url)
        client.acl_setuser(
            "app", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all", "-config"]
        )
        assert "does not tell its configuration" in warnings(server.url.replace("//", "//app:secret@"))

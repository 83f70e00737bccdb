"""What a run left in Kafka and Redis, read by plain clients, and held against the scoring of the log."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from kafka import KafkaConsumer, TopicPartition

from features.bundle import Bundle
from features.partition import partitions_of
from features.state import to_bytes
from features.store.keys import state_keys
from features.store.packed_states import from_packed
from features.store.redis_client import connect
from features.store.redis_store import RedisStore
from features.usual_days import UsualDays
from stream.messages.action import decode_action
from stream.scoring.engine import Engine, engine_of
from stream.scoring.score_log import ScoredLog, score_log
from stream.scoring.scored_partition import DecidedLog, ScoredPartition
from stream.settings import Settings
from tests.integration.workers import until

#: How far a published probability may be from that of the log's scoring.
TOLERANCE = 1e-6


class Record(NamedTuple):
    """A record as it stands in a topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def read_topic(settings: Settings, topic: str) -> list[Record]:
    """Return all records that a topic holds, those of a partition in order."""
    partitions = [TopicPartition(topic, number) for number in range(settings.partitions)]
    consumer = KafkaConsumer(
        bootstrap_servers=settings.kafka,
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_poll_records=10_000,
    )
    found: list[Record] = []
    try:
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        while any(consumer.position(tp) < end for tp, end in ends.items()):
            for records in consumer.poll(timeout_ms=500).values():
                found += [Record(r.partition, r.offset, r.key, r.value, r.headers) for r in records]
    finally:
        consumer.close()
    return sorted(found, key=lambda record: (record.partition, record.offset))


def stored_states(settings: Settings) -> dict[str, bytes]:
    """Return every customer's state in Redis, as `to_bytes` writes it; each must lie under its own partition.

    States of earlier incarnations are passed over.
    """
    found: dict[str, bytes] = {}
    with closing(connect(settings.redis_url)) as client, closing(_store(settings)) as store:
        for number in range(settings.partitions):
            record = store.record(number)
            incarnation = record.incarnation if record else 0
            [start] = state_keys(settings.redis_prefix, number, [""], incarnation)
            keys = list(client.scan_iter(match=start + b"*", count=5_000))
            names = [key[len(start) :] for key in keys]
            assert set(partitions_of(names, settings.partitions).tolist()) <= {number}
            values: Any = client.mget(keys) if keys else []
            states = to_bytes(from_packed(values))
            found |= {name.decode(): state for name, state in zip(names, states, strict=True)}
    return found


def _store(settings: Settings) -> RedisStore:
    return RedisStore(settings.redis_url, settings.redis_prefix)


def engine_for(settings: Settings) -> Engine:
    """Return the engine that a worker with these settings has."""
    return engine_of(settings, Bundle.load(settings.bundle))


def expected(settings: Settings, log: pa.Table) -> ScoredLog:
    """Return what scoring the log in one process gives."""
    return score_log(log, engine_for(settings), partitions=settings.partitions)


def assert_same_states(settings: Settings, truth: ScoredLog) -> None:
    """Every customer's state in Redis is that of the log's scoring, bit for bit, and there are no others."""
    stored = stored_states(settings)
    wanted = dict(zip(truth.customers, to_bytes(truth.states), strict=True))
    assert stored.keys() == wanted.keys()
    different = [customer for customer, state in wanted.items() if stored[customer] != state]
    assert not different, f"{len(different)} of {len(wanted)} states differ, for example {different[:5]}"


#: A policy of timers, caps, a quiet time and edges; the random bundle's intents are between .3 and .7.
POLICY = """
version: 1
bands: {medium: {enter: 0.5, leave: 0.45}}
caps: [1 per 12h, 3 per 1d]
quiet: {from: "22:00", to: "06:00", then: wait}
rules:
  - {name: checkout, trigger: checkout_abandoned, action: help}
  - {name: cart, trigger: cart_abandoned, after: 40m, action: remind, when: {cart_value: more than 0}}
  - {name: back, trigger: win_back, after: 6h, action: come_back, quiet: drop}
  - {name: medium, trigger: band_entered, action: news, when: {band: [medium, high]}, quiet: ignore}
  - {name: filled, action: show, when: {cart_items: more than 0}}
"""


def with_policy(settings: Settings) -> Settings:
    """Return the settings with a policy that has rules of every kind."""
    path = settings.bundle.parent / f"{settings.group}.yaml"
    path.write_text(POLICY)
    return settings.model_copy(update={"policy": path})


def wanted_decisions(settings: Settings, log: pa.Table) -> dict[int, DecidedLog]:
    """Return what scoring the log in one process decides, by partition."""
    engine, found = engine_for(settings), {}
    partition = partitions_of([name.encode() for name in log["customer_id"].to_pylist()], settings.partitions)
    usual = UsualDays.of(log["event_time"].cast(pa.int64()).to_numpy())
    for number in range(settings.partitions):
        decided = DecidedLog.nothing(engine.rulebook)
        part = ScoredPartition(log.take(np.flatnonzero(partition == number)), engine, usual, [decided])
        assert all(len(chunk.rows) for chunk in part.score())
        found[number] = decided
    return found


def wanted_actions(settings: Settings, log: pa.Table) -> dict[int, list[bytes]]:
    """Return the actions that scoring the log in one process decides, by partition, in order."""
    wanted = wanted_decisions(settings, log)
    return {number: [msgspec.json.encode(action) for action in own.actions] for number, own in wanted.items()}


def assert_same_actions(settings: Settings, log: pa.Table) -> int:
    """What is published is what the log's scoring decides, in order, repetitions aside; return how many those are.

    Actions are published after the save that counts the last event, so they are waited for.
    """
    wanted = wanted_actions(settings, log)
    ids = {decode_action(value).action_id for values in wanted.values() for value in values}
    records: list[Record] = []

    def published() -> bool:
        records[:] = read_topic(settings, settings.actions_topic)
        return ids <= {decode_action(record.value).action_id for record in records if record.value}

    until(published, f"{len(ids)} actions are published")
    found: dict[int, dict[str, bytes]] = {number: {} for number in range(settings.partitions)}
    for record in records:
        assert record.value is not None
        action = decode_action(record.value)
        assert record.key == action.customer_id.encode()
        first = found[record.partition].setdefault(action.action_id, record.value)
        assert first == record.value, "two decisions about the same"
    assert {number: list(values.values()) for number, values in found.items()} == wanted
    assert {decode_action(value).rule for values in wanted.values() for value in values} >= {
        "checkout",
        "cart",
        "back",
    }
    return len(records) - sum(map(len, wanted.values()))


def scores_by_event(records: Iterable[Record]) -> dict[str, list[dict[str, Any]]]:
    """Return all scores of every event, first ones first; tombstones are passed over."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        if record.value is not None:
            score = json.loads(record.value)
            assert record.key == score["customer_id"].encode()
            found[score["event_id"]].append(score)
    return dict(found)


def assert_same_scores(scores: Mapping[str, Sequence[dict[str, Any]]], truth: ScoredLog) -> None:
    """The scored events are those of the log's scoring, and every score of each agrees with it."""
    rows = {row["event_id"]: row for row in truth.scores.to_pylist()}
    assert scores.keys() == rows.keys()
    for event_id, published in scores.items():
        row = rows[event_id]
        for score in published:
            for name in ("purchase_intent", "network_score"):
                assert score[name] == pytest.approx(row[name], abs=TOLERANCE, rel=0), event_id
            assert score["as_of"] == int(row["as_of"].timestamp() * 1000 + 0.5), event_id
            for name in ("customer_id", "segment", "band", "action", "holdout", "model_version"):
                assert score[name] == row[name], (event_id, name)
            assert score.get("traffic") == row["traffic"], event_id


def assert_repeats_agree(scores: Mapping[str, Sequence[dict[str, Any]]]) -> int:
    """A score that was published again equals the first one, ``scored_at`` aside; return how many were."""
    repeated = 0
    for published in scores.values():
        first, *others = ({**score, "scored_at": 0} for score in published)
        for other in others:
            assert other == first
            repeated += 1
    return repeated

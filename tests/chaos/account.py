"""The exact account: what the topics and Redis hold, against the scoring of the events topic in one go."""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

import numpy as np
from aiokafka import ConsumerRecord
from kafka import KafkaConsumer, TopicPartition

from features import state
from features.state import States
from features.store.customer_store import Loaded
from features.store.partition_record import NO_WATERMARK
from stream.kafka.batches import RecordBatch
from stream.kafka.record_columns import Record
from stream.messages.dead_letter import parse, parse_erasure
from stream.scoring.metrics import ScorerMetrics
from stream.scoring.scorer import Scorer
from stream.settings import Settings
from tests.integration.outcome import TOLERANCE, engine_for, read_topic, stored_states

_BATCH: Final = 5_000
_EXACT: Final = (
    "customer_id",
    "event_time",
    "as_of",
    "band",
    "segment",
    "action",
    "holdout",
    "model_version",
)


class Account(NamedTuple):
    """What was counted; everything else was found equal."""

    events: int
    scores: int
    repeated: int
    letters: int
    customers: int


class _Nowhere:
    """A publisher for a scorer whose results are only looked at."""

    async def publish(self, outputs: Any) -> None:
        """Publish nothing."""


def settle_accounts(settings: Settings) -> Account:
    """Compare states, scores and letters with the scoring of the events topic.

    Raises
    ------
    AssertionError
        Says what differs.
    """
    scorer = Scorer(
        engine_for(settings), _Nowhere(), ScorerMetrics("account"), settings.events_topic, settings.partitions,  # type: ignore[arg-type]
        clock=lambda: 0, acting=False,
    )  # fmt: skip
    truth: dict[str, bytes] = {}
    expected: list[dict[str, Any]] = []
    letters: set[tuple[int, int]] = set()
    events = 0
    for partition in range(settings.partitions):
        records = _records(settings, partition)
        events += len(records)
        truth |= _scored(scorer, partition, records, expected, letters)
    stored = _without_memory(stored_states(settings))
    assert stored.keys() == truth.keys(), f"{len(stored.keys() ^ truth.keys())} customers too many or too few"
    different = [customer for customer, raw in truth.items() if stored[customer] != raw]
    assert not different, f"{len(different)} of {len(truth)} states differ, for example {different[:5]}"
    scores, repeated = _same_scores(settings, expected)
    assert _letters(settings) == letters, "other dead letters than there must be"
    return Account(events, scores, repeated, len(letters), len(truth))


def _scored(
    scorer: Scorer, partition: int, records: list[Record], expected: list[dict[str, Any]], letters: set[tuple[int, int]]
) -> dict[str, bytes]:  # fmt: skip
    """Score a partition from its beginning; return its states by customer."""
    states: dict[str, np.void] = {}
    watermark = NO_WATERMARK
    for start in range(0, len(records), _BATCH):
        piece = records[start : start + _BATCH]
        batch = RecordBatch(partition, piece, piece[0].offset, piece[-1].offset + 1)
        read = scorer.read([batch], [watermark])
        [customers] = read.customers
        result = scorer.score(read, [Loaded(_known(states, customers), ())])
        [changes], [output] = result.changes, result.outputs
        watermark = changes.watermark
        states |= dict(zip(changes.customers, changes.states, strict=True))
        expected += [json.loads(value) for _, value in output.scores if value is not None]
        letters.update((letter.partition, letter.offset) for letter in output.letters)
    stored = state.to_bytes(np.array([*states.values()], state.STATE))
    return {name: raw for (name, one), raw in zip(states.items(), stored, strict=True) if one["events"]}


def _without_memory(stored: dict[str, bytes]) -> dict[str, bytes]:
    """Leave out what is remembered of decisions: it follows from published scores, which the learner changes."""
    states = state.from_bytes(stored.values())
    states["memory"] = 0
    return dict(zip(stored, state.to_bytes(states), strict=True))


def _known(states: dict[str, np.void], customers: list[str]) -> States:
    known = state.empty(len(customers))
    for row, customer in enumerate(customers):
        if customer in states:
            known[row] = states[customer]
    return known


def _same_scores(settings: Settings, expected: list[dict[str, Any]]) -> tuple[int, int]:
    """Compare the published scores with those that must be; return how many there are, and how many repeats."""
    wanted: dict[str, list[dict[str, Any]]] = {}
    for score in expected:
        wanted.setdefault(score["event_id"], []).append(score)
    count = 0
    missing = set(wanted)
    for record in read_topic(settings, settings.scores_topic):
        if record.value is None:
            continue
        score = json.loads(record.value)
        count += 1
        assert score["event_id"] in wanted, f"a score of {score['event_id']}, which must have none"
        assert any(_agree(score, one) for one in wanted[score["event_id"]]), (
            f"another score of {score['event_id']}"
        )
        missing.discard(score["event_id"])
    assert not missing, f"{len(missing)} events have no score, for example {sorted(missing)[:5]}"
    return count, count - len(expected)


def _agree(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether a score is the one that must be, apart from what is learned meanwhile."""
    return abs(found["network_score"] - wanted["network_score"]) < TOLERANCE and all(
        found[name] == wanted[name] for name in ("customer_id", "event_time", "as_of", "segment", "holdout")
    )


def _letters(settings: Settings) -> set[tuple[int, int]]:
    found = set()
    for record in read_topic(settings, settings.dead_letters_topic):
        if parse_erasure(record) is not None:
            continue
        letter = parse(record)
        assert letter is not None, f"no letter at {record.partition}, {record.offset}"
        found.add((letter.partition, letter.offset))
    return found


def _records(settings: Settings, partition: int) -> list[Record]:
    """Return a partition of the events topic."""
    consumer = KafkaConsumer(
        bootstrap_servers=settings.kafka, enable_auto_commit=False, isolation_level="read_committed"
    )
    found: list[Record] = []
    source = TopicPartition(settings.events_topic, partition)
    try:
        consumer.assign([source])
        consumer.seek_to_beginning(source)
        end = consumer.end_offsets([source])[source]
        while consumer.position(source) < end:
            for records in consumer.poll(timeout_ms=500).values():
                found += [
                    ConsumerRecord(
                        r.topic, r.partition, r.offset, r.timestamp, 1, r.key, r.value, None, 0, 0, r.headers
                    )
                    for r in records
                ]
    finally:
        consumer.close()
    return found

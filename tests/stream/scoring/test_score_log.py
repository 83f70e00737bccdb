"""Scoring a log in one process: the stream's results, however the log is read."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from features.log import ERASED, LOG_SCHEMA
from features.state import DAY_MS, States, empty, to_bytes
from features.store.customer_store import Loaded
from features.watermark import BEGINNING
from offline.examples.examples import Context, build_examples
from offline.simulator.bots import kind_of, with_bots
from offline.simulator.shop import ShopParameters
from offline.simulator.simulation import simulate
from stream.decisions.following import NobodyExcluded, PolicyInForce
from stream.decisions.memory import memories_of
from stream.decisions.policy_file import parse_policy
from stream.decisions.rulebook import Rulebook
from stream.kafka.batches import RecordBatch
from stream.logs.rows import encode_rows
from stream.messages.action import decode_action
from stream.messages.dead_letter import DeadLetter
from stream.messages.score import Score, decode_score
from stream.ownership.job import StateChanges
from stream.ownership.promised import ActionRecord, unpack_outbox
from stream.scoring import scored_partition
from stream.scoring.engine import Engine
from stream.scoring.metrics import ScorerMetrics
from stream.scoring.publisher import Output, Publisher
from stream.scoring.score_log import ScoredLog, score_log
from stream.scoring.scorer import Scorer
from tests.bundles import random_bundle
from tests.stream.logs.logs import START, random_log
from tests.stream.records import batch, record

PARTITIONS = 3
ROWS = 600
# Events come up to 5 s late: one in ten of them comes too late.
LATENESS_MS = 2_000
# Events are 0.7 s apart, and a customer's 14 s.
POLICY = """
version: 1
caps: [2 per 1m]
rules:
  - {name: cart, trigger: cart_abandoned, after: 20s, action: remind}
  - {name: back, trigger: win_back, after: 45s, action: come_back}
  - {name: medium, trigger: band_entered, action: news, when: {band: medium}}
  - {name: filled, action: show, when: {band: [medium, high], cart_items: more than 0}}
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder: Path = tmp_path_factory.mktemp("bundle")
    bundle = random_bundle(folder)
    policy = PolicyInForce(Rulebook.of(parse_policy(POLICY), bundle, 0.1))
    return Engine(
        bundle, lateness_ms=LATENESS_MS, ttl_ms=400 * DAY_MS, holdout=0.1, policy=policy, reasons="all"
    )


def states(scored: ScoredLog) -> dict[str, bytes]:
    return dict(zip(scored.customers, to_bytes(scored.states), strict=True))


def assert_equal(one: ScoredLog, other: ScoredLog) -> None:
    assert states(one) == states(other)
    assert one.scores.equals(other.scores)
    assert one.watermarks == other.watermarks
    assert (one.duplicates, one.dead_letters) == (other.duplicates, other.dead_letters)


def with_repeats(log: pa.Table) -> pa.Table:
    """Return the log with every tenth event twice."""
    rows = np.sort(np.concatenate([np.arange(len(log)), np.arange(0, len(log), 10)]))
    return log.take(rows)


class Partition:
    """One partition's part in a round, and what came of it, in memory."""

    batch: RecordBatch

    def __init__(self, number: int) -> None:
        self.partition, self.watermark = number, BEGINNING
        self.states: dict[str, States] = {}
        self.scores: list[Score] = []
        self.actions: list[ActionRecord] = []
        self.timers: dict[str, int] = {}
        self.letters: list[DeadLetter] = []

    def load(self, customers: Sequence[str]) -> States:
        states = empty(len(customers))
        for at, customer in enumerate(customers):
            if customer in self.states:
                states[at] = self.states[customer]
        return states

    def take(self, output: Output) -> None:
        assert output.partition == self.partition
        self.scores += [decode_score(value) for _, value in output.scores if value is not None]
        self.letters += output.letters

    def save(self, folded: StateChanges) -> None:
        self.watermark = folded.watermark
        self.actions += unpack_outbox(folded.outbox).actions if folded.outbox else []
        self.timers |= dict(zip(*folded.timers, strict=True))
        for customer, state in zip(folded.customers, folded.states, strict=True):
            self.states[customer] = state.copy()
        assert {customer: due for customer, due in self.timers.items() if due} == {
            customer: int(memories_of(state.reshape(1))["due"][0])
            for customer, state in self.states.items()
            if memories_of(state.reshape(1))["due"][0]
        }

    def due(self, reached: int, customers: Sequence[str]) -> list[str]:
        due = [customer for customer, moment in self.timers.items() if 0 < moment <= reached]
        return [customer for customer in due if customer not in customers]


class Printer:
    """A publisher that hands everything to the partitions."""

    def __init__(self, partitions: list[Partition]) -> None:
        self.partitions = partitions

    async def publish(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            self.partitions[output.partition].take(output)


async def _streamed(engine: Engine, log: pa.Table, batch_size: int) -> list[Partition]:
    """Send a log through the replay's encoding and the scorer, in rounds of a batch for each partition."""
    encoded = encode_rows(log, PARTITIONS)
    partitions = [Partition(number) for number in range(PARTITIONS)]
    scorer = Scorer(engine, cast(Publisher, Printer(partitions)), ScorerMetrics("test"), "events", PARTITIONS)
    rows = [np.flatnonzero(encoded.partition == p.partition).tolist() for p in partitions]
    for start in range(0, max(map(len, rows)), batch_size):
        parts = [p for p in partitions if rows[p.partition][start : start + batch_size]]
        for part in parts:
            part.batch = batch(
                *(
                    record(
                        offset,
                        encoded.values[row],
                        encoded.keys[row],
                        partition=part.partition,
                        timestamp=START + 10**9,
                        headers=[("arrived_at", encoded.arrivals[row])],
                    )
                    for offset, row in enumerate(rows[part.partition][start : start + batch_size], start)
                )
            )

        read = scorer.read([part.batch for part in parts], [part.watermark for part in parts])
        assert not read.with_items
        loaded = []
        for part, own, reached in zip(parts, read.customers, read.reached, strict=True):
            due = part.due(reached, own)
            loaded.append(Loaded(part.load([*own, *due]), (), due))
        result = scorer.score(read, loaded)
        await scorer.publish(result)
        for part, changes in zip(parts, result.changes, strict=True):
            part.save(changes)
    return partitions


@pytest.mark.parametrize("batch_size", [1, 7, 10_000])
def test_the_scorer_gives_the_same_states_and_scores_to_the_bit(
    engine: Engine, seed: int, batch_size: int
) -> None:
    log = with_repeats(random_log(ROWS, seed))
    truth = score_log(log, engine, partitions=PARTITIONS, decide_by=[engine.rulebook])
    streamed = asyncio.run(_streamed(engine, log, batch_size))
    assert {c: to_bytes(s)[0] for p in streamed for c, s in _states(p)} == states(truth)
    assert {p.partition: p.watermark for p in streamed} == truth.watermarks
    assert sum(len(p.letters) for p in streamed) == truth.dead_letters > 0
    rows = {row["event_id"]: row for row in truth.scores.to_pylist()}
    published = {score.event_id: score for p in streamed for score in p.scores}
    assert published.keys() == rows.keys()
    for event_id, score in published.items():
        row = rows[event_id]
        assert (score.purchase_intent, score.network_score) == (row["purchase_intent"], row["network_score"])
        assert (score.band, score.action, score.holdout) == (row["band"], row["action"], row["holdout"])
        assert score.traffic == row["traffic"]
        assert {"id": score.segment.id, "name": score.segment.name} == row["segment"]
    bots = {
        event
        for event, said in zip(*log.select(["event_id", "bot"]).to_pydict().values(), strict=True)
        if said
    }
    assert {event for event, row in rows.items() if row["traffic"] == "bot"} == bots & rows.keys()
    assert bots
    actions = truth.decided[0].actions
    assert {"cart_abandoned", "win_back"} < {action.trigger for action in actions}
    assert all(action.reasons for action in actions)
    assert any(action.items for action in actions)
    records = [record for p in streamed for record in p.actions]
    assert {value for _, value in records} == set(map(msgspec.json.encode, actions))
    assert len(records) == len(actions)
    found = sorted((decode_action(value) for _, value in records if value), key=lambda one: one.decided_at)
    assert found == actions, "in the same order"
    assert len(rows) + truth.duplicates + truth.dead_letters == len(log)
    assert truth.duplicates > 0


def test_states_remember_what_was_decided_only_where_that_is_wanted(engine: Engine, seed: int) -> None:
    log = random_log(ROWS, seed)
    one, other = (score_log(log, engine, partitions=PARTITIONS, remember=wanted) for wanted in (True, False))
    assert one.scores.equals(other.scores)
    assert one.states["memory"].any()
    assert not other.states["memory"].any()
    asked = score_log(log, engine, partitions=PARTITIONS, decide_by=[engine.rulebook], remember=False)
    assert states(asked) == states(one), "whose actions are wanted is remembered"


def test_training_leaves_out_exactly_the_events_that_the_stream_flags(engine: Engine, seed: int) -> None:
    log = with_bots(simulate(ShopParameters.default(), customers=200, days=2, seed=seed % 2**31), 0.03)
    staff = frozenset(log["customer_id"].to_pylist()[:3])
    at = LOG_SCHEMA.get_field_index("bot")
    said = pa.compute.ends_with(log["event_id"], "7")
    log = log.set_column(at, LOG_SCHEMA.field("bot"), said)
    flagging = dataclasses.replace(engine, exclusions=NobodyExcluded(staff))
    scores = score_log(log, flagging, partitions=1).scores
    found = build_examples(log, Context(1_800_000, "0", lateness_ms=engine.lateness_ms), excluded=staff)
    assert log["event_id"].take(pa.array(found.rows)).to_pylist() == scores["event_id"].to_pylist()
    assert found.apart.tolist() == scores["traffic"].is_valid().to_pylist()
    flagged = set(zip(scores["customer_id"].to_pylist(), scores["traffic"].to_pylist(), strict=True))
    assert {customer for customer, traffic in flagged if traffic == "staff"} == staff
    assert {kind_of(customer) for customer, traffic in flagged if traffic == "bot"} > {None, "fast_scraper"}


def _states(partition: Partition) -> list[tuple[str, States]]:
    return [(customer, state.reshape(1)) for customer, state in partition.states.items() if state["events"]]


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_the_size_of_the_pieces_makes_no_difference(
    engine: Engine, seed: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = with_repeats(random_log(ROWS, seed))
    whole = score_log(log, engine, partitions=PARTITIONS)
    monkeypatch.setattr(scored_partition, "CHUNK", rows)
    assert_equal(score_log(log, engine, partitions=PARTITIONS), whole)


def test_a_log_that_names_its_partitions_is_scored_by_them(engine: Engine, seed: int) -> None:
    log = random_log(ROWS, seed)
    partition = encode_rows(log, PARTITIONS).partition
    at = LOG_SCHEMA.get_field_index("partition")
    named = log.set_column(at, LOG_SCHEMA.field("partition"), pa.array(partition, pa.int32()))
    assert_equal(score_log(named, engine), score_log(log, engine, partitions=PARTITIONS))


def test_the_watermark_is_that_of_the_partition(engine: Engine, seed: int) -> None:
    log = random_log(ROWS, seed)
    one, three = score_log(log, engine, partitions=1), score_log(log, engine, partitions=PARTITIONS)
    latest = log["event_time"].cast(pa.int64()).to_numpy().max()
    assert one.watermarks == {0: latest - LATENESS_MS}
    assert max(three.watermarks.values()) == latest - LATENESS_MS
    assert three.dead_letters < one.dead_letters, "fewer events are late where fewer came before"


def test_scores_come_in_the_order_of_the_log_with_the_fields_of_the_contract(
    engine: Engine, seed: int
) -> None:
    log = random_log(ROWS, seed)
    scores = score_log(log, engine, partitions=PARTITIONS).scores
    wanted = set(scores["event_id"].to_pylist())
    assert scores["event_id"].to_pylist() == [e for e in log["event_id"].to_pylist() if e in wanted]
    assert set(scores.column_names) == set(Score.__struct_fields__) - {
        "scored_at",
        "recommendation",
        "stale",
    }


def test_rows_of_erased_customers_move_the_watermark_and_nothing_else(engine: Engine, seed: int) -> None:
    log = random_log(ROWS, seed)
    partition = encode_rows(log, PARTITIONS).partition
    gone = log["customer_id"][0].as_py()
    erased = np.array([customer == gone for customer in log["customer_id"].to_pylist()])
    columns = {}
    for field in LOG_SCHEMA:
        column = log[field.name].combine_chunks()
        if field.name == "type":
            column = pa.array(np.where(erased, ERASED, column.to_numpy(zero_copy_only=False)))
        elif field.name == "partition":
            column = pa.array(partition, pa.int32())
        elif field.name not in ("event_time", "arrived_at"):
            column = pa.compute.if_else(pa.array(erased), pa.scalar(None, field.type), column)
        columns[field.name] = column
    left = score_log(pa.table(columns, schema=LOG_SCHEMA), engine)
    whole = score_log(log, engine, partitions=PARTITIONS)
    assert left.watermarks == whole.watermarks
    assert states(left) == {customer: state for customer, state in states(whole).items() if customer != gone}
    assert left.scores.equals(whole.scores.filter(pa.compute.not_equal(whole.scores["customer_id"], gone)))


def test_progress_is_told_up_to_the_end(engine: Engine, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scored_partition, "CHUNK", 50)
    told: list[tuple[int, int]] = []
    score_log(
        random_log(ROWS, seed), engine, partitions=PARTITIONS, on_progress=lambda *pair: told.append(pair)
    )
    done = [done for done, _ in told]
    assert done == sorted(done)
    assert told[-1] == (ROWS, ROWS)
    assert len(told) >= ROWS // 50


def test_an_empty_log_has_no_scores_but_all_their_fields(engine: Engine, seed: int) -> None:
    log = random_log(10, seed)
    empty_log, full = score_log(log.slice(0, 0), engine, partitions=3), score_log(log, engine, partitions=3)
    assert empty_log.scores.schema == full.scores.schema
    assert (len(empty_log.scores), empty_log.customers, len(empty_log.states)) == (0, [], 0)
    assert empty_log.watermarks == {}

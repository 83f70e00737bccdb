"""What a batch of the worker decides: timers, the outbox, and what is remembered; see also `test_score_log`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from msgspec.json import encode

from features.bundle import Bundle
from features.offers import Catalogue, OfferPolicy
from features.state import DAY_MS, States, empty, joined
from features.store.customer_store import Loaded, TimerChanges
from features.vector import WIDTH
from features.watermark import BEGINNING
from stream.decisions.following import PolicyInForce
from stream.decisions.memory import memories_of
from stream.decisions.policy_file import parse_policy
from stream.decisions.rulebook import Rulebook
from stream.kafka.batches import RecordBatch
from stream.messages.action import decode_action
from stream.ownership.job import StateChanges
from stream.ownership.promised import unpack_outbox
from stream.scoring.canary import CanaryBundle
from stream.scoring.engine import Engine
from stream.scoring.recommending import NewestRecommender, Recommender
from tests.bundles import random_bundle
from tests.malformed import good
from tests.stream.records import NOW, batch, home, record
from tests.stream.scoring.test_scorer import LATENESS, Bench

MINUTE = 60_000
SCORE = Bundle.score
GOODS = {"type": "add_to_cart", "customer_id": "anna", "price": 9.0}
POLICY = """
version: 1
rules:
  - {name: back, trigger: win_back, after: 30m, action: come_back}
  - {name: always, action: show}
"""
BERT = next(name for name in ("bert", "bea", "ben", "bob", "bill", "beth") if home(name) == home("anna"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder: Path = tmp_path_factory.mktemp("bundle")
    return random_bundle(folder)


@pytest.fixture
def bench(bundle: Bundle) -> Bench:
    bench = Bench(bundle)
    policy = PolicyInForce(Rulebook.of(parse_policy(POLICY), bundle, 0.0))
    bench.scorer.engine = Engine(
        bundle, lateness_ms=LATENESS, ttl_ms=400 * DAY_MS, holdout=0.0, policy=policy, reasons="all"
    )
    return bench


def run(
    bench: Bench, records: RecordBatch, due: Sequence[str] = (), states: States | None = None
) -> StateChanges:
    """Score a batch, and the customers whose timers are due beside it; keep what it would save."""
    read = bench.scorer.read([records], [bench.part.watermark])
    [found] = bench.part.load(read.customers, items=read.with_items)
    if due:
        [more] = bench.part.load([due], items=False)
        found = Loaded(joined([found.states, more.states]), found.items, due)
    [changes] = bench.scorer.score(read, [found]).changes
    bench.part.save(changes)
    return changes


def decided(changes: StateChanges) -> list[str | None]:
    """Return customer and rule of each action that is to be published; a tombstone is the customer alone."""
    records = unpack_outbox(changes.outbox).actions if changes.outbox else []
    return [who if value is None else f"{who} {decode_action(value).rule}" for who, value in records]


def test_a_silence_is_waited_for_from_the_latest_event_on(bench: Bench) -> None:
    changes = run(bench, batch(*(record(at, good(at, NOW + at)) for at in range(4))))
    assert decided(changes) == ["anna always"]
    assert changes.timers == TimerChanges(["anna"], [NOW + 3 + 30 * MINUTE])
    assert memories_of(changes.states)["due"].tolist() == [NOW + 3 + 30 * MINUTE]
    again = run(bench, batch(record(4, good(1, NOW))))  # a repetition
    assert (again.timers, again.outbox) == (TimerChanges([], []), b"")


def later(value_time: int = NOW + 60 * MINUTE, **fields: bool) -> RecordBatch:
    """Return a batch of somebody else that reaches what is due for anna."""
    one = record(9, good(9, value_time, customer=BERT), BERT.encode(), timestamp=value_time)
    return batch(one)._replace(**fields)


def test_who_is_not_in_the_batch_gets_what_is_due_and_is_saved_with_it(bench: Bench) -> None:
    before = run(bench, batch(record(0, good(0, NOW)))).states
    changes = run(bench, later(), ["anna"])
    assert decided(changes) == [f"{BERT} always", "anna back"]
    assert list(changes.customers) == [BERT, "anna"]
    assert changes.states["events"].tolist() == [1, 1]
    assert changes.timers == TimerChanges([BERT, "anna"], [NOW + 90 * MINUTE, 0])
    after = changes.states[1:].copy()
    assert after["memory"].tobytes() != before["memory"].tobytes()
    after["memory"] = before["memory"]
    assert after.tobytes() == before.tobytes(), "nothing else changes"


def test_a_silent_batch_remembers_and_sets_timers_and_publishes_nothing(bench: Bench, bundle: Bundle) -> None:
    run(bench, batch(record(0, good(0, NOW))))
    silent = run(bench, later(silent=True), ["anna"])
    assert silent.outbox == b""
    assert silent.timers == TimerChanges([BERT, "anna"], [NOW + 90 * MINUTE, 0])
    loud = run(bench, later(NOW + 120 * MINUTE))
    assert decided(loud) == [f"{BERT} back"], "what was decided silently is not decided again"


def test_actions_of_before_an_erasure_stand_before_its_tombstone_and_later_ones_behind(bench: Bench) -> None:
    changes = run(
        bench,
        batch(
            record(0, None, BERT.encode()),
            record(1, good(1, NOW)),
            record(2, None),
            record(3, good(3, NOW + 1)),
            record(4, good(4, NOW + 1, customer=BERT), BERT.encode()),
        ),
    )
    assert decided(changes) == [BERT, "anna always", "anna", "anna always", f"{BERT} always"]
    assert list(changes.erased) == [BERT, "anna"]
    assert changes.states["events"].tolist() == [1, 1]


def test_an_erased_customer_leaves_no_memory_and_no_timer(bench: Bench) -> None:
    run(bench, batch(record(0, good(0, NOW))))
    changes = run(bench, batch(record(1, good(1, NOW + 1)), record(2, None)))
    assert changes.states.tobytes() == empty(1).tobytes()
    assert decided(changes) == ["anna"]
    assert changes.timers == TimerChanges(["anna"], [0])


def test_the_timer_of_who_comes_back_is_told_even_if_it_is_the_one_of_before(bench: Bench) -> None:
    first = run(bench, batch(record(0, good(0, NOW))))
    changes = run(bench, batch(record(1, None), record(2, good(2, NOW))))
    assert changes.timers == first.timers == TimerChanges(["anna"], [NOW + 30 * MINUTE])


def test_an_erasure_moves_no_watermark(bench: Bench) -> None:
    changes = run(bench, batch(record(0, None), record(1, None, BERT.encode())))
    assert decided(changes) == ["anna", BERT]
    run(bench, batch(record(2, good(2, NOW))))
    assert decided(run(bench, batch(record(3, None, BERT.encode())), ["anna"])) == [BERT]


def test_where_no_actions_are_wanted_what_was_remembered_is_forgotten(bench: Bench) -> None:
    run(bench, batch(record(0, good(0, NOW))))
    bench.scorer.acting = False
    changes = run(bench, later(), ["anna"])
    assert not changes.states["memory"].any()
    assert (changes.timers, changes.outbox) == (TimerChanges(["anna"], [0]), b"")
    bench.scorer.acting = True
    changes = run(bench, batch(record(10, good(10, NOW + 61 * MINUTE), timestamp=NOW + 61 * MINUTE)))
    assert decided(changes) == ["anna always"], "as if the customer was new"


def test_a_memory_is_a_view_of_its_state() -> None:
    states = empty(3)
    memories_of(states)["due"] = [0, 5, 7]
    assert memories_of(states[1:])["due"].tolist() == [5, 7]
    assert np.flatnonzero(states["memory"].any(axis=1)).tolist() == [1, 2]
    assert len(memories_of(empty(0))) == 0


def test_an_action_names_the_bundle_that_made_the_customers_scores(bench: Bench, tmp_path: Path) -> None:
    other, names = random_bundle(tmp_path, seed=7), ["anna", BERT]
    canaries = (CanaryBundle(other, 0.5, f"salt {number}") for number in range(99))
    canary = next(one for one in canaries if one.has(names).sum() == 1)
    has = dict(zip(names, canary.has(names).tolist(), strict=True))
    live = bench.scorer.engine.bundle.manifest.version
    bench.scorer.engine = replace(bench.scorer.engine, canary=canary)
    changes = run(
        bench, batch(*(record(at, good(at, NOW + at, who), who.encode()) for at, who in enumerate(names)))
    )
    made = {action.customer_id: action.model_version for action in map(decode_action, _values(changes))}
    assert made == {name: canary.version if has[name] else live for name in names}
    assert len(set(made.values())) == 2


def test_an_event_that_the_canary_could_not_score_names_the_live_bundle(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = random_bundle(tmp_path, seed=7)
    canary = CanaryBundle(other, 0.999_999, "salt")
    nothing = other.score(np.zeros((1, WIDTH), np.float32))
    monkeypatch.setattr(
        Bundle,
        "score",
        lambda self, rows: (
            nothing._replace(
                probability=np.full(len(rows), np.nan),
                logit=np.zeros(len(rows)),
                segment=np.zeros(len(rows), np.int64),
                band=np.zeros(len(rows), np.uint8),
            )
            if self is other
            else SCORE(self, rows)
        ),
    )
    bench.scorer.engine = replace(bench.scorer.engine, canary=canary)
    [value] = _values(run(bench, batch(record(0, good(0, NOW)))))
    assert decode_action(value).model_version == bench.scorer.engine.bundle.manifest.version


ELSEWHERE = next(f"c{at}" for at in range(99) if home(f"c{at}") != home("anna"))


def two_parts(watermarks: tuple[int, int] = (BEGINNING, BEGINNING)) -> tuple[list[RecordBatch], list[int]]:
    """Return batches of two partitions, with an erasure and a repetition, and the watermarks before them."""
    there = home(ELSEWHERE)
    one = batch(
        record(0, good(0, NOW)),
        record(1, good(1, NOW + 1, customer=BERT), BERT.encode()),
        record(2, None),
        record(3, good(3, NOW + 61 * MINUTE), timestamp=NOW + 61 * MINUTE),
        record(4, good(3, NOW + 61 * MINUTE), timestamp=NOW + 61 * MINUTE),
    )
    other = batch(
        *(
            record(at, raw, ELSEWHERE.encode(), partition=there, timestamp=NOW + 61 * MINUTE)
            for at, raw in enumerate(
                [
                    good(7, NOW, customer=ELSEWHERE),
                    good(8, NOW + 61 * MINUTE, customer=ELSEWHERE),
                    None,
                    good(9, NOW + 61 * MINUTE, customer=ELSEWHERE),
                ]
            )
        )
    )
    return [one, other], list(watermarks)


def test_partitions_are_decided_on_together_as_each_is_alone(bench: Bench) -> None:
    parts, watermarks = two_parts()

    def decided_on(parts: list[RecordBatch], watermarks: list[int]) -> list[StateChanges]:
        read = bench.scorer.read(parts, watermarks)
        loaded = [Loaded(empty(len(customers)), ()) for customers in read.customers]
        return list(bench.scorer.score(read, loaded).changes)

    together = decided_on(parts, watermarks)
    alone = [decided_on([part], [mark])[0] for part, mark in zip(parts, watermarks, strict=True)]
    for one, other in zip(together, alone, strict=True):
        assert (one.customers, one.timers, one.outbox) == (other.customers, other.timers, other.outbox)
        assert one.states.tobytes() == other.states.tobytes()
    assert decided(together[0]) == ["anna always", f"{BERT} always", "anna", "anna always", f"{BERT} back"]
    assert decided(together[1]) == [f"{ELSEWHERE} always", ELSEWHERE, f"{ELSEWHERE} always"]


def test_a_part_beside_others_saves_also_those_who_are_there_for_their_timers(bench: Bench) -> None:
    parts, _ = two_parts()
    first = run(bench, batch(record(0, good(0, NOW, customer=BERT), BERT.encode())))
    read = bench.scorer.read([parts[1], later()], [BEGINNING, first.watermark])
    bert = bench.part.states[BERT]
    assert read.customers[1] == [BERT]
    ann = run(bench, batch(record(1, good(1, NOW)))).states
    loaded = [
        Loaded(empty(1), ()),
        Loaded(joined([bert.reshape(1), ann.copy()]), (), ["anna"]),
    ]
    changes = bench.scorer.score(read, loaded).changes[1]
    assert list(changes.customers) == [BERT, "anna"]
    assert changes.states["events"].tolist() == [2, 1]
    assert decided(changes)[-1] == "anna back"
    assert memories_of(changes.states)["due"].tolist() == changes.timers.moments


LEFT = """
version: 1
rules:
  - {name: left, trigger: cart_abandoned, after: 30m, action: remind}
  - {name: added, action: show, when: {cart_items: more than 1}}
"""


@pytest.mark.parametrize("cuts", [(), (3,), (1, 2, 3)])
def test_an_action_tells_its_event_s_item_or_what_is_in_the_cart_as_far_as_its_items_are_known(
    bench: Bench, bundle: Bundle, cuts: tuple[int, ...]
) -> None:
    rulebook = Rulebook.of(parse_policy(LEFT), bundle, 0.0)
    bench.scorer.engine = replace(bench.scorer.engine, policy=PolicyInForce(rulebook))
    names = Catalogue("p1", ["tent", "rope"]).by_hash()
    offers = OfferPolicy(
        version="p1", bundle=bundle.manifest.version, partitions=3, created_at="", offers=[], popular=[]
    )
    newest = SimpleNamespace(current=Recommender(offers, len(bundle.segmenter.segments), names))
    bench.scorer.recommending = cast(NewestRecommender, newest)
    events = [
        record(at, encode({**GOODS, "event_id": f"a{at}", "item_id": item, "event_time": NOW + at}))
        for at, item in enumerate(["rope", "lamp", "tent"])
    ]
    records = [*events, *later().records]
    told = []
    for start, stop in zip([0, *cuts], [*cuts, 4], strict=True):
        due = ["anna"] if stop == 4 and start == 3 else []
        told += _values(run(bench, batch(*records[start:stop]), due))
    actions = [action for action in map(decode_action, told) if action.customer_id == "anna"]
    assert [(one.rule, one.items) for one in actions] == [("added", ["lamp"]), ("left", ["tent", "rope"])]
    assert actions[1].reasons, "those of the last score"


def _values(changes: StateChanges) -> list[bytes]:
    records = unpack_outbox(changes.outbox).actions if changes.outbox else []
    return [value for _, value in records if value is not None]

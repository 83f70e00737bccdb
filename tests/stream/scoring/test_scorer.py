"""The scorer: the order of its steps, and that running a batch again gives the same."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from features.bundle import BANDS, Bundle
from features.offers import CustomerItems, Offer, OfferPolicy
from features.state import DAY_MS, States, empty
from features.store.customer_store import Loaded
from features.watermark import BEGINNING
from stream.decisions.following import NobodyExcluded, PolicyInForce
from stream.decisions.policy_file import parse_policy
from stream.decisions.rulebook import Rulebook
from stream.exceptions import PartitionsChanged
from stream.kafka.batches import RecordBatch
from stream.messages.dead_letter import DeadLetter
from stream.messages.score import decode_score
from stream.ownership.job import StateChanges
from stream.scoring.engine import Engine
from stream.scoring.metrics import ScorerMetrics
from stream.scoring.publisher import Output, Publisher
from stream.scoring.recommending import NewestRecommender, Recommender
from stream.scoring.scorer import Scorer
from tests.bundles import random_bundle
from tests.malformed import good
from tests.stream.records import NOW, PARTITIONS, batch, home, record

LATENESS = 15 * 60_000


class Printer:
    """A publisher that keeps what it gets, or fails as it is told."""

    def __init__(self, story: list[str]) -> None:
        self.story = story
        self.failure: Exception | None = None
        self.scores: list[tuple[str, bytes | None]] = []
        self.letters: list[DeadLetter] = []

    async def publish(self, outputs: Sequence[Output]) -> None:
        self.story.append("produce")
        [output] = outputs
        self.scores, self.letters = list(output.scores), list(output.letters)
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        self.story.append("acknowledged")


class MemoryPart:
    """A partition's part in a round; its states are in memory."""

    watermark = BEGINNING

    def __init__(self, story: list[str]) -> None:
        self.story = story
        self.states: dict[str, States] = {}
        self.items: dict[str, bytes] = {}

    def load(self, groups: Sequence[Sequence[str]], *, items: bool) -> list[Loaded]:
        self.story.append("load with items" if items else "load")
        [customers] = groups
        assert len(set(customers)) == len(customers)
        states = empty(len(customers))
        for at, customer in enumerate(customers):
            if customer in self.states:
                states[at] = self.states[customer]
        return [Loaded(states, [self.items.get(customer) for customer in customers] if items else ())]

    def save(self, folded: StateChanges) -> None:
        for customer, state in zip(folded.customers, folded.states, strict=True):
            self.states[customer] = state.copy()
        self.watermark = folded.watermark


class Bench:
    """A scorer between fakes."""

    def __init__(self, bundle: Bundle) -> None:
        self.story: list[str] = []
        self.printer, self.part = Printer(self.story), MemoryPart(self.story)
        self.clock = 1_000
        self.metrics = ScorerMetrics("test")
        engine = Engine(bundle, lateness_ms=LATENESS, ttl_ms=400 * DAY_MS, holdout=0.0)
        self.scorer = Scorer(
            engine,
            cast(Publisher, self.printer),
            self.metrics,
            "events",
            PARTITIONS,
            clock=lambda: self.clock,
        )

    def run(self, records: RecordBatch) -> StateChanges:
        read = self.scorer.read([records], [self.part.watermark])
        loaded = self.part.load(read.customers, items=read.with_items)
        result = self.scorer.score(read, loaded)
        asyncio.run(self.scorer.publish(result))
        [folded] = result.changes
        return folded

    def count(self, name: str, **labels: str) -> Any:
        return self.metrics.registry.get_sample_value(name, labels)

    def events(self) -> list[str | None]:
        return [value and decode_score(value).event_id for _, value in self.printer.scores]  # type: ignore[misc]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder: Path = tmp_path_factory.mktemp("bundle")
    return random_bundle(folder)


@pytest.fixture
def bench(bundle: Bundle) -> Bench:
    return Bench(bundle)


GOOD = batch(*(record(at, good(at, NOW + at)) for at in range(4)))


def test_states_are_loaded_scores_are_acknowledged_and_only_then_it_returns(bench: Bench) -> None:
    folded = bench.run(GOOD)
    assert bench.story == ["load", "produce", "acknowledged"]
    assert (folded.customers, folded.states["events"].tolist()) == (["anna"], [4])
    assert folded.watermark == NOW + 3 - LATENESS
    assert bench.events() == ["good-0", "good-1", "good-2", "good-3"]


def test_without_an_acknowledgement_nothing_is_returned_or_counted(bench: Bench) -> None:
    bench.printer.failure = TimeoutError("no answer")
    with pytest.raises(TimeoutError, match="no answer"):
        bench.run(GOOD)
    assert bench.count("intent_scored_total") == 0


def test_a_batch_that_is_run_again_gives_the_same_scores_and_states(bench: Bench) -> None:
    first, scores = bench.run(GOOD), bench.printer.scores
    again = bench.run(GOOD)
    assert again.states.tobytes() == first.states.tobytes()
    assert bench.printer.scores == scores
    bench.clock += 1
    bench.run(GOOD)
    later = [decode_score(value) for _, value in bench.printer.scores if value]
    former = [decode_score(value) for _, value in scores if value]
    assert {score.scored_at for score in later} == {1_001}
    assert [(s.event_id, s.purchase_intent) for s in later] == [
        (s.event_id, s.purchase_intent) for s in former
    ]


def test_two_batches_give_the_states_and_scores_of_one(bench: Bench, bundle: Bundle) -> None:
    other = Bench(bundle)
    whole = bench.run(GOOD)
    scores = []
    for part in (batch(*GOOD.records[:3]), batch(*GOOD.records[3:])):
        folded = other.run(part)
        other.part.save(folded)
        scores += other.printer.scores
    assert folded.states.tobytes() == whole.states.tobytes()
    assert folded.watermark == whole.watermark
    assert scores == bench.printer.scores


def test_bad_records_become_letters_with_their_coordinates(bench: Bench) -> None:
    headers = [("arrived_at", b"%d" % NOW), ("trace", b"7")]
    folded = bench.run(
        batch(record(3, good(1)), record(5, b"\xff", b"bert", headers=headers), record(9, good(2)))
    )
    [letter] = bench.printer.letters
    assert (letter.key, letter.value, letter.reason) == (b"bert", b"\xff", "not_json")
    assert (letter.topic, letter.offset, letter.arrived_at) == ("events", 5, NOW)
    assert letter.original_headers == headers
    assert folded.states["events"].tolist() == [2]
    assert bench.events() == ["good-1", "good-2"]


def test_before_a_producer_is_blamed_the_partitions_are_counted_again(bench: Bench) -> None:
    counts = [PARTITIONS, PARTITIONS + 1]

    async def recount() -> int:
        return counts.pop(0)

    bench.scorer.recount = recount
    bench.run(GOOD)
    assert len(counts) == 2, "nobody is asked where all is well"
    other = next(key for key in (b"a", b"b", b"c", b"d") if home(key) != home(b"anna"))
    wrong = batch(record(0, good(1, customer=other.decode()), other))
    bench.run(wrong)
    assert [letter.reason for letter in bench.printer.letters] == ["wrong_partition"]
    bench.story.clear()
    with pytest.raises(PartitionsChanged, match=f"{PARTITIONS + 1} partitions, but had {PARTITIONS}"):
        bench.run(wrong)
    assert "produce" not in bench.story


def test_a_batch_of_bad_records_changes_no_state(bench: Bench) -> None:
    folded = bench.run(batch(record(0, b"{"), record(1, b"")))
    assert (list(folded.customers), len(folded.states), folded.watermark) == ([], 0, BEGINNING)
    assert (bench.printer.scores, len(bench.printer.letters)) == ([], 2)


def test_an_erased_customer_has_an_empty_state_and_a_tombstone(bench: Bench) -> None:
    bench.part.save(bench.run(GOOD))
    folded = bench.run(batch(record(4, good(7, NOW + 9)), record(5, None)))
    assert folded.states.tobytes() == empty(1).tobytes()
    assert bench.events() == ["good-7", None]
    folded = bench.run(batch(record(4, None), record(5, good(7, NOW + 9))))
    assert folded.states["events"].tolist() == [1], "who comes back after the erasure begins anew"
    assert bench.events() == [None, "good-7"]


def test_the_watermark_before_the_batch_is_the_partitions(bench: Bench) -> None:
    bench.part.watermark = NOW + 2
    folded = bench.run(GOOD)
    assert [letter.reason for letter in bench.printer.letters] == ["late", "late"]
    assert (bench.events(), folded.watermark) == (["good-2", "good-3"], NOW + 2)
    assert folded.states["events"].tolist() == [2]


class Offers:
    """A recommender's source that has one policy: an offer for every segment and band."""

    def __init__(self, bundle: Bundle) -> None:
        offers = [
            Offer(segment=at, segment_name="", band=band, offer="news", text="News", items=["general"])
            for at in range(len(bundle.segmenter.segments))
            for band in BANDS
        ]
        policy = OfferPolicy(
            version="p1", bundle="", partitions=PARTITIONS, created_at="", offers=offers, popular=[]
        )
        self.current = Recommender(policy, len(bundle.segmenter.segments))


def recommended(bench: Bench) -> list[list[str] | None]:
    scores = [decode_score(value) for _, value in bench.printer.scores if value]
    return [score.recommendation and score.recommendation.items for score in scores]


def test_without_offers_scores_carry_nothing_and_no_items_are_asked_for(bench: Bench) -> None:
    bench.part.items["anna"] = CustomerItems("p1", ["own"]).to_bytes()
    bench.run(GOOD)
    assert bench.story[0] == "load"
    assert recommended(bench) == [None] * 4
    assert all(b"recommendation" not in (value or b"") for _, value in bench.printer.scores)


def test_with_offers_scores_carry_the_customers_items_and_are_else_the_same(
    bench: Bench, bundle: Bundle
) -> None:
    bench.run(GOOD)
    plain = [decode_score(value) for _, value in bench.printer.scores if value]
    bench.scorer.recommending = cast(NewestRecommender, Offers(bundle))
    bench.part.items["anna"] = CustomerItems("p1", ["own"]).to_bytes()
    bench.story.clear()
    bench.run(GOOD)
    assert bench.story == ["load with items", "produce", "acknowledged"]
    assert recommended(bench) == [["own"]] * 4
    assert bench.count("intent_recommended_total", source="customer") == 4
    rich = [decode_score(value) for _, value in bench.printer.scores if value]
    assert [msgspec.structs.replace(score, recommendation=None) for score in rich] == plain


def test_items_from_before_an_erasure_are_not_shown_after_it(bench: Bench, bundle: Bundle) -> None:
    bench.scorer.recommending = cast(NewestRecommender, Offers(bundle))
    bench.part.items["anna"] = CustomerItems("p1", ["own"]).to_bytes()
    folded = bench.run(batch(record(4, None), record(5, good(7, NOW + 9))))
    assert recommended(bench) == [["general"]]
    assert (list(folded.customers), list(folded.erased)) == (["anna"], ["anna"])
    assert list(bench.run(GOOD).erased) == []


def test_a_silent_batch_changes_states_and_publishes_nothing(bench: Bench, bundle: Bundle) -> None:
    mixed = batch(*GOOD.records, record(4, b"no event"), record(5, None, b"bert"))
    loud = Bench(bundle).run(mixed)
    folded = bench.run(mixed._replace(silent=True))
    assert (bench.printer.scores, bench.printer.letters) == ([], [])
    assert folded.states.tobytes() == loud.states.tobytes()
    assert (folded.watermark, list(folded.customers)) == (loud.watermark, list(loud.customers))
    assert (bench.count("intent_rebuilt_total"), bench.count("intent_scored_total")) == (6, 0)


def test_in_a_round_with_others_only_the_silent_partition_is_silent(bench: Bench) -> None:
    other = next(n for n in range(PARTITIONS) if n != GOOD.partition)
    key = next(f"c{n}" for n in range(99) if home(f"c{n}") == other)
    event = good(7, NOW).replace(b"anna", key.encode())
    loud = batch(record(0, event, key.encode(), partition=other), record(1, b"{", partition=other))
    read = bench.scorer.read([GOOD._replace(silent=True), loud], [BEGINNING] * 2)
    result = bench.scorer.score(read, [Loaded(empty(1), ()), Loaded(empty(1), ())])
    assert result.outputs[0] == Output(GOOD.partition)
    assert [customer for customer, _ in result.outputs[1].scores] == [key]
    assert len(result.outputs[1].letters) == 1


def test_what_is_no_customers_is_scored_and_nothing_else(bench: Bench, bundle: Bundle) -> None:
    bench.scorer.recommending = cast(NewestRecommender, Offers(bundle))
    greeting = PolicyInForce(
        Rulebook.of(parse_policy("version: 1\nrules:\n  - {name: a, action: greet}\n"), bundle, 0.0)
    )
    options: dict[str, Any] = {
        "lateness_ms": LATENESS,
        "ttl_ms": 400 * DAY_MS,
        "holdout": 0.0,
        "reasons": "all",
    }
    bench.scorer.engine = Engine(bundle, policy=greeting, **options)
    said = good(1, NOW + 1).replace(b"}", b',"bot":true}')
    mixed = batch(record(0, good(0, NOW)), record(1, said), record(2, good(2, NOW + 2)))
    folded = bench.run(mixed)
    first, bot, last = (decode_score(value) for _, value in bench.printer.scores if value)
    assert [first.traffic, bot.traffic, last.traffic] == [None, "bot", None]
    assert (first.action, last.action) == ("greet", "greet")
    assert first.recommendation is not None
    assert (bot.action, bot.reasons, bot.recommendation) == ("none", [], None)
    assert b"traffic" not in (bench.printer.scores[0][1] or b"")
    assert folded.states["events"].tolist() == [3], "features go on"
    counted = [bench.count("intent_traffic_total", traffic=name) for name in ("customer", "bot", "staff")]
    assert counted == [2, 1, 0]
    assert sum(bench.count("intent_scored_by_band_total", band=band) for band in BANDS) == 2
    bench.scorer.engine = Engine(
        bundle, policy=greeting, exclusions=NobodyExcluded(frozenset({"anna"})), **options
    )
    folded = bench.run(batch(record(3, good(3, NOW + 3))))
    [staff] = (decode_score(value) for _, value in bench.printer.scores if value)
    assert (staff.traffic, staff.action, folded.outbox) == ("staff", "none", b"")


def test_scores_of_events_that_waited_too_long_carry_no_action(bench: Bench, bundle: Bundle) -> None:
    bench.scorer.recommending = cast(NewestRecommender, Offers(bundle))
    minute = 60_000
    both = batch(record(0, good(1, NOW), timestamp=NOW), record(1, good(2, NOW + 1), timestamp=NOW + minute))
    bench.clock = NOW + 10 * minute
    bench.run(both)
    plain = [decode_score(value) for _, value in bench.printer.scores if value]
    assert all(b"stale" not in (value or b"") for _, value in bench.printer.scores)
    bench.scorer.max_age_ms = 9 * minute
    folded = bench.run(both)
    late, fresh = (decode_score(value) for _, value in bench.printer.scores if value)
    assert (late.stale, late.action, late.recommendation) == (True, "none", None)
    assert late == msgspec.structs.replace(plain[0], stale=True, action="none", recommendation=None)
    assert fresh == plain[1]
    assert folded.states["events"].tolist() == [2]

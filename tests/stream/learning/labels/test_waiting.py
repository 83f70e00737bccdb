"""What waits: whatever the interleaving, the cuts, the repeats and the restarts, the same mini-batches come out."""

from __future__ import annotations

import random

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.learning.labels.cursors import Progress
from stream.learning.labels.minibatches import batch_cuts
from stream.learning.records.header import Header
from stream.learning.records.outcomes import Outcomes, encode_outcomes
from tests.stream.learning.histories import (
    BUNDLE,
    FEATURES,
    HORIZON,
    MINUTE,
    Batches,
    Happening,
    Reader,
    Source,
    add_records,
    records,
    sources,
    truth,
    waiting,
    written,
)

SEEDS = st.integers(0, 2**32 - 1)


def learned(topics, chance: random.Random, progress: Progress) -> Batches:  # type: ignore[no-untyped-def]
    seen: Batches = []
    assert Reader(chance, topics, progress).run(seen)
    return seen


LOGINS = st.sampled_from((0.0, 2.0, 12.0))


@given(SEEDS, st.integers(1, 4), st.integers(1, 40), st.integers(1, 40), st.integers(1, 3), LOGINS)
@settings(max_examples=150)
def test_the_mini_batches_are_those_of_the_whole_history(
    seed: int, partitions: int, events: int, largest: int, closes: int, logins: float
) -> None:
    chance = random.Random(seed)
    made = sources(chance, partitions, events, closes=closes, logins=logins)
    wanted = truth(made)
    for _ in range(2):
        topics = written(chance, made, largest)
        assert learned(topics, chance, Progress.beginning(partitions)) == wanted


@given(SEEDS, st.integers(1, 3), st.integers(10, 30), st.integers(3, 20), st.integers(1, 2), LOGINS)
@settings(max_examples=150)
def test_a_restart_at_any_point_changes_nothing(
    seed: int, partitions: int, events: int, largest: int, closes: int, logins: float
) -> None:
    chance = random.Random(seed)
    made = sources(chance, partitions, events, closes=closes, logins=logins)
    topics = written(chance, made, largest)
    seen: Batches = []
    progress = Progress.beginning(partitions)
    for attempt in range(1000):
        since_snapshot: Batches = []
        reader = Reader(chance, topics, progress)
        done = reader.run(since_snapshot, stop_after=chance.randint(1, 20 + 2 * attempt))
        if done or chance.random() < 0.7:  # else killed before a snapshot was saved
            seen += since_snapshot
            stored = msgspec.json.encode(reader.waiting.progress())
            progress = msgspec.json.decode(stored, type=Progress)
        if done:
            break
    assert done
    assert seen == truth(made)
    reader = Reader(chance, topics, progress)
    assert reader.run([]), "what is learned is not learned again"
    assert reader.waiting.waiting == 0


def test_nothing_is_labelled_before_the_watermark_has_passed_the_horizon() -> None:
    made = [Source(0, [Happening(0, "example", "a", 0, 0)])]
    held = waiting(Progress.beginning(1))
    add_records(held, 0, 0, 0, records(made[0], 0, 1)[0])

    def told(at: int, watermark: int) -> int:
        header = Header(1, 1, watermark, (), 0, BUNDLE, FEATURES)
        [raw] = encode_outcomes(header, Outcomes.none(), watermark)
        add_records(held, 1, 0, at, [raw])
        header = msgspec.structs.replace(header, watermark=HORIZON)
        return sum(len(batch.labels) for batch in held.release())

    assert told(0, HORIZON) == 0, "a purchase at the very end of the horizon may still come"
    assert told(1, HORIZON + 10 * MINUTE - 1) == 0, "the mini-batch's ten minutes are not over"
    del made


@pytest.mark.parametrize("logins", [0.0, 3.0])
def test_reading_pauses_where_it_would_only_fill_memory(logins: float) -> None:
    chance = random.Random(7)
    made = sources(chance, 2, 2000, closes=1, logins=logins)
    topics = written(chance, made, 10)
    reader = Reader(chance, topics, Progress.beginning(2))
    most_examples = most_outcomes = 0
    seen: Batches = []
    while not reader.run(seen, stop_after=1):
        most_examples = max(most_examples, reader.waiting.waiting)
        most_outcomes = max(most_outcomes, reader.waiting.outcomes)
    assert seen == truth(made)
    # About 20 events of a partition happen within the lateness, and about 40 within the horizon.
    assert most_examples < 200
    assert most_outcomes < 1200


def test_other_bundles_examples_are_dropped_and_counted() -> None:
    source = Source(0, [Happening(at, "example", "a", 10**12 + at, 10**12 + at) for at in range(6)])
    held = waiting(Progress.beginning(1))
    for at, (low, high, bundle) in enumerate([(0, 2, BUNDLE), (2, 4, "another"), (4, 6, BUNDLE)]):
        [raw] = records(source, low, high, bundle=bundle)[0]
        add_records(held, 0, 0, at, [raw])
    assert (held.waiting, held.dropped["foreign"]) == (4, 2)


def test_examples_whose_outcomes_nobody_wrote_are_not_learned() -> None:
    """Learning was switched off for a while: nobody knows whether the customers of before purchased then."""
    base = 10**12
    times = [base, base + 10 * MINUTE, base + 60 * MINUTE, base + 120 * MINUTE]
    source = Source(
        0,
        [Happening(at, "example", "a", time, time) for at, time in enumerate(times)]
        + [Happening(4, "close", "", 0, 0)],
    )
    held = waiting(Progress.beginning(1))
    learned = []
    for at, (low, high) in enumerate([(0, 1), (2, 5)]):  # the event at offset 1 was scored without learning
        examples, outcomes = records(source, low, high)
        add_records(held, 0, 0, at, examples)
        add_records(held, 1, 0, at, outcomes)
        learned += [offset for batch in held.release() for offset in batch.examples.offset.tolist()]
    assert learned == [2, 3]
    assert held.dropped["cancelled"] == 1


@pytest.mark.parametrize(
    ("as_of", "until", "cuts"),
    [
        ([], None, [0]),
        ([0] * 512, 0, [0, 512]),
        ([0] * 513, 0, [0, 512]),
        ([0] * 513, 600_000, [0, 512, 513]),
        ([0] * 3 + [599_999, 600_000], 600_001, [0, 4]),
        ([0] * 3 + [599_999, 600_000], None, [0, 4, 5]),
    ],
)
def test_a_mini_batch_ends_after_512_examples_or_with_its_ten_minutes(
    as_of: list[int], until: int | None, cuts: list[int]
) -> None:
    assert batch_cuts(np.array(as_of, np.int64), until) == cuts

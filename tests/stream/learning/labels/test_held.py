"""Pages and sorted runs: the order is right, little is copied, and what was learned takes no memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.learning.labels.cursors import Cursor
from stream.learning.labels.held import PAGE, Held
from stream.learning.labels.runs import Columns, SortedRuns
from stream.learning.records.rows import PAYLOAD, ExampleRows


def by_first(columns: Columns) -> np.ndarray:
    return np.argsort(columns[0], kind="stable")


def runs() -> SortedRuns:
    return SortedRuns((np.int64, np.int64), by_first, offset=1)


def rows(offset: np.ndarray, as_of: np.ndarray) -> ExampleRows:
    payload = np.zeros(len(offset), PAYLOAD)
    payload["logit"] = offset
    return ExampleRows(as_of, offset, offset.astype(np.uint64), payload)


@given(
    st.lists(st.lists(st.integers(0, 50), max_size=9), max_size=40), st.lists(st.integers(0, 60), max_size=9)
)
def test_what_comes_in_pieces_goes_in_order(pieces: list[list[int]], bounds: list[int]) -> None:
    made, wanted, offset = runs(), [], 0
    for number, piece in enumerate(pieces):
        made.add((np.array(piece, np.int64), np.arange(offset, offset + len(piece))))
        wanted += [(value, at) for at, value in enumerate(piece, offset)]
        offset += len(piece)
        if number < len(bounds):
            popped = made.pop_below(bounds[number])
            below = sorted(row for row in wanted if row[0] < bounds[number])
            assert list(zip(*(column.tolist() for column in popped), strict=True)) == below
            wanted = [row for row in wanted if row[0] >= bounds[number]]
            assert made.lowest == min((value for value, _ in wanted), default=None)
    popped = made.pop_below(None)
    assert list(zip(*(column.tolist() for column in popped), strict=True)) == sorted(wanted)
    assert len(made) == 0


def test_rows_that_come_one_by_one_are_copied_a_few_times_each() -> None:
    copied = 0

    def order(columns: Columns) -> np.ndarray:
        nonlocal copied
        copied += len(columns[0])
        return by_first(columns)

    made, count = SortedRuns((np.int64, np.int64), order, offset=1), 4096
    for at in range(count):
        made.add((np.array([at]), np.array([at])))
        assert len(list(made)) <= np.log2(at + 1) + 2
    assert copied <= count * (np.log2(count) + 2)


def test_outcomes_before_the_needed_offset_are_forgotten() -> None:
    made = runs()
    for at in range(10_000):
        made.add((np.array([at % 7]), np.array([at])))
        made.forget(at - 100)
    assert len(made) < 500
    kept = np.concatenate([columns[1] for columns in made])
    assert set(range(9_899, 10_000)) <= set(kept.tolist())


def test_a_page_is_dropped_with_its_last_example_and_a_restart_begins_at_the_first_that_is_left() -> None:
    held, count = Held(), 3 * PAGE + 5
    offset = np.arange(count)
    cursors = [Cursor(next=at) for at in range(count)]
    for at in range(count):
        held.add(rows(offset[at : at + 1], 10 * offset[at : at + 1]), [cursors[at]], np.zeros(1, np.intp))
    keys = held.pop(10 * (PAGE + 1))
    assert keys.offset.tolist() == list(range(PAGE + 1))
    assert held.begins == (cursors[0], 0), "what is only popped is not learned"
    assert held.payload(keys.place)["logit"].tolist() == keys.offset.tolist()
    held.drop(keys.place)
    assert held.begins == (cursors[PAGE], PAGE)
    assert held.oldest == 10 * (PAGE + 1)
    held.drop(held.pop(None).place)
    assert (held.begins, bool(held)) == (None, False)


def test_an_example_that_waits_takes_less_than_600_bytes() -> None:
    held, count = Held(), 40_000
    held.add(rows(np.arange(1), np.arange(1)), [Cursor()], np.zeros(1, np.intp))
    tracemalloc.start()
    try:
        chance = np.random.default_rng(3)
        for at in range(1, count, 4):  # records of four, some of them late
            offset = np.arange(at, at + 4)
            late = chance.integers(0, 900, 4) * (chance.random(4) < 0.1)
            held.add(rows(offset, 1000 + offset - late), [Cursor(next=at)], np.zeros(4, np.intp))
        current, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert current / count < 600

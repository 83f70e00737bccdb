from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features.events import MAX_TIME_MS
from features.watermark import ACCEPTED, BEGINNING, FUTURE, LATE, MAX_AHEAD_MS, judge

LATENESS = 15 * 60_000


def test_an_event_at_the_watermark_is_accepted_and_one_before_it_is_late() -> None:
    times = np.array([LATENESS * 2, LATENESS, LATENESS - 1])
    assert judge(times, times, BEGINNING, LATENESS).verdicts.tolist() == [ACCEPTED, ACCEPTED, LATE]


def test_an_event_ahead_of_its_arrival_never_moves_the_watermark() -> None:
    times = np.array([MAX_AHEAD_MS, MAX_AHEAD_MS + 1])
    judged = judge(times, np.zeros(2, np.int64), BEGINNING, LATENESS)
    assert judged.verdicts.tolist() == [ACCEPTED, FUTURE]
    assert judged.watermark == MAX_AHEAD_MS - LATENESS


@given(st.lists(st.integers(0, 10 * LATENESS), max_size=60), st.integers(0, 60))
def test_the_cut_into_batches_changes_no_verdict(times: list[int], cut: int) -> None:
    array = np.array(times, np.int64)
    whole = judge(array, array, BEGINNING, LATENESS)
    first = judge(array[:cut], array[:cut], BEGINNING, LATENESS)
    second = judge(array[cut:], array[cut:], first.watermark, LATENESS)
    assert [*first.verdicts, *second.verdicts] == whole.verdicts.tolist()
    assert second.watermark == whole.watermark


@given(
    st.lists(st.tuples(st.integers(1, MAX_TIME_MS), st.integers(0, 10**13)), min_size=1, max_size=60),
    st.just(BEGINNING) | st.integers(0, 10**13),
)
def test_no_event_moves_the_watermark_further_than_the_bound_ahead_of_its_arrival(
    events: list[tuple[int, int]], before: int
) -> None:
    times, arrivals = np.array(events, np.int64).T
    after = judge(times, arrivals, before, LATENESS).watermark
    assert before <= after <= max(before, int(arrivals.max()) + MAX_AHEAD_MS - LATENESS)

"""Lonely dates: named, and no part of what a log is judged by."""

from __future__ import annotations

import numpy as np
import pytest

from features.usual_days import UsualDays

DAY = 86_400_000
START = 19_700 * DAY  # 2023-12-09


def spread(days: int, events: int = 300) -> np.ndarray:
    return START + np.linspace(0, days * DAY, events).astype(np.int64)


@pytest.mark.parametrize("days", [1, 30, 120, 700])
@pytest.mark.parametrize("odd", [1, 4_874_000_000_000, 253_402_300_799_999])
def test_a_lonely_date_is_found_wherever_it_stands(days: int, odd: int) -> None:
    times = np.insert(spread(days), 100, odd)
    usual = UsualDays.of(times)
    assert usual.lonely == 1
    assert usual.hold(times).sum() == len(times) - 1
    assert UsualDays.of(iter([times[:7], times[7:200], times[200:]])) == usual
    [sentence] = usual.sentences()
    assert sentence.startswith("1 event is left out, because it is dated ")
    assert ("behind a replayed log" in sentence) == bool(usual.after), "as topics have it, not logs alone"
    assert str(np.datetime64(odd, "ms").astype("datetime64[D]")) in sentence


@pytest.mark.parametrize(
    "times",
    [
        spread(120),
        np.concatenate([spread(120), spread(120, 30) - 800 * DAY]),  # not a few: an early time of the shop
        np.append(spread(120), START + 300 * DAY),  # a silent half-year
        np.array([1, START, 4_874_000_000_000]),  # too few to tell
        np.zeros(0, np.int64),
    ],
)
def test_nothing_is_lonely_in_logs_that_are_only_long_or_small(times: np.ndarray) -> None:
    assert UsualDays.of(times) == UsualDays()

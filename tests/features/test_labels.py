from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from features.calendar import next_day, zone
from features.labels import NEGATIVE, POSITIVE, UNKNOWN, default_label_start, horizon_labels

MINUTE, DAY = 60_000, 86_400_000
UTC = zone("UTC")


def labels(
    customers: list[int],
    times: list[int],
    bought: list[bool],
    start: str = "0",
    end: int = 10**15,
    **kw: object,
) -> list[int]:
    time = np.array(times, np.int64)
    options = {"horizon_ms": 30 * MINUTE, "zone": UTC, **kw}
    purchases = np.where(bought, time, -1)
    return horizon_labels(np.array(customers), time, purchases, start=start, end=end, **options).tolist()  # type: ignore[arg-type]


def test_the_horizon_is_open_at_the_start_and_closed_at_the_end() -> None:
    assert labels([1, 1, 1], [0, 30 * MINUTE, 31 * MINUTE], [False, True, False]) == [
        POSITIVE,
        NEGATIVE,
        NEGATIVE,
    ]
    assert labels([1, 1], [0, 30 * MINUTE + 1], [False, True]) == [NEGATIVE, NEGATIVE]


def test_another_customers_purchase_counts_for_nothing() -> None:
    assert labels([1, 2], [0, 1], [False, True]) == [NEGATIVE, NEGATIVE]


def test_a_purchase_in_the_same_millisecond_counts_if_it_arrived_later() -> None:
    assert labels([1, 1], [5, 5], [False, True]) == [POSITIVE, NEGATIVE]
    assert labels([1, 1], [5, 5], [True, False]) == [NEGATIVE, NEGATIVE]


def test_a_label_of_either_class_is_unknown_until_the_watermark_has_passed_the_horizon() -> None:
    known = labels([1, 1, 1], [0, 1, MINUTE], [False, True, False], end=30 * MINUTE)
    assert known == [POSITIVE, UNKNOWN, UNKNOWN]


def test_orders_of_the_same_day_are_not_another_order() -> None:
    times = [10 * 60 * MINUTE, 11 * 60 * MINUTE, DAY + 9 * 60 * MINUTE]
    assert labels([1, 1, 1], times, [True] * 3, start="next-day", horizon_ms=30 * DAY) == [1, 1, 0]
    assert labels([1, 1], times[:2], [True] * 2, start="next-day", horizon_ms=30 * DAY) == [0, 0]


def test_the_next_day_starts_at_local_midnight() -> None:
    late = [DAY - 30 * MINUTE, DAY + 10 * MINUTE]  # 23:30 and 00:10 UTC, the same day in New York
    rule = {"start": "next-day", "horizon_ms": DAY}
    assert labels([1, 1], late, [True] * 2, **rule)[0] == POSITIVE  # type: ignore[arg-type]
    assert labels([1, 1], late, [True] * 2, zone=zone("America/New_York"), **rule)[0] == NEGATIVE  # type: ignore[arg-type]


@pytest.mark.parametrize("start", ["0", "next-day"])
@pytest.mark.parametrize("seed", range(4))
def test_labels_equal_those_of_the_rule_read_aloud(seed: int, start: str) -> None:
    rng = np.random.default_rng(seed)
    n, horizon = 400, (30 * MINUTE if start == "0" else 3 * DAY)
    customers = rng.integers(0, 8, n)
    times = np.sort(rng.integers(DAY, DAY + n * horizon // 60, n))
    as_of = times.copy()
    bought = rng.random(n) < 0.1
    end = int(times[-1])
    got = horizon_labels(
        customers, as_of, np.where(bought, times, -1), horizon_ms=horizon, start=start, zone=UTC, end=end
    )  # type: ignore[arg-type]
    for i in range(n):
        if as_of[i] + horizon > end:
            expected = UNKNOWN
        else:
            first = as_of[i] + 1 if start == "0" else (as_of[i] // DAY + 1) * DAY
            expected = int(
                any(
                    bought[j]
                    and customers[j] == customers[i]
                    and j != i
                    and (first <= times[j] or (start == "0" and times[j] == as_of[i] and j > i))
                    and times[j] <= as_of[i] + horizon
                    for j in range(n)
                )
            )
        assert got[i] == expected, f"seed {seed}, event {i}"


def test_the_default_start_is_the_next_day_from_a_horizon_of_one_day_on() -> None:
    assert default_label_start(DAY) == "next-day"
    assert default_label_start(DAY - 1) == "0"


@pytest.mark.parametrize("name", ["Europe/London", "America/New_York", "Asia/Kolkata", "Pacific/Apia"])
def test_the_next_day_agrees_with_the_time_zone_database(name: str) -> None:
    info = ZoneInfo(name)
    table = zone(name)
    for hour in range(0, 24 * 366 * 2, 7):
        now = dt.datetime(2010, 12, 1, tzinfo=dt.UTC) + dt.timedelta(hours=hour)
        local = now.astimezone(info)
        got = dt.datetime.fromtimestamp(
            next_day(int(now.timestamp() * 1000), *table) / 1000, dt.UTC
        ).astimezone(info)
        assert got.date() > local.date(), now
        just_before = dt.datetime.fromtimestamp(got.timestamp() - 1, dt.UTC).astimezone(info)
        assert just_before.date() == local.date(), now

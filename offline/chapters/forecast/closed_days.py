"""Days on which a shop was closed, and coming days on which it will be, as far as its own past says so.

A day without any order is no proof: a small shop has such days by chance. A run of them counts as closed if at least
`EXPECTED` orders would have come in it otherwise, of which a Poisson process takes none once in 3,000 times. On dates
on which many shops close (Christmas, New Year, Easter), `EXPECTED_HOLIDAY` orders are enough: once in 55 times. A run
of more than `GAP_DAYS` is no holiday but a gap in the log.

A closed day comes again on the same date (Christmas), as far from Easter (Good Friday), or on the same weekday of the
month (the last Monday in May). Which of these it is, two years tell; of one year only the likeliest is taken.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from itertools import groupby
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

#: Orders that must be missing before a run of days without any is taken as closed.
EXPECTED: Final = 8.0
EXPECTED_HOLIDAY: Final = 4.0
#: A longer run without orders is a gap in the log.
GAP_DAYS: Final = 21

_WEEK: Final = 7
# Days from Easter on which many countries have holidays: Good Friday to Easter Monday, Ascension, Whit Monday.
_EASTER: Final = frozenset({-2, -1, 0, 1, 39, 49, 50})
_HOLIDAYS: Final = frozenset({(12, 24), (12, 25), (12, 26), (12, 31), (1, 1), (1, 2), (1, 6), (5, 1)})
_LONG_RUN: Final = 3  # days of business

Rule = tuple[str, int, int]


class ClosedDays(NamedTuple):
    """Days without business in a log.

    Attributes
    ----------
    dates
        Dates on which the shop was closed, its closed weekdays aside, in order.
    gaps
        First and last day of each time without any order that is too long for a holiday.
    """

    dates: tuple[dt.date, ...]
    gaps: tuple[tuple[dt.date, dt.date], ...]


def closed_days(orders: pd.Series, weekdays: Sequence[int]) -> ClosedDays:
    """Return the days on which a shop was closed.

    Parameters
    ----------
    orders
        Orders per day, indexed by every date from the first to the last.
    weekdays
        Those on which the shop never sells, 0 = Monday.
    """
    count = orders.to_numpy()
    weekday = np.asarray(pd.DatetimeIndex(orders.index).day_of_week)
    usual = [0.0 if day in weekdays else float(np.median(count[weekday == day])) for day in range(_WEEK)]
    days = [day.date() for day in pd.DatetimeIndex(orders.index)]
    dates: list[dt.date] = []
    gaps: list[tuple[dt.date, dt.date]] = []
    for sold, run in groupby(range(len(days)), lambda at: bool(count[at])):
        at = list(run)
        business = [one for one in at if weekday[one] not in weekdays]
        enough = EXPECTED_HOLIDAY if all(_often_closed(days[one]) for one in business) else EXPECTED
        if sold or sum(usual[weekday[one]] for one in business) < enough:
            continue
        between = range(
            business[0], business[-1] + 1
        )  # closed weekdays before and after belong to no holiday
        if len(between) > GAP_DAYS:
            gaps.append((days[between[0]], days[between[-1]]))
        else:
            dates += [days[one] for one in between]
    return ClosedDays(tuple(dates), tuple(gaps))


def closed_again(
    known: ClosedDays, seen: Sequence[dt.date], weekdays: Sequence[int], coming: Sequence[dt.date]
) -> list[bool]:
    """Return for each coming day whether the past says that the shop will be closed.

    Parameters
    ----------
    known
        What `closed_days` found until now.
    seen
        All dates of the log until now.
    weekdays
        Those on which the shop never sells.
    coming
        The dates in question.
    """
    shut, last = set(known.dates), seen[-1]
    if not shut:
        return [False] * len(coming)
    asked = {rule for day in coming for rule in _rules(day)}
    past: dict[Rule, list[dt.date]] = defaultdict(list)
    for day in seen:
        if any(first <= day <= end for first, end in known.gaps):
            continue
        if day.weekday() in weekdays and day not in shut:
            continue  # says nothing
        for rule in _rules(day):
            if rule in asked:
                past[rule].append(day)
    likeliest = {day: _likeliest(day, shut, weekdays) for day in shut if day <= last}

    def holds(rule: Rule) -> bool:
        days = past[rule]
        if not days or not shut.issuperset(days):
            return False
        return len({day.year for day in days}) > 1 or rule in likeliest[days[0]]

    return [any(holds(rule) for rule in _rules(day)) for day in coming]


def _often_closed(day: dt.date) -> bool:
    return (day.month, day.day) in _HOLIDAYS or _from_easter(day) in _EASTER


def _rules(day: dt.date) -> list[Rule]:
    """Return every way in which a date could come again."""
    monday = ("weekday", day.month, 10 * day.weekday() + (day.day - 1) // _WEEK)
    last = ("last weekday", day.month, day.weekday())
    rules: list[Rule] = [("date", day.month, day.day), ("Easter", 0, _from_easter(day)), monday]
    return [*rules, last] if (day + dt.timedelta(days=_WEEK)).month != day.month else rules


def _likeliest(day: dt.date, shut: set[dt.date], weekdays: Sequence[int]) -> list[Rule]:
    """Return the rules that a single closed day speaks for."""
    rules = _rules(day)
    if _from_easter(day) in _EASTER:
        return [rules[1]]
    if day.weekday() == 0 and _business_days(day, shut, weekdays) < _LONG_RUN:
        return rules[2:]
    return rules[:1]


def _business_days(day: dt.date, shut: set[dt.date], weekdays: Sequence[int]) -> int:
    """Return how many days of business the run of closed days around a date has."""
    one, count = dt.timedelta(days=1), int(day.weekday() not in weekdays)
    for step in (-one, one):
        other = day + step
        while other in shut:
            count += other.weekday() not in weekdays
            other += step
    return count


def _from_easter(day: dt.date) -> int:
    return int((day - _easter(day.year)).days)


@cache
def _easter(year: int) -> dt.date:
    """Return Easter Sunday in the Gregorian calendar."""
    sunday: pd.Timestamp = pd.Timestamp(year, 1, 1) + pd.offsets.Easter()
    return dt.date(year, sunday.month, sunday.day)

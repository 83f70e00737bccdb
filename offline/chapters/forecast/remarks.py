"""What a reader of a forecast has to know: closed days, gaps, huge orders, and how short it is."""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Sequence
from typing import Final

from features.counts import counted, listed
from offline.chapters.forecast.backtest import Forecast
from offline.chapters.forecast.series import Series

# More spans of closed days are no sentence; the JSON has all.
_NAMED: Final = 8
_SHORT: Final = 1
#: What is said of a log of which no more can be forecast.
TOO_SHORT: Final = "The log is so short that no more than one day can be forecast and tried at earlier times."


def remarks(series: Series, days: int, found: dict[str, Forecast], *, asked: bool) -> list[str]:
    """Return one sentence for each.

    Parameters
    ----------
    asked
        Whether a person chose how many days.
    """
    said = [*_short(days, asked), *_closed(series, next(iter(found.values()))), *_huge(series)]
    for first, last in series.days.gaps:
        said.append(
            f"The log has no order from {first:%d %b %Y} to {last:%d %b %Y}. That is taken for a gap in the data, and "
            "left out."
        )
    if "revenue" not in found:
        said.append("All orders are free: there is no revenue to forecast.")
    said.append(
        "Campaigns, price changes and holidays that the log has not seen are not known to it: a Christmas season is "
        "forecast as ordinary days unless the log has enough of them."
    )
    return said


def is_short(days: int) -> bool:
    """Return whether so few days are no forecast to plan by."""
    return days <= _SHORT


def ahead_words(days: int) -> str:
    """Return how far a forecast looks ahead.

    Examples
    --------
    >>> ahead_words(1), ahead_words(28)
    ('the next day', 'the next 28 days')
    """
    return "the next day" if days == 1 else f"the next {counted(days, 'day')}"


def _short(days: int, asked: bool) -> list[str]:
    if asked or not is_short(days):
        return []
    return [f"{TOO_SHORT} That is of little use: come back with a longer log."]


def _closed(series: Series, result: Forecast) -> list[str]:
    said = []
    if series.closed:
        weekdays = listed([f"{calendar.day_name[day]}s" for day in series.closed])
        said.append(
            f"The shop is closed on {weekdays}, as far as the log tells: no order is forecast for them."
        )
    if series.days.dates:
        spans = _spans(series.days.dates, series, "%d %b %Y")
        more = f", and {len(spans) - _NAMED} times before" if len(spans) > _NAMED else ""
        said.append(
            f"{'Besides, it' if series.closed else 'The shop'} was closed on {listed(spans[-_NAMED:])}{more}: "
            f"{counted(len(series.days.dates), 'day')} without any order in the log."
        )
    ahead = result.ahead
    shut = [day.date() for day in ahead["date"][ahead["closed"]]]
    if shut:
        said.append(
            f"No order is forecast for {listed(_spans(shut, series, '%d %b'))}: on these days the shop was closed in "
            "the past."
        )
    return said


def _huge(series: Series) -> list[str]:
    if not series.huge:
        return []
    one, many = max(series.huge, key=lambda huge: huge.value), len(series.huge)
    which = "One order is" if many == 1 else f"{counted(many, 'order')} are"
    largest = f"{one.value:,.2f} {series.currency} on {one.date:%d %b %Y}"
    return [
        f"{which} far beyond all others: {'' if many == 1 else 'the largest is '}{largest}. For the forecast "
        f"{'it counts' if many == 1 else 'each counts'} as {one.counted:,.2f} {series.currency}."
    ]


def _spans(days: Sequence[dt.date], series: Series, form: str) -> list[str]:
    """Return dates in words, as spans where only closed weekdays lie between."""
    spans: list[list[dt.date]] = []
    for day in days:
        if spans and all(
            (spans[-1][1] + dt.timedelta(days=step)).weekday() in series.closed
            for step in range(1, (day - spans[-1][1]).days)
        ):
            spans[-1][1] = day
        else:
            spans.append([day, day])
    return [f"{a:{form}}" if a == b else f"{a:{form}} to {b:{form}}" for a, b in spans]

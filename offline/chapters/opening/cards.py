"""Number cards: what came in lately, against as many days before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from offline.chapters.workspace import Workspace
from offline.lab.statistics import wilson
from offline.problems.holdout import UNKNOWN_YEAR
from offline.problems.months import MONTHS, month_numbers
from offline.problems.problem import Problem
from offline.report.opening import Card
from offline.views.log_view import LogView

# Days of a period: the most of these that fit into the log several times.
_PERIODS: Final = (28, 7, 1)
_FITS: Final = 3
_SHOWN: Final = 12
_DAY: Final = pd.Timedelta(days=1)
_LARGE: Final = 100.0
_LEAST: Final = 30


Count = Callable[[pd.DataFrame], float]


class Periods(NamedTuple):
    """Spans of equally many whole days, the last one last.

    Attributes
    ----------
    starts
        Where each begins; the last one ends at ``end``.
    days
        Of each.
    """

    starts: pd.DatetimeIndex
    end: pd.Timestamp
    days: int

    @property
    def words(self) -> str:
        """What the cards compare."""
        last = self.end - _DAY
        if self.days == 1:
            return f"on {last:%d %b %Y}, against the day before"
        return f"{self.days} days to {last:%d %b %Y}, against the {self.days} days before"

    def number(self, times: pd.Series) -> pd.Series:
        """Return the number of the period that each time lies in, -1 where in none."""
        at = np.searchsorted(self.starts, pd.DatetimeIndex(times), side="right") - 1
        return pd.Series(np.where(times < self.end, at, -1), times.index)


def cards_of(workspace: Workspace) -> list[Card]:
    """Return the cards of a report's input."""
    if workspace.input == "log":
        return cards_of_log(workspace.customer_view)
    return cards_of_table(workspace.problem)


def periods_of(first: pd.Timestamp, last: pd.Timestamp) -> Periods | None:
    """Return the periods of a span of time whose ends are cut off; None where it has too few whole days."""
    start, end = first.normalize() + _DAY, last.normalize()
    whole = (end - start) // _DAY
    days = next((some for some in _PERIODS if whole >= _FITS * some), None)
    if days is None:
        return None
    count = min(_SHOWN, whole // days)
    return Periods(pd.date_range(end - count * days * _DAY, periods=count, freq=f"{days}D"), end, days)


def cards_of_log(view: LogView) -> list[Card]:
    """Return orders, revenue, buyers, the mean order, and visitors where the log knows them."""
    money = f" {view.currency}"
    periods = periods_of(view.first, view.last)
    counts: dict[str, tuple[Count, str]] = {
        "Orders": (len, ""),
        "Revenue": (lambda orders: float(orders["value"].sum()), money),
        "Customers who ordered": (lambda orders: float(orders["customer"].nunique()), ""),
        "Mean order": (lambda orders: float(orders["value"].mean()), money),
    }
    cards = [_card(title, view.orders, count, periods, unit) for title, (count, unit) in counts.items()]
    if view.browsing:
        visitors: Count = lambda events: float(events["customer"].nunique())  # noqa: E731
        cards.insert(0, _card("Customers seen", view.events, visitors, periods, ""))
    return [card for card in cards if card is not None]


def _card(title: str, frame: pd.DataFrame, count: Count, periods: Periods | None, unit: str) -> Card:
    if periods is None:
        return Card(title, _number(count(frame), unit), period="in the whole log")
    of = periods.number(frame["time"])
    line = [float(count(frame[of == at])) for at in range(len(periods.starts))]
    known = [value for value in line if np.isfinite(value)]
    return Card(title, _number(line[-1], unit), _change(line[-1], line[-2]), periods.words, known)


def cards_of_table(problem: Problem) -> list[Card]:
    """Return how many lines there are and in how many it happened, by month or time where the table knows one."""
    units, happened = f"{problem.unit}s", problem.target
    of, words = _months(problem)
    by = pd.DataFrame({"of": of, "happened": happened}) if of is not None else None
    total, some = len(problem), int(happened.sum())
    low, high = wilson([some], [total])
    plain = [
        Card(units.capitalize(), _number(total), period="in the table"),
        Card(f"With {problem.target_name}", _number(some), period="in the table"),
        Card(f"Share with {problem.target_name}", f"{some / total:.1%}",
             period=f"in the table; 95% interval {low[0]:.1%} to {high[0]:.1%}"),
    ]  # fmt: skip
    if by is None:
        return plain
    grouped = by.groupby("of")["happened"].agg(["size", "sum"])
    grouped = grouped[grouped["size"] >= _LEAST]
    if len(grouped) < 2:  # noqa: PLR2004  (nothing to compare with)
        return plain
    lines: Mapping[str, Sequence[float]] = {
        plain[0].title: grouped["size"].to_list(),
        plain[1].title: grouped["sum"].to_list(),
        plain[2].title: (grouped["sum"] / grouped["size"]).to_list(),
    }
    now, before = words(grouped.index)
    return [
        Card(card.title, card.value, f"{now}: {_of_last(line, card.value, before)}", card.period, line)
        for card, line in ((card, lines[card.title]) for card in plain)
    ]


def _months(problem: Problem) -> tuple[pd.Series | None, Callable[[pd.Index], tuple[str, str]]]:
    """Return the month of every line, as far as the table knows it, and what to say of the last two months."""

    def dated(index: pd.Index) -> tuple[str, str]:
        return f"{index[-1]:%b %Y}", f"{index[-2]:%b %Y}"

    def named(index: pd.Index) -> tuple[str, str]:
        return MONTHS[index[-1] - 1].capitalize(), MONTHS[index[-2] - 1].capitalize()

    if problem.times is not None:
        times = problem.times.dt.tz_convert(None)
        if (times.dt.year == UNKNOWN_YEAR).all():
            return times.dt.month.reset_index(drop=True), named
        return times.dt.to_period("M").dt.to_timestamp().reset_index(drop=True), dated
    for name in problem.columns:
        if problem.kinds[name] == "categorical" and problem.columns[name].notna().all():
            numbers = month_numbers(problem.columns[name].astype(str))
            if numbers is not None and numbers.notna().all():
                return numbers.astype(int).reset_index(drop=True), named
    return None, named


def _of_last(line: Sequence[float], value: str, before: str) -> str:
    if value.endswith("%"):
        return f"{line[-1]:.1%}, {100 * (line[-1] - line[-2]):+.1f} points against {before}"
    return f"{_number(line[-1])}, {_change(line[-1], line[-2])} against {before}"


def _change(now: float, before: float) -> str:
    if not np.isfinite(before) or not np.isfinite(now) or before <= 0:
        return ""
    share = now / before - 1
    if abs(share) < 0.005:  # noqa: PLR2004  (rounds to nothing)
        return "unchanged"
    return f"{'▲' if share > 0 else '▼'} {abs(share):.0%}"


def _number(value: float, unit: str = "") -> str:
    if not np.isfinite(value):
        return "–"
    digits = 0 if not unit or abs(value) >= _LARGE else 2
    return f"{value:,.{digits}f}{unit}"

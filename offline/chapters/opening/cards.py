"""Number cards: what came in lately, against as many days before, and whether the change is more than chance.

Changes are tested by customer: ten orders of one customer more or less are one customer's difference. All cards are
tested together (Holm), so that in nineteen of twenty steady shops no change is called sure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from features.counts import counted
from offline.chapters.workspace import Workspace
from offline.lab.differences import Claim, share_p_value, summed_p_value, supported
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
_UNCHANGED: Final = "unchanged"

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
        return (
            f"{counted(self.days, 'day')} to {last:%d %b %Y}, against the {counted(self.days, 'day')} before"
        )

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
    measures = {
        "Orders": Measure(len, lambda orders: orders.groupby("customer").size()),
        "Revenue": Measure(
            lambda orders: float(orders["value"].sum()),
            lambda orders: orders.groupby("customer")["value"].sum(), money,
        ),
        "Customers who ordered": Measure(_customers, _once),
        "Mean order": Measure(lambda orders: float(orders["value"].mean()), None, money),
    }  # fmt: skip
    cards = [_card(title, view.orders, measure, periods) for title, measure in measures.items()]
    if view.browsing:
        cards.insert(0, _card("Customers seen", view.events, Measure(_customers, _once), periods))
    return _tested(cards)


@dataclass(frozen=True)
class Measure:
    """A number that is counted, and what each customer adds to it; None for a mean, to which orders add."""

    count: Count
    by_customer: Callable[[pd.DataFrame], pd.Series] | None
    unit: str = ""

    def p_value(self, now: pd.DataFrame, before: pd.DataFrame) -> float:
        """Return how often chance alone makes so large a difference of two periods."""
        if not len(now) or not len(before):
            return 1.0
        if self.by_customer is not None:
            return summed_p_value(self.by_customer(now).sub(self.by_customer(before), fill_value=0.0))
        means = now["value"].mean(), before["value"].mean()
        part = [
            (frame["value"] - mean).groupby(frame["customer"]).sum() / len(frame)
            for frame, mean in zip((now, before), means, strict=True)
        ]
        spread = float(np.sqrt(np.square(part[0].sub(part[1], fill_value=0.0)).sum()))
        gap = abs(means[0] - means[1])
        return float(2 * stats.norm.sf(gap / spread)) if spread > 0 else float(gap == 0)


def _customers(events: pd.DataFrame) -> float:
    return float(events["customer"].nunique())


def _once(events: pd.DataFrame) -> pd.Series:
    seen = events["customer"].unique()
    return pd.Series(1.0, index=seen)


def _card(title: str, frame: pd.DataFrame, measure: Measure, periods: Periods | None) -> tuple[Card, float]:
    count, unit = measure.count, measure.unit
    if periods is None:
        return Card(title, _number(count(frame), unit), period="in the whole log"), 1.0
    of = periods.number(frame["time"])
    line = [float(count(frame[of == at])) for at in range(len(periods.starts))]
    known = [value for value in line if np.isfinite(value)]
    last = len(line) - 1
    p_value = measure.p_value(frame[of == last], frame[of == last - 1])
    return Card(title, _number(line[-1], unit), _change(line[-1], line[-2]), periods.words, known), p_value


def _tested(cards: Sequence[tuple[Card, float]]) -> list[Card]:
    """Return the cards, each with whether its change is more than chance when all are tested together."""
    stand = supported([Claim(card.title, p_value) for card, p_value in cards])
    return [
        replace(card, sure=sure or _UNCHANGED in card.change or not card.change)
        for (card, _), sure in zip(cards, stand, strict=True)
    ]


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
    (size, had), (size_before, had_before) = (
        (int(grouped["size"].iloc[at]), int(grouped["sum"].iloc[at])) for at in (-1, -2)
    )
    p_values = [
        _counts_p_value(size, size_before),
        _counts_p_value(had, had_before),
        share_p_value(had, size, had_before, size_before),
    ]
    return _tested(
        [
            (
                Card(
                    card.title, card.value, f"{now}: {_of_last(line, card.value, before)}", card.period, line
                ),
                p_value,
            )
            for card, line, p_value in ((c, lines[c.title], p) for c, p in zip(plain, p_values, strict=True))
        ]
    )


def _counts_p_value(now: int, before: int) -> float:
    """Return how often two periods with the same rate differ as much (exact, conditional on their sum)."""
    return float(stats.binomtest(now, now + before).pvalue) if now + before else 1.0


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
        return _UNCHANGED
    return f"{'▲' if share > 0 else '▼'} {abs(share):.0%}"


def _number(value: float, unit: str = "") -> str:
    if not np.isfinite(value):
        return "–"
    digits = 0 if not unit or abs(value) >= _LARGE else 2
    return f"{value:,.{digits}f}{unit}"

"""Names of segments that marketing can use: by what customers do, or by what sets a group of rows apart."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import pandas as pd

from offline.report.words import in_words
from offline.training.segmentation import Facts, name_segments
from offline.views.log_view import LogView

_LONG: Final = 0.9
_NEW: Final = 0.25
_ONCE: Final = 1.5
_LEAST_GAPS: Final = 20
# Nobody has lapsed who was silent for less, however short the pauses are.
_SILENT_DAYS: Final = 1.0
_MARKED: Final = 0.4
_SOME, _ALL = 0.005, 0.995
# Words for much and little of what a column's name ends with.
_LENGTHS: Final = re.compile(r"(duration|time|seconds|minutes|hours|days|length)$")
_NUMBERS: Final = re.compile(r"(pages|visits|orders|items|clicks|events|sessions|purchases|views|products)$")
_RENAMED: Final = {"First-time buyers": "one-time buyers", "Champions": "best customers"}


def name_customers(groups: list[pd.DataFrame], facts: list[Facts], view: LogView) -> list[tuple[str, str]]:
    """Return a name and a description for every segment of customers.

    `offline.training.segmentation.name_segments` names what they did; how long they have been silent is added: a
    segment of buyers has lapsed if half of it has been silent for longer than nine in ten of all pauses between two
    orders.
    """
    named = name_segments(facts)
    long = long_pause(view)
    result: list[tuple[str, str]] = []
    for (name, _), group, fact in zip(named, groups, facts, strict=True):
        silent = float(group["recency"].median())
        found = name
        if name.startswith("Value group"):
            found = "One-time buyers" if fact.purchases < _ONCE else "Occasional buyers"
        if fact.buyers >= 0.5:  # noqa: PLR2004  (most of them bought)
            if silent > max(long, _SILENT_DAYS):
                found = f"Lapsed {_RENAMED.get(found, found[0].lower() + found[1:])}"
            elif fact.purchases < _ONCE and group["tenure"].median() < _NEW * view.days:
                found = "New buyers"
        result.append((_unique(found, [n for n, _ in result]), _typical(group, fact, view)))
    return result


def _typical(group: pd.DataFrame, fact: Facts, view: LogView) -> str:
    """Return in words what a customer of a segment did on average, and since when nothing."""
    first, last = group["tenure"].median(), group["recency"].median()
    bought = f"{fact.purchases:.1f} orders worth {fact.spend:,.0f} {view.currency}"
    if not view.browsing:
        return f"{bought} on average, the first {_days(first)} ago and the last {_days(last)} ago"
    if fact.buyers < _SOME:
        bought = "no order"
    elif fact.buyers < _ALL:
        bought = f"{bought} on average, {fact.buyers:.0%} have ordered"
    return f"{fact.sessions:.1f} visits, {bought}; first seen {_days(first)} ago, last {_days(last)} ago"


def _days(count: float) -> str:
    return f"{count:.0f} day{'' if round(count) == 1 else 's'}"


def long_pause(view: LogView) -> float:
    """Return the days that nine in ten pauses between two orders are shorter than; infinite if unknown."""
    ordered = view.orders.sort_values(["customer", "time"], kind="stable")
    gaps = ordered.groupby("customer")["time"].diff().dropna() / pd.Timedelta(days=1)
    return float(gaps.quantile(_LONG)) if len(gaps) >= _LEAST_GAPS else float("inf")


def name_rows(centroids: pd.DataFrame) -> list[str]:
    """Return a name for every group of a table's rows: the two columns that set it apart most, and how.

    Parameters
    ----------
    centroids
        Means of the groups on the standardised scale, one row each.

    Examples
    --------
    >>> name_rows(pd.DataFrame({"BounceRates": [2.0, -0.5], "PageCount": [-1.0, 0.9]}))
    ['High bounce rates, low page count', 'High page count, low bounce rates']
    """
    names: list[str] = []
    for row in centroids.itertuples(index=False, name=None):
        words: list[str] = []
        for at in np.argsort(-np.abs(row)):
            said = in_words(str(centroids.columns[at]))
            # "High informational duration, high informational" would say one thing twice.
            if abs(row[at]) >= _MARKED and not any(said.split()[0] in word for word in words):
                words.append(f"{_much(said, row[at] > 0)} {said}")
        text = ", ".join(words[:2]) or "average"
        names.append(_unique(text[0].upper() + text[1:], names))
    return names


def _much(said: str, more: bool) -> str:
    if _LENGTHS.search(said):
        return "long" if more else "short"
    if _NUMBERS.search(said):
        return "many" if more else "few"
    return "high" if more else "low"


def _unique(name: str, taken: list[str]) -> str:
    if name not in taken:
        return name
    return next(f"{name} ({at})" for at in range(2, len(taken) + 3) if f"{name} ({at})" not in taken)

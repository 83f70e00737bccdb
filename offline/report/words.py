"""Columns and their values in words, for reasons and axes."""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
import pandas as pd

from features.durations import duration_rounded
from features.state import DAY_MS
from features.vector import COLUMNS
from offline.problems.months import month_numbers
from offline.report.time_axes import seconds_of

_UNITS = {column.name: column.unit for column in COLUMNS}
_MEANINGS = {column.name: column.meaning for column in COLUMNS}
#: What is said of a time since something that never happened.
NEVER = "never"
_NEVER_S = 400 * DAY_MS // 1000
_LARGE = 20.0
_TRACE = 0.01
_DECAYED = re.compile(r"(.+)_(\d+)([mhd])")
_QUESTION = re.compile(r"(\w+) ([≤>]) ([-+.\de]+)")
_SPANS = {"m": "min", "h": "h", "d": "d"}
# One event and several, in words.
_EVENTS = {
    "view_item": ("item view", "item views"),
    "view_item_list": ("list view", "list views"),
    "search": ("search", "searches"),
    "add_to_cart": ("addition to the cart", "additions to the cart"),
    "remove_from_cart": ("removal from the cart", "removals from the cart"),
    "begin_checkout": ("checkout", "checkouts begun"),
    "purchase": ("purchase", "purchases"),
    "refund": ("refund", "refunds"),
}
_SAID = {
    "session_age": "length of this visit",
    "session_events": "events in this visit",
    "session_items": "items in this visit",
    "session_gap": "pause before this visit",
    "gap_1": "time since the event before",
    "gap_2": "time between events 1 and 2 ago",
    "gap_3": "time between events 2 and 3 ago",
    "gap_smoothed": "usual time between events",
    "item_repeats": "returns to the same item",
    "cart_value": "value of the cart",
    "cart_quantity": "pieces in the cart",
    "tenure": "time since the first event",
    "events": "events so far",
    "sessions": "visits so far",
    "purchases": "purchases so far",
    "spend": "money spent so far",
    "order_value": "mean order value",
    "purchase_gap": "time between the last two purchases",
    "purchase_gap_mean": "mean time between purchases",
    "purchase_overdue": "how overdue the next purchase is",
    "hour_sin": "time of day (sine)",
    "hour_cos": "time of day (cosine)",
    "weekday_sin": "time of week (sine)",
    "weekday_cos": "time of week (cosine)",
}


# The two halves of an angle are one thing.
_CYCLES = {
    "hour_sin": "hour of the day", "hour_cos": "hour of the day",
    "weekday_sin": "weekday and hour", "weekday_cos": "weekday and hour",
}  # fmt: skip


def value_words(column: str, value: Any, *, log: bool) -> str:
    """Return a value of a column in words.

    Parameters
    ----------
    log
        Whether the column is one of a log's examples, whose unit is known.

    Examples
    --------
    >>> value_words("since_purchase", 172_800.0, log=True), value_words("member", True, log=False)
    ('2 d', 'yes')
    """
    if isinstance(value, bool | np.bool_):
        text = "yes" if value else "no"
    elif pd.isna(value):
        text = "missing"
    elif not isinstance(value, int | float):
        text = str(value)
    elif log and _UNITS.get(column) == "s":
        text = _span(value)
    elif not log and (size := seconds_of(column, log=False)) is not None:
        text = duration_rounded(size * value)
    elif log and abs(value) < _TRACE:  # what is left of a decayed counter
        text = "0"
    else:
        text = f"{value:,.0f}" if abs(value) >= _LARGE or float(value).is_integer() else f"{value:.2g}"
    return text


def in_units(question: str) -> str:
    """Return a question about a column of the stream with days, hours or minutes instead of seconds.

    Examples
    --------
    >>> in_units("else, if purchase_gap_mean ≤ 1.28e+06: 91.3%"), in_units("If spend ≤ 12.5: 3.0%")
    ('else, if purchase_gap_mean ≤ 15 d: 91.3%', 'If spend ≤ 12.5: 3.0%')
    """
    return _QUESTION.sub(
        lambda m: f"{m[1]} {m[2]} {_span(float(m[3]))}" if _UNITS.get(m[1]) == "s" else m[0], question
    )


def _span(seconds: float) -> str:
    return NEVER if seconds >= _NEVER_S else duration_rounded(seconds)


def column_words(column: str, *, log: bool) -> str:
    """Return what a column is, in words; a table's column keeps the name that its owner gave it.

    Examples
    --------
    >>> column_words("purchase_gap_mean", log=True), column_words("ExitRates", log=False)
    ('mean time between purchases', 'ExitRates')
    >>> column_words("purchase_30d", log=True), column_words("since_search", log=True)
    ('recent purchases (30 d)', 'time since the last search')
    """
    if not log:
        return column
    kind, _, what = column.partition("_")
    decayed = _DECAYED.fullmatch(column)
    if decayed is not None and decayed[1] in _EVENTS:
        words = f"recent {_EVENTS[decayed[1]][1]} ({decayed[2]} {_SPANS[decayed[3]]})"
    elif kind == "since" and what in _EVENTS:
        words = f"time since the last {_EVENTS[what][0]}"
    elif kind == "session" and what in _EVENTS:
        words = f"{_EVENTS[what][1]} in this visit"
    elif kind == "channel":
        words = f"share of events by {what}"
    else:
        words = _SAID.get(column, column.replace("_", " "))
    return words


def thing_words(column: str, *, log: bool) -> str:
    """Return what a column is about, in words that are the same for columns that are two halves of one thing.

    Examples
    --------
    >>> thing_words("hour_cos", log=True), thing_words("weekday_sin", log=True), thing_words("spend", log=True)
    ('hour of the day', 'weekday and hour', 'money spent so far')
    """
    return _CYCLES.get(column, column_words(column, log=log)) if log else column_words(column, log=log)


def is_half(column: str, *, log: bool) -> bool:
    """Return whether a column is half of one thing, so that "the more, the likelier" says nothing of it."""
    return log and column in _CYCLES


def meaning(column: str) -> str:
    """Return what `features.vector` says of a column."""
    return _MEANINGS.get(column, "")


def natural_order(values: list[Any]) -> list[Any]:
    """Return categories in the order that people expect: months by the calendar, numbers by size, others as they are.

    Examples
    --------
    >>> natural_order(["May", "Feb", "June"]), natural_order(["10", "9"]), natural_order(["10", "9", "new"])
    (['Feb', 'May', 'June'], ['9', '10'], ['10', '9', 'new'])
    """
    texts = pd.Series([str(value) for value in values])
    keys = month_numbers(texts)
    if keys is None:
        keys = pd.to_numeric(texts, errors="coerce")
    if keys.isna().any():
        return list(values)
    return [values[at] for at in np.argsort(keys.to_numpy(), kind="stable")]


def in_words(column: str) -> str:
    """Return the name of a column as words, spelled as its owner spells it.

    Examples
    --------
    >>> in_words("ProductRelated_Duration"), in_words("since_last_order"), in_words("VIP")
    ('Product Related Duration', 'since last order', 'VIP')
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", column).replace("_", " ")
    return re.sub(r"\s+", " ", spaced).strip()


_NAME: Final = 34


def short(name: str, most: int = _NAME) -> str:
    """Return a name broken into lines, for axes and legends."""
    lines = [""]
    for word in name.split():
        if len(lines[-1]) + len(word) > most and lines[-1]:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "<br>".join(lines)

"""Columns and their values in words, for reasons and axes."""

from __future__ import annotations

from typing import Any

import pandas as pd

from features.state import DAY_MS
from features.vector import COLUMNS
from offline.segments.names import in_words

_UNITS = {column.name: column.unit for column in COLUMNS}
_MEANINGS = {column.name: column.meaning for column in COLUMNS}
_NEVER_S = 400 * DAY_MS // 1000
_SECONDS = ((86_400, "d"), (3_600, "h"), (60, "min"))
_LARGE = 1_000.0
_TRACE = 0.01


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
    if isinstance(value, bool):
        return "yes" if value else "no"
    if pd.isna(value):
        return "missing"
    if not isinstance(value, int | float):
        return str(value)
    if log and _UNITS.get(column) == "s":
        if value >= _NEVER_S:
            return "never"
        for size, unit in _SECONDS:
            if value >= size:
                return f"{value / size:.3g} {unit}"
        return f"{value:.3g} s"
    if log and abs(value) < _TRACE:  # what is left of a decayed counter
        return "0"
    return f"{value:,.0f}" if abs(value) >= _LARGE else f"{value:.3g}"


def column_words(column: str, *, log: bool) -> str:
    """Return what a column is, in words.

    Examples
    --------
    >>> column_words("purchase_gap_mean", log=True), column_words("ExitRates", log=False)
    ('purchase gap mean', 'exit rates')
    """
    return column.replace("_", " ") if log else in_words(column)


def meaning(column: str) -> str:
    """Return what `features.vector` says of a column."""
    return _MEANINGS.get(column, "")


def scaled(column: str, values: Any, *, log: bool) -> tuple[Any, str]:
    """Return values on a scale that can be read on an axis, and its unit: days, hours or minutes instead of seconds."""
    if not log or _UNITS.get(column) != "s":
        return values, ""
    largest = max(values)
    for size, unit in _SECONDS:
        if largest >= 2 * size:
            return [value / size for value in values], unit
    return values, "s"

"""Columns and their values in words, for reasons and axes."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
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
_DECAYED = re.compile(r"(.+)_(\d+[mhd])")


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
    elif log and abs(value) < _TRACE:  # what is left of a decayed counter
        text = "0"
    else:
        text = f"{value:,.0f}" if abs(value) >= _LARGE else f"{value:.3g}"
    return text


def _span(seconds: float) -> str:
    if seconds >= _NEVER_S:
        return "never"
    size, unit = next(((s, u) for s, u in _SECONDS if seconds >= s), (1, "s"))
    return f"{seconds / size:.3g} {unit}"


def column_words(column: str, *, log: bool) -> str:
    """Return what a column is, in words.

    Examples
    --------
    >>> column_words("purchase_gap_mean", log=True), column_words("ExitRates", log=False)
    ('purchase gap mean', 'exit rates')
    >>> column_words("purchase_30d", log=True)
    'recent purchase (30d)'
    """
    if not log:
        return in_words(column)
    decayed = _DECAYED.fullmatch(column)
    words = f"recent {decayed[1]} ({decayed[2]})" if decayed else column
    return words.replace("_", " ")


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

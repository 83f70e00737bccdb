"""Axes of durations: ticks at minutes, hours and days, whatever unit the column counts in."""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from features.durations import duration_rounded
from features.vector import COLUMNS

_MOST: Final = 6
#: Ticks stand at least this share of the axis apart.
_APART: Final = 0.16
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
# Steps of even axes, and places on uneven ones, in seconds.
_STEPS: Final = (
    *(1, 2, 5, 10, 15, 30), *(_MINUTE * n for n in (1, 2, 5, 10, 15, 30)), *(_HOUR * n for n in (1, 2, 3, 6, 12)),
    *(_DAY * n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)),
)  # fmt: skip
_PLACES: Final = (
    1,
    10,
    _MINUTE,
    10 * _MINUTE,
    _HOUR,
    6 * _HOUR,
    *(_DAY * n for n in (1, 4, 10, 30, 100, 400)),
)
_NAMED: Final = ((re.compile(r"(^|[_ ])(seconds|secs)$", re.IGNORECASE), 1.0),
                 (re.compile(r"(^|[_ ])(ms|millis|milliseconds)$", re.IGNORECASE), 0.001))  # fmt: skip
_OF_STREAM: Final = frozenset(column.name for column in COLUMNS if column.unit == "s")

Ticks = tuple[list[float], list[str]]


def seconds_of(column: str, *, log: bool) -> float | None:
    """Return how many seconds one is in a column of durations, else None.

    Parameters
    ----------
    log
        Whether the column is one of a log's examples, whose unit is known. That of a table's column only its name
        tells: a tenure may be in months.

    Examples
    --------
    >>> seconds_of("tenure", log=True), seconds_of("tenure", log=False), seconds_of("load_time_ms", log=False)
    (1.0, None, 0.001)
    """
    if log:
        return 1.0 if column in _OF_STREAM else None
    return next((size for pattern, size in _NAMED if pattern.search(column)), None)


def duration_ticks(low: float, high: float, unit: float, *, log: bool = False) -> Ticks:
    """Return ticks between two durations, in the column's unit, and what they say.

    Parameters
    ----------
    unit
        Seconds that one is in the column.
    log
        Whether the axis is that of log(1 + x).

    Examples
    --------
    >>> duration_ticks(0, 7_200, 1.0)[1], duration_ticks(0, 3e6, 1.0, log=True)[1]
    (['0', '30 min', '1 h', '1.5 h', '2 h'], ['0', '10 s', '10 min', '6 h', '4 d'])
    """
    low, high = low * unit, high * unit
    if not log:
        step = next((some for some in _STEPS if (high - low) / some <= _MOST), _STEPS[-1])
        at = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
        return (at / unit).tolist(), [duration_rounded(float(value)) if value else "0" for value in at]
    width = np.log1p(high / unit) - np.log1p(max(low, 0.0) / unit)
    kept, texts = ([0.0], ["0"]) if low <= 0 else ([], [])
    for place in _PLACES:
        last = np.log1p(kept[-1] / unit) if kept else -np.inf
        if low <= place <= high and np.log1p(place / unit) - last >= _APART * width:
            kept.append(float(place))
            texts.append(duration_rounded(place))
    return [value / unit for value in kept], texts

"""Ranges of numbers, as people write them about a feature: ``at least 3``, ``less than 30m``, ``between 1 and 5``."""

from __future__ import annotations

import math
import re
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.durations import parse_duration
from features.vector import NEVER_S

_COMPARISON: Final = re.compile(r"(at least|at most|more than|less than|>=|<=|>|<|=)\s*(\S+)")
_BETWEEN: Final = re.compile(r"between\s+(\S+)\s+and\s+(\S+)")
_HOW: Final = "use a number, or a text such as `at least 3`, `less than 30m` or `between 1 and 5`"


class Range(NamedTuple):
    """Numbers from ``low`` to ``high``; an open end does not belong to it."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    @property
    def empty(self) -> bool:
        """Whether no number is in it."""
        return self.low > self.high or (self.low == self.high and (self.low_open or self.high_open))

    def and_(self, other: Range) -> Range:
        """Return the numbers that are in both."""
        low, low_open = max((self.low, self.low_open), (other.low, other.low_open))
        high, high_closed = min((self.high, not self.high_open), (other.high, not other.high_open))
        return Range(low, high, low_open, not high_closed)

    def covers(self, other: Range) -> bool:
        """Return whether all numbers of the other one are in this one."""
        return self.and_(other) == other

    def holds(self, values: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        """Return which values are in it; what is no number never is."""
        above: NDArray[np.bool_] = values > self.low if self.low_open else values >= self.low
        if self.high == math.inf:
            return above
        return above & (values < self.high if self.high_open else values <= self.high)


def parse_range(value: object, unit: str) -> Range:
    """Return the range that a number or a text means.

    Parameters
    ----------
    unit
        Of the numbers. Those in seconds (``s``) may be written as durations.

    Raises
    ------
    ValueError
        It means none, or an empty one; says what to write instead.

    Examples
    --------
    >>> parse_range("at least 1h and less than 1d", "s")
    Range(low=3600.0, high=86400.0, low_open=False, high_open=True)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{value!r} is no number; {_HOW}")
    if not isinstance(value, str):
        return Range(float(value), float(value))
    text = value.strip()
    if text == "never" and unit == "s":
        return Range(NEVER_S, math.inf)
    if match := _BETWEEN.fullmatch(text):
        found = Range(_number(match[1], unit), _number(match[2], unit))
    else:
        found = Range()
        for part in text.split(" and "):
            comparison = _COMPARISON.fullmatch(part.strip())
            if comparison is None and part is not text:
                raise ValueError(f"{value!r} cannot be understood; {_HOW}")
            sign, number = comparison.groups() if comparison else ("=", text)
            found = found.and_(_compared(sign, _number(number, unit)))
    if found.empty:
        raise ValueError(f"no number is {value!r}; {_HOW}")
    return found


def _compared(sign: str, number: float) -> Range:
    match sign:
        case "at least" | ">=":
            return Range(low=number)
        case "more than" | ">":
            return Range(low=number, low_open=True)
        case "at most" | "<=":
            return Range(high=number)
        case "less than" | "<":
            return Range(high=number, high_open=True)
        case _:
            return Range(number, number)


def _number(text: str, unit: str) -> float:
    """Return a number; of a feature in seconds also a duration."""
    try:
        number = float(text)
    except ValueError:
        number = parse_duration(text).total_seconds() if unit == "s" else math.nan
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is no number; {_HOW}")
    return number

"""Columns of digits as times: dates without signs between their parts, serial days of spreadsheets, epochs.

===========================================  ===============================================================
digits                                       are read as
===========================================  ===============================================================
``20250203``, ``2025020314``,                a date, with an hour (``dateHour`` of Google Analytics), a minute or
``202502031405``, ``20250203140500``         a second; the years 1900 to 2100
``2025``, ``202502``                         the first day of a year or a month
``45691.5868``                               days since 30 December 1899, as spreadsheets count; 1990 to 2100
``1738591500``, ``1738591500000``, ...       an epoch: seconds, milli-, micro- or nanoseconds since 1970; 1990 to 2100
``86400``                                    seconds since 1970 if no digits are anything else, and dates are fewer:
                                             some anonymised data count from 0
===========================================  ===============================================================

One digit string can be several of these (``2025020314`` would be an epoch of 2034), so a whole column is read in one
way: the one that most of its values fit. Values that do not fit it are no times.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from offline.datasets.dates import days_since_1970
from offline.datasets.values import Bools, Ints

Digits = Literal["calendar", "serial", "epoch", "count", "none"]

#: How each reading is called in an account; with none of them, digits are no times.
DIGITS_IN_WORDS: Final[dict[Digits, str]] = {
    "calendar": "dates in digits",
    "serial": "serial days of a spreadsheet",
    "epoch": "an epoch, seconds or finer since 1970",
    "count": "an epoch, counted from 1970 on: no value lies after 1989",
}

_DAY_MS: Final = 86_400_000
_SERIAL_OF_1970: Final = 25_569
_FIRST_YEAR, _LAST_YEAR = 1900, 2100
_SURE_DIGITS: Final = (8, 10, 12, 14)
_SHORT_DIGITS: Final = (4, 6)
# Epochs and serial days are plausible from 1990 on, before 2101.
_PLAUSIBLE_MS: Final = (631_152_000_000, 4_133_980_800_000)
# Short numbers are also amounts of something: nearly all of them must fit.
_NEARLY_ALL: Final = 0.95
# Epochs by magnitude: up to here seconds (until the year 5138), then milliseconds (from 1973), micro- and
# nanoseconds.
_SECONDS_BELOW: Final = 1e11


@dataclass(frozen=True, slots=True)
class DigitSigns:
    """What the digits of a column tell of how they are to be read; those of several blocks are added.

    Attributes
    ----------
    values
        How many values are digits.
    fits
        How many of them fit each reading; ``short`` are years and months.
    examples
        The first that fits each.
    """

    values: int = 0
    fits: dict[str, int] = field(default_factory=dict)
    examples: dict[str, float] = field(default_factory=dict)

    def __add__(self, other: DigitSigns) -> DigitSigns:
        names = dict.fromkeys([*self.fits, *other.fits])
        fits = {name: self.fits.get(name, 0) + other.fits.get(name, 0) for name in names}
        return DigitSigns(self.values + other.values, fits, other.examples | self.examples)

    def form(self) -> Digits:
        """Return the reading of the column."""
        few = _NEARLY_ALL * self.values
        votes: dict[Digits, int] = {"calendar": self.fits.get("calendar", 0)}
        if (short := votes["calendar"] + self.fits.get("short", 0)) >= few:
            votes["calendar"] = short
        votes["serial"] = serial if (serial := self.fits.get("serial", 0)) >= few else 0
        votes["epoch"] = self.fits.get("epoch", 0)
        best = max(votes, key=lambda name: votes[name])
        return best if votes[best] else "count"

    @property
    def example(self) -> float:
        """A value that fits the reading."""
        form = self.form()
        return self.examples.get(form, self.examples.get("short" if form == "calendar" else "any", np.nan))


def digit_signs(numbers: NDArray[np.float64]) -> DigitSigns:
    """Collect what numbers (missing: NaN) tell of how they are to be read.

    Examples
    --------
    >>> [digit_signs(np.array([value])).form() for value in (20240131.0, 2024013114.0, 45322.5, 1706709600.0, 5.0)]
    ['calendar', 'calendar', 'serial', 'epoch', 'count']
    """
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return DigitSigns()
    calendar = calendar_digits(numbers, _SURE_DIGITS)[1]
    marks = {
        "calendar": calendar,
        "short": calendar_digits(numbers, _SHORT_DIGITS)[1],
        "serial": ~serial_days(numbers)[1],
        "epoch": ~epoch_times(numbers)[1] & ~calendar,
        "any": np.ones(len(numbers), bool),
    }
    return DigitSigns(
        len(numbers),
        {name: int(mark.sum()) for name, mark in marks.items()},
        {name: float(numbers[np.argmax(mark)]) for name, mark in marks.items() if mark.any()},
    )


def calendar_digits(
    numbers: NDArray[np.float64], lengths: tuple[int, ...] = (*_SHORT_DIGITS, *_SURE_DIGITS)
) -> tuple[Ints, Bools]:
    """Return dates that are written as digits alone as milliseconds, and a mark for what is such a date.

    Examples
    --------
    >>> calendar_digits(np.array([20250203.0, 1738591500.0]))
    (array([1738540800000,             0]), array([ True, False]))
    """
    ms, found = np.zeros(len(numbers), np.int64), np.zeros(len(numbers), bool)
    whole = np.isfinite(numbers) & (numbers % 1 == 0) & (numbers > 0) & (numbers < 1e14)  # noqa: PLR2004
    value = np.where(whole, numbers, 0).astype(np.int64)
    for digits in lengths:
        here = whole & (value >= 10 ** (digits - 1)) & (value < 10**digits)
        if not here.any():
            continue
        full = value[here] * 10 ** (14 - digits)
        date, clock = full // 1_000_000, full % 1_000_000
        year, month, day = date // 10_000, date // 100 % 100, date % 100
        if digits == 4:  # noqa: PLR2004
            month = np.ones_like(year)
        if digits in _SHORT_DIGITS:
            day = np.ones_like(year)
        days, bad = days_since_1970(year, month, day)
        hour, minute, second = clock // 10_000, clock // 100 % 100, clock % 100
        good = ~bad & (year >= _FIRST_YEAR) & (year <= _LAST_YEAR)
        good &= (hour < 24) & (minute < 60) & (second < 60)  # noqa: PLR2004
        moment = days * _DAY_MS + hour * 3_600_000 + minute * 60_000 + second * 1000
        ms[here], found[here] = np.where(good, moment, 0), good
    return ms, found


def serial_days(numbers: NDArray[np.float64]) -> tuple[Ints, Bools]:
    """Return serial days of a spreadsheet as wall-clock milliseconds, and which numbers are no days.

    Examples
    --------
    >>> serial_days(np.array([45322.5, 1.0]))
    (array([1706702400000,             0]), array([False,  True]))
    """
    ms = np.round((np.nan_to_num(numbers) - _SERIAL_OF_1970) * _DAY_MS)
    return _where_plausible(ms, numbers)


def epoch_times(numbers: NDArray[np.float64]) -> tuple[Ints, Bools]:
    """Return epochs of plausible years as milliseconds, and which numbers are no such epochs."""
    ms, bad = counted_from_1970(numbers)
    return _where_plausible(np.where(bad, 0, ms), numbers)


def counted_from_1970(numbers: NDArray[np.float64]) -> tuple[Ints, Bools]:
    """Return seconds to nanoseconds since 1970, told by magnitude, as milliseconds, and a mark for what is none."""
    bad = np.isnan(numbers)
    size = np.abs(np.where(bad, 0, numbers))
    ms = np.where(bad, 0, numbers)
    for power, factor in ((0, 1e3), (3, 1.0), (6, 1e-3), (9, 1e-6)):
        low = 0 if power == 0 else _SECONDS_BELOW * 10 ** (power - 3)
        high = _SECONDS_BELOW * 10.0**power
        here = (size >= low) & (size < high)
        ms = np.where(here, np.floor(numbers * factor), ms)
    bad |= size >= _SECONDS_BELOW * 1e9
    return np.where(bad, 0, ms).astype(np.int64), bad


def _where_plausible(ms: NDArray[np.float64] | Ints, numbers: NDArray[np.float64]) -> tuple[Ints, Bools]:
    first, end = _PLAUSIBLE_MS
    bad = ~np.isfinite(numbers) | ~((ms >= first) & (ms < end))
    return np.where(bad, 0, ms).astype(np.int64), bad

"""Columns as moments: epoch milliseconds in UTC, from types of a file, epochs in digits and texts."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.events import MAX_TIME_MS
from offline.datasets.conversion import DatasetError
from offline.datasets.date_digits import (
    DIGITS_IN_WORDS,
    Digits,
    DigitSigns,
    calendar_digits,
    counted_from_1970,
    digit_signs,
    epoch_times,
    serial_days,
)
from offline.datasets.dates import YEAR_FIRST, DateForm, DateSigns, date_signs, read_clock
from offline.datasets.numbers import as_numbers, is_text
from offline.datasets.values import Bools, Ints, as_text, mask

_CLOCK: Final = r"(\d:\d\d(:\d\d([.,]\d+)?)?(\s*[AaPp][Mm])?|T\d\d(\d\d(\d\d([.,]\d+)?)?)?)"
_ZONED: Final = _CLOCK + r"\s*(Z|z|UTC|GMT|[+-]\d\d(:?\d\d)?)$"
# As JavaScript writes dates: GMT+0100 (CET) is an hour ahead of Greenwich, which POSIX would write GMT-1.
_GREENWICH: Final = r"(?:GMT|UTC)([+-]\d\d:?\d\d)(?: \([^)]*\))?$"
_DIGITS: Final = r"^[+-]?\d+(\.\d*)?$"


@dataclass(frozen=True, slots=True)
class TimeForm:
    """How the times of a column are written.

    Attributes
    ----------
    dates
        Those with day and month in numbers.
    digits
        Those that are digits alone; None if there are none.
    only
        The one form that was named for all of them, as of `datetime.strptime`.
    """

    dates: DateForm = YEAR_FIRST
    digits: Digits | None = None
    only: str | None = None

    def __str__(self) -> str:
        if self.only is not None:
            return f"times of the form {self.only}"
        parts = (
            [str(self.dates)]
            if self.dates.day_first is not None or self.digits not in DIGITS_IN_WORDS
            else []
        )
        return " and ".join(
            parts + ([DIGITS_IN_WORDS[self.digits]] if self.digits in DIGITS_IN_WORDS else [])
        )


@dataclass(frozen=True, slots=True)
class TimeSigns:
    """What the values of a column tell of the form of its times; those of several blocks are added.

    Attributes
    ----------
    dates, digits
        What they tell of dates with signs between their parts, and of digits alone.
    others
        How many values are texts of other signs than digits alone.
    """

    dates: DateSigns = field(default_factory=DateSigns)
    digits: DigitSigns = field(default_factory=DigitSigns)
    others: int = 0

    def __add__(self, other: TimeSigns) -> TimeSigns:
        return TimeSigns(self.dates + other.dates, self.digits + other.digits, self.others + other.others)

    def form(self) -> TimeForm:
        """Return the form of the column."""
        digits = self.digits.form() if self.digits.values else None
        # A lonely 5 among dates is a slip, and not five seconds after the beginning of 1970.
        lonely = digits == "count" and self.others > self.digits.values
        return TimeForm(self.dates.form(), "none" if lonely else digits)


@dataclass(frozen=True, slots=True)
class Times:
    """A column as epoch milliseconds.

    Attributes
    ----------
    ms
        The times; 0 where `bad`.
    bad
        Not a time: missing, or unreadable.
    skipped
        Local times that the clock left out in spring; read as the moment it jumped to.
    twice
        Local times that the clock showed twice in autumn; read as the first.
    """

    ms: Ints
    bad: Bools
    skipped: Bools
    twice: Bools


def zone(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name.

    Raises
    ------
    DatasetError
        If no zone has that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise DatasetError(f"unknown time zone {name!r}; give an IANA name such as Europe/London") from None


def unfit_time(times: Times) -> Bools:
    """Mark what is not a time, or lies outside what an event may have (after 1970, before the year 10000)."""
    return times.bad | (times.ms < 1) | (times.ms > MAX_TIME_MS)


def check_time_format(given: str) -> None:
    """Check a form of times.

    Raises
    ------
    DatasetError
        If `datetime.strptime` does not know one of its directives.
    """
    try:
        dt.datetime.strptime("", given)  # noqa: DTZ007  (nothing is read)
    except ValueError as error:
        if "does not match" not in str(error):
            raise DatasetError(
                f"the form of times {given!r} is none: {error}; see the directives of Python's strptime, "
                "for example '%d.%m.%Y %H:%M'"
            ) from None
    except re.error as error:
        raise DatasetError(f"the form of times {given!r} names a part twice: {error}") from None


def time_signs(values: pa.Array) -> TimeSigns:
    """Collect what a column, or a block of it, tells of the form of its times."""
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        return TimeSigns(digits=digit_signs(as_numbers(values)[0]))
    if not is_text(values):
        return TimeSigns()
    text = as_text(values)
    digits = text.filter(pa.array(are_digits(text)))
    others = len(text) - text.null_count - len(digits)
    return TimeSigns(date_signs(text), digit_signs(as_numbers(digits)[0]), others)


def are_digits(text: pa.Array) -> Bools:
    """Mark texts that are a number, so an epoch or a date without any sign between its parts."""
    return mask(pc.match_substring_regex(text, _DIGITS))


def as_times(
    values: pa.Array, local: ZoneInfo, formats: Sequence[str] = (), form: TimeForm | None = None
) -> Times:
    """Return a column as times.

    Parameters
    ----------
    values
        Timestamps or dates; numbers or texts of digits (`offline.datasets.date_digits`); other texts as listed in
        `offline.datasets.dates`.
    local
        Zone of the times that do not name one.
    formats
        Further forms of text to try, as of `datetime.strptime`.
    form
        How the column's times are written; found out from these values by default.

    Examples
    --------
    >>> as_times(pa.array(["2011-07-01 12:00", "1309518000"]), ZoneInfo("Europe/London")).ms.tolist()
    [1309518000000, 1309518000000]
    >>> as_times(pa.array(["03.02.2025"]), ZoneInfo("UTC"), form=TimeForm(DateForm(day_first=True))).ms.tolist()
    [1738540800000]
    """
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_date(values.type):
        values = values.cast(pa.timestamp("ms"))
    if pa.types.is_duration(values.type) or pa.types.is_time(values.type):  # no moment
        return _in_utc(np.zeros(len(values), np.int64), np.ones(len(values), bool))
    if pa.types.is_timestamp(values.type):
        # Cut, don't round: an event is never later than it was.
        ms = values.cast(pa.timestamp("ms", values.type.tz), safe=False).cast(pa.int64())
        clock = np.asarray(pc.fill_null(ms, 0).to_numpy(zero_copy_only=False), dtype=np.int64)
        null = mask(pc.is_null(values))
        return _localised(clock, null, local) if values.type.tz is None else _in_utc(clock, null)
    form = time_signs(values).form() if form is None else form
    if form.only is not None:
        return _of_one_form(as_text(values), local, form.only)
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        return _from_numbers(as_numbers(values)[0], local, form.digits)
    return _from_text(as_text(values), local, formats, form)


def _of_one_form(text: pa.Array, local: ZoneInfo, given: str) -> Times:
    """Read texts in one form; a zone in it counts."""
    series = pd.Series(text.to_pylist(), dtype=object)
    try:
        parsed = pd.to_datetime(series, format=given, errors="coerce", utc="%z" in given)
    except ValueError as error:
        raise DatasetError(f"the form of times {given!r} cannot be used: {error}") from None
    bad = parsed.isna().to_numpy(dtype=bool)
    ms = (
        parsed.astype("datetime64[ms, UTC]" if "%z" in given else "datetime64[ms]").astype("int64").to_numpy()
    )
    return _in_utc(ms, bad) if "%z" in given else _localised(np.where(bad, 0, ms), bad, local)


def _from_text(text: pa.Array, local: ZoneInfo, formats: Sequence[str], form: TimeForm) -> Times:
    rows = len(text)
    text = pc.replace_substring_regex(text, _GREENWICH, r"\1")
    times = Times(np.zeros(rows, np.int64), np.ones(rows, bool), np.zeros(rows, bool), np.zeros(rows, bool))
    digits, zoned = are_digits(text), mask(pc.match_substring_regex(text, _ZONED))
    naive = ~digits & ~zoned & ~mask(pc.is_null(text))

    def fill(here: Bools, found: Times) -> None:
        times.ms[here], times.bad[here] = found.ms, found.bad
        times.skipped[here], times.twice[here] = found.skipped, found.twice

    if digits.any():
        fill(digits, _from_numbers(as_numbers(text.filter(pa.array(digits)))[0], local, form.digits))
    if zoned.any():
        texts = pc.replace_substring_regex(text.filter(pa.array(zoned)), r"\s*(z|UTC|GMT)$", "Z")
        fill(zoned, _in_utc(*read_clock(texts, form.dates, formats, zoned=True)))
    if naive.any():
        clock = read_clock(text.filter(pa.array(naive)), form.dates, formats, zoned=False)
        fill(naive, _localised(*clock, local))
    return times


def _from_numbers(numbers: NDArray[np.float64], local: ZoneInfo, digits: Digits | None) -> Times:
    if digits == "calendar":
        clock, found = calendar_digits(numbers)
        return _localised(clock, ~found, local)
    if digits == "serial":
        return _localised(*serial_days(numbers), local)
    if digits == "none":
        return _in_utc(np.zeros(len(numbers), np.int64), np.ones(len(numbers), bool))
    return _in_utc(*(epoch_times if digits == "epoch" else counted_from_1970)(numbers))


def _in_utc(ms: Ints, bad: Bools) -> Times:
    return Times(np.where(bad, 0, ms), bad, np.zeros(len(ms), bool), np.zeros(len(ms), bool))


def _localised(clock: Ints, bad: Bools, local: ZoneInfo) -> Times:
    """Read milliseconds of a wall clock in a zone."""
    if local.key in ("UTC", "Etc/UTC"):
        return _in_utc(clock, bad)
    naive = pd.Series(np.where(bad, 0, clock).astype("datetime64[ms]"))
    first = np.ones(len(naive), bool)  # daylight saving time, the earlier reading
    twice = (
        naive.dt.tz_localize(local, ambiguous="NaT", nonexistent="shift_forward").isna().to_numpy(dtype=bool)
    )
    skipped = naive.dt.tz_localize(local, ambiguous=first, nonexistent="NaT").isna().to_numpy(dtype=bool)
    there = naive.dt.tz_localize(local, ambiguous=first, nonexistent="shift_forward")
    ms = there.dt.tz_convert("UTC").dt.as_unit("ms").astype("int64").to_numpy()
    return Times(np.where(bad, 0, ms), bad, skipped & ~bad, twice & ~bad)

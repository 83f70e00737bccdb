"""Columns as moments: epoch milliseconds in UTC, from types of a file, epochs in digits and texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.events import MAX_TIME_MS
from offline.datasets.conversion import DatasetError
from offline.datasets.dates import YEAR_FIRST, DateForm, DateSigns, calendar_digits, date_signs, read_clock
from offline.datasets.numbers import as_numbers, is_text
from offline.datasets.values import Bools, Ints, as_text, mask

# Epochs by magnitude: up to here seconds (until the year 5138), then milliseconds (from 1973), micro- and
# nanoseconds.
_SECONDS_BELOW: Final = 1e11
_CLOCK: Final = r"(\d:\d\d(:\d\d([.,]\d+)?)?(\s*[AaPp][Mm])?|T\d\d(\d\d(\d\d([.,]\d+)?)?)?)"
_ZONED: Final = _CLOCK + r"\s*(Z|z|UTC|GMT|[+-]\d\d(:?\d\d)?)$"
# As JavaScript writes dates: GMT+0100 (CET) is an hour ahead of Greenwich, which POSIX would write GMT-1.
_GREENWICH: Final = r"(?:GMT|UTC)([+-]\d\d:?\d\d)(?: \([^)]*\))?$"
_DIGITS: Final = r"^[+-]?\d+(\.\d*)?$"


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


def time_signs(values: pa.Array) -> DateSigns:
    """Collect what a column, or a block of it, tells of the form of its dates."""
    return date_signs(as_text(values)) if is_text(values) else DateSigns()


def are_digits(text: pa.Array) -> Bools:
    """Mark texts that are a number, so an epoch or a date without any sign between its parts."""
    return mask(pc.match_substring_regex(text, _DIGITS))


def as_times(
    values: pa.Array, local: ZoneInfo, formats: Sequence[str] = (), form: DateForm = YEAR_FIRST
) -> Times:
    """Return a column as times.

    Parameters
    ----------
    values
        Timestamps or dates; numbers or texts of an epoch (seconds to nanoseconds, told by magnitude) or of a date in
        digits (`offline.datasets.dates.calendar_digits`); other texts as listed in `offline.datasets.dates`.
    local
        Zone of the times that do not name one.
    formats
        Further forms of text to try, as of `datetime.strptime`.
    form
        How dates are written that have day and month in numbers; without a form such dates are not read.

    Examples
    --------
    >>> as_times(pa.array(["2011-07-01 12:00", "1"]), ZoneInfo("Europe/London")).ms.tolist()
    [1309518000000, 1000]
    >>> as_times(pa.array(["03.02.2025"]), ZoneInfo("UTC"), form=DateForm(day_first=True)).ms.tolist()
    [1738540800000]
    """
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_date(values.type):
        values = values.cast(pa.timestamp("ms"))
    if pa.types.is_timestamp(values.type):
        # Cut, don't round: an event is never later than it was.
        ms = values.cast(pa.timestamp("ms", values.type.tz), safe=False).cast(pa.int64())
        clock = np.asarray(pc.fill_null(ms, 0).to_numpy(zero_copy_only=False), dtype=np.int64)
        null = mask(pc.is_null(values))
        return _localised(clock, null, local) if values.type.tz is None else _in_utc(clock, null)
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        return _from_numbers(as_numbers(values)[0], local)
    return _from_text(as_text(values), local, formats, form)


def _from_text(text: pa.Array, local: ZoneInfo, formats: Sequence[str], form: DateForm) -> Times:
    rows = len(text)
    text = pc.replace_substring_regex(text, _GREENWICH, r"\1")
    times = Times(np.zeros(rows, np.int64), np.ones(rows, bool), np.zeros(rows, bool), np.zeros(rows, bool))
    digits, zoned = are_digits(text), mask(pc.match_substring_regex(text, _ZONED))
    naive = ~digits & ~zoned & ~mask(pc.is_null(text))

    def fill(here: Bools, found: Times) -> None:
        times.ms[here], times.bad[here] = found.ms, found.bad
        times.skipped[here], times.twice[here] = found.skipped, found.twice

    if digits.any():
        fill(digits, _from_numbers(as_numbers(text.filter(pa.array(digits)))[0], local))
    if zoned.any():
        texts = pc.replace_substring_regex(text.filter(pa.array(zoned)), r"\s*(z|UTC|GMT)$", "Z")
        fill(zoned, _in_utc(*read_clock(texts, form, formats, zoned=True)))
    if naive.any():
        clock = read_clock(text.filter(pa.array(naive)), form, formats, zoned=False)
        fill(naive, _localised(*clock, local))
    return times


def _from_numbers(numbers: NDArray[np.float64], local: ZoneInfo) -> Times:
    times = _in_utc(*_from_epoch(numbers))
    clock, dates = calendar_digits(numbers)
    if dates.any():
        found = _localised(clock[dates], np.zeros(int(dates.sum()), bool), local)
        times.ms[dates], times.bad[dates] = found.ms, found.bad
        times.skipped[dates], times.twice[dates] = found.skipped, found.twice
    return times


def _from_epoch(numbers: NDArray[np.float64]) -> tuple[Ints, Bools]:
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

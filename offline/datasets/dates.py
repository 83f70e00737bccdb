"""Texts as dates on a calendar and times on a clock; zones are the matter of `offline.datasets.times`.

===============================================  =================================================================
text                                             is read as
===============================================  =================================================================
``2025-02-03``, ``2025-02-03T14:05:00``          ISO 8601; also with slashes or points, and without leading zeros
``03.02.2025``, ``3/2/25 2:05 PM``               day and month in numbers, see below
``2/2025``                                       the first day of the month
``3 Feb 2025 14:05``, ``Feb 3, 2025``            a month by its English name
``14:05``                                        a time of a day that is not known: in the year 1900
===============================================  =================================================================

Which of two numbers is the day is decided once for the whole column. A number above 12 can only be a day; if both
places have such numbers, the place with more of them is the day. If no value has one, a point anywhere in the column
(``03.02.2025``) means that the day stands first, and slashes or hyphens alone (``02/03/2025``) that the month does;
the form then says that no value tells which.

A year of two digits is in this century up to 68, in the last one from 69 on (as in POSIX).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from offline.datasets.values import Bools, Ints, mask

_CLOCK: Final = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?(?: ?(?P<offset>Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?))?"
)
_THEN: Final = rf"(?:[ T,]+{_CLOCK})?$"
_DAY_AND_MONTH: Final = (
    r"^(?P<first>\d{1,2})(?P<mark>[./-])(?P<last>\d{1,2})[./-](?P<year>\d{4}|\d{2})" + _THEN
)
_MONTH_AND_YEAR: Final = r"^(?P<month>\d{1,2})[/-](?P<year>\d{4})" + _THEN
_YEAR_FIRST: Final = r"^(?P<year>\d{4})[./-](?P<month>\d{1,2})[./-](?P<day>\d{1,2})" + _THEN
_CLOCK_ALONE: Final = rf"^{_CLOCK}$"
_LIKE_DAY_AND_MONTH: Final = r"^\d{1,2}[./-]\d{1,2}[./-]\d"
_LIKE_ISO: Final = r"^[+-]?\d{4}"
# A month by its name, besides a day or a year.
_NAMED_MONTH: Final = r"(?i)(?:^|[^a-z])(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*(?:[^a-z]|$)"
# What then tells the year: a number of four digits, or one besides the day. Clocks are no part of the date.
_OF_CLOCK: Final = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?|[+-]\d{2}:?\d{2}$"
_WITH_YEAR: Final = r"\d{4}|\d\D+\d"

_MONTHS_IN_YEAR: Final = 12
_SHORT_YEAR: Final = 100
# Two digits mean this century up to here (as in POSIX), the one before beyond.
_PIVOT: Final = 69
_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 86_400_000
_UNKNOWN_DAY: Final = 1900


@dataclass(frozen=True, slots=True)
class DateForm:
    """How the dates of a column are written.

    Attributes
    ----------
    day_first
        Whether the day stands before the month where both are numbers; None if no date is written like that (then
        such dates are not read).
    sure
        Whether a value tells which.
    """

    day_first: bool | None = None
    sure: bool = True

    def __str__(self) -> str:
        if self.day_first is None:
            return "dates or times"
        order = "day first" if self.day_first else "month first"
        return f"dates, {order}{'' if self.sure else ' (no value tells which)'}"


YEAR_FIRST: Final = DateForm()


@dataclass(frozen=True, slots=True)
class DateSigns:
    """What the values of a column tell of the form of its dates; those of several blocks are added.

    Attributes
    ----------
    texts
        How many values have day and month in numbers.
    first_is_day, last_is_day
        In how many of them the first number, or the second, can only be a day.
    dotted
        How many of them have points.
    example
        The first of them, or the first one whose year has two digits.
    short_year
        Whether the year of the example has two digits.
    """

    texts: int = 0
    first_is_day: int = 0
    last_is_day: int = 0
    dotted: int = 0
    example: str = ""
    short_year: bool = False

    def __add__(self, other: DateSigns) -> DateSigns:
        return DateSigns(
            self.texts + other.texts,
            self.first_is_day + other.first_is_day,
            self.last_is_day + other.last_is_day,
            self.dotted + other.dotted,
            *(max((self, other), key=lambda signs: (signs.short_year, bool(signs.example))).told),
        )

    @property
    def told(self) -> tuple[str, bool]:
        """The example, and whether its year has two digits."""
        return self.example, self.short_year

    def form(self) -> DateForm:
        """Return the form of the column."""
        if not self.texts:
            return YEAR_FIRST
        if self.first_is_day or self.last_is_day:
            # A few slips must not turn the whole column round.
            return DateForm(self.first_is_day > self.last_is_day)
        return DateForm(self.dotted > 0, sure=False)


def date_signs(text: pa.Array) -> DateSigns:
    """Collect what a column of trimmed texts, or a block of it, tells of the form of its dates.

    Examples
    --------
    >>> str(date_signs(pa.array(["03.02.2025", "28.02.2025"])).form())
    'dates, day first'
    >>> str(date_signs(pa.array(["03/02/2025", "02/03/2025"])).form())
    'dates, month first (no value tells which)'
    """
    like = mask(pc.match_substring_regex(text, _LIKE_DAY_AND_MONTH))
    if not like.any():
        return DateSigns()
    texts = text.filter(pa.array(like))
    texts = texts.filter(pc.match_substring_regex(texts, _DAY_AND_MONTH))
    if not len(texts):
        return DateSigns()
    parts = _extract(texts, _DAY_AND_MONTH)
    short = mask(pc.equal(pc.utf8_length(parts["year"]), 2))
    first, last = (_whole(parts[name]) for name in ("first", "last"))
    return DateSigns(
        len(first),
        int((first > _MONTHS_IN_YEAR).sum()),
        int((last > _MONTHS_IN_YEAR).sum()),
        int(mask(pc.equal(parts["mark"], ".")).sum()),
        texts[int(np.argmax(short))].as_py(),
        bool(short.any()),
    )


def read_clock(text: pa.Array, form: DateForm, formats: Sequence[str], *, zoned: bool) -> tuple[Ints, Bools]:
    """Return texts as milliseconds since 1970, and a mark for every text that is not a time.

    Parameters
    ----------
    text
        Trimmed texts without nulls.
    form
        How dates of two numbers are written.
    formats
        Further forms to try, as of `datetime.strptime`.
    zoned
        Whether the texts end with a zone; otherwise the wall clock is read as if it were in UTC.

    Examples
    --------
    >>> read_clock(pa.array(["1970-01-01 00:01", "soon"]), YEAR_FIRST, (), zoned=False)
    (array([60000,     0]), array([False,  True]))
    """
    try:
        # Arrow is the fastest, and refuses a whole block for one value of another form.
        stamps = text.cast(pa.timestamp("us", "UTC" if zoned else None)).cast(pa.int64())
        return np.asarray(stamps.to_numpy(zero_copy_only=False)) // 1000, np.zeros(len(text), bool)
    except pa.ArrowException:
        pass
    ms, bad = np.zeros(len(text), np.int64), np.ones(len(text), bool)

    def fill(here: Bools, found: tuple[Ints, Bools]) -> None:
        ms[here], bad[here] = found

    iso = mask(pc.match_substring_regex(text, _LIKE_ISO))
    if iso.any():
        fill(iso, _by_pandas(text.filter(pa.array(iso)), "ISO8601"))
    for given in formats:
        if bad.any():
            fill(bad.copy(), _by_pandas(text.filter(pa.array(bad)), given))
    for pattern in (_DAY_AND_MONTH, _MONTH_AND_YEAR, _YEAR_FIRST, _CLOCK_ALONE):
        here = bad & mask(pc.match_substring_regex(text, pattern))
        if here.any() and not (pattern == _DAY_AND_MONTH and form.day_first is None):
            fill(here, _by_parts(_extract(text.filter(pa.array(here)), pattern), form))
    named = bad & mask(pc.match_substring_regex(text, _NAMED_MONTH))
    named &= mask(pc.match_substring_regex(pc.replace_substring_regex(text, _OF_CLOCK, ""), _WITH_YEAR))
    if named.any():
        fill(named, _by_pandas(text.filter(pa.array(named)), "mixed"))
    return np.where(bad, 0, ms), bad


def _by_pandas(text: pa.Array, form: str) -> tuple[Ints, Bools]:
    series = pd.Series(text.to_pylist(), dtype=object)
    with warnings.catch_warnings():
        # A zone that dateutil does not know is a text that is not a time.
        warnings.simplefilter("ignore")
        parsed = pd.to_datetime(series, format=form, errors="coerce", utc=True)
    bad = parsed.isna().to_numpy(dtype=bool)
    ms = parsed.fillna(pd.Timestamp(0, tz="UTC")).dt.as_unit("ms").astype("int64").to_numpy()
    return ms, bad


def _extract(text: pa.Array, pattern: str) -> dict[str, pa.Array]:
    """Return the named parts of the texts that match, an empty text where a part is not there."""
    parts = pc.drop_null(pc.extract_regex(text, pattern))
    return {field.name: pc.struct_field(parts, at) for at, field in enumerate(parts.type)}


def _whole(digits: pa.Array) -> Ints:
    filled = pc.if_else(pc.equal(digits, ""), "0", digits)
    return np.asarray(filled.cast(pa.int64()).to_numpy(zero_copy_only=False), dtype=np.int64)


def _by_parts(parts: dict[str, pa.Array], form: DateForm) -> tuple[Ints, Bools]:
    """Return milliseconds of dates in parts; a day or an hour that there is not is marked."""
    rows = len(parts["hour"])
    if "first" in parts:
        day, month = (_whole(parts[name]) for name in ("first", "last"))
        if not form.day_first:
            day, month = month, day
    else:
        month, day = (
            _whole(parts[name]) if name in parts else np.ones(rows, np.int64) for name in ("month", "day")
        )
    year = _whole(parts["year"]) if "year" in parts else np.full(rows, _UNKNOWN_DAY)
    year = np.where(year >= _SHORT_YEAR, year, year + 1900 + 100 * (year < _PIVOT))
    days, bad = days_since_1970(year, month, day)
    clock, bad_clock = _of_day(parts)
    return days * _DAY_MS + clock, bad | bad_clock


def days_since_1970(year: Ints, month: Ints, day: Ints) -> tuple[Ints, Bools]:
    """Return days since 1970, and a mark for days that the calendar does not have."""
    bad = (month < 1) | (month > _MONTHS_IN_YEAR) | (day < 1)
    months = (year - 1970) * _MONTHS_IN_YEAR + np.where(bad, 1, month) - 1
    start = months.astype("datetime64[M]")
    days = start.astype("datetime64[D]").astype(np.int64) + day - 1
    bad |= days >= (start + 1).astype("datetime64[D]").astype(np.int64)
    return np.where(bad, 0, days), bad


def _of_day(parts: dict[str, pa.Array]) -> tuple[Ints, Bools]:
    """Return the milliseconds of a day, less the offset of the zone."""
    hour, minute, second = (_whole(parts[name]) for name in ("hour", "minute", "second"))
    half = pc.utf8_lower(parts["half"])
    morning, afternoon = mask(pc.equal(half, "a")), mask(pc.equal(half, "p"))
    bad = (hour > 23) | (minute > 59) | (second > 59)  # noqa: PLR2004  (a clock)
    bad |= (morning | afternoon) & ((hour > 12) | (hour < 1))  # noqa: PLR2004
    hour = np.where(morning | afternoon, hour % 12 + 12 * afternoon, hour)
    fraction = _whole(pc.utf8_slice_codeunits(pc.utf8_rpad(parts["fraction"], 3, "0"), 0, 3))
    return hour * 60 * _MINUTE_MS + minute * _MINUTE_MS + second * 1000 + fraction - _offset(
        parts["offset"]
    ), bad


def _offset(zones: pa.Array) -> Ints:
    """Return milliseconds east of UTC."""
    digits = pc.replace_substring_regex(zones, r"^[A-Za-z]+$|[+:-]", "")
    number = _whole(pc.utf8_slice_codeunits(pc.utf8_rpad(digits, 4, "0"), 0, 4))
    sign = np.where(mask(pc.starts_with(zones, "-")), -1, 1)
    return np.asarray(sign * (number // 100 * 60 + number % 100) * _MINUTE_MS, dtype=np.int64)

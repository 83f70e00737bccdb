"""Turning columns of a source into texts, numbers and times; what cannot be turned is marked, not raised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.events import MAX_TIME_MS
from offline.datasets.conversion import DatasetError

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: Texts of a draft: most repeat often, so a draft keeps each once.
TEXT = pa.dictionary(pa.int32(), pa.large_string())

# Epochs by magnitude: up to here seconds (until the year 5138), then milliseconds (from 1973), micro- and
# nanoseconds.
_SECONDS_BELOW = 1e11
_ZONED = r"\d\d:\d\d(:\d\d(\.\d+)?)?\s*(Z|z|UTC|GMT|[+-]\d\d(:?\d\d)?)$"
_NUMBER = r"^[+-]?\d+(\.\d*)?$"


def mask(condition: pa.Array | pa.ChunkedArray) -> Bools:
    """Return a boolean column as numpy, null as false."""
    return np.asarray(pc.fill_null(condition, False).to_numpy(zero_copy_only=False), dtype=bool)


def as_text(values: pa.Array) -> pa.Array:
    """Return a column as trimmed text, empty as null, whole floats without the decimal point.

    Examples
    --------
    >>> as_text(pa.array([17850.0, None])).to_pylist()
    ['17850', None]
    """
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_finite(values), values, None)
        whole = pc.equal(pc.floor(values), values)
        small = pc.less(pc.abs(values), 2.0**53)
        whole = pc.and_(whole, small)
        as_int = pc.if_else(whole, values, None).cast(pa.int64())
        values = pc.coalesce(as_int.cast(pa.large_string()), values.cast(pa.large_string()))
    text = pc.utf8_trim_whitespace(values.cast(pa.large_string()))
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.large_string()), text)


def without_point_zero(text: pa.Array) -> pa.Array:
    """Return ids as they were before a tool wrote them as floats ("17850.0")."""
    return pc.replace_substring_regex(text, r"^(\d+)\.0+$", r"\1")


def as_dictionary(text: pa.Array) -> pa.Array:
    """Return texts in the compact form of a draft."""
    return text.cast(pa.large_string()).dictionary_encode()


def constant(text: str, rows: int) -> pa.Array:
    """Return a compact column that says the same in every row."""
    return pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(rows, np.int32)), pa.array([text], pa.large_string())
    )


def coded(text: pa.Array, codes: Mapping[str, int]) -> NDArray[np.int8]:
    """Return the code of every text, -1 where it has none.

    Examples
    --------
    >>> coded(pa.array(["view", "click", None]), {"view": 0}).tolist()
    [0, -1, -1]
    """
    found = pc.index_in(text, value_set=pa.array(list(codes), text.type))
    table = np.array([*codes.values(), -1], dtype=np.int8)
    places = np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False))
    return np.asarray(table[places], dtype=np.int8)


def unfit_time(times: Times) -> Bools:
    """Mark what is no time, or lies outside what an event may have (after 1970, before the year 10000)."""
    return times.bad | (times.ms < 1) | (times.ms > MAX_TIME_MS)


def too_long(text: pa.Array, limit: int) -> Bools:
    """Mark texts of more than `limit` characters."""
    return mask(pc.greater(pc.utf8_length(text), limit))


def as_numbers(values: pa.Array) -> tuple[Floats, Bools]:
    """Return a column as floats (null: NaN), and a mark for every value that is no finite number.

    Examples
    --------
    >>> as_numbers(pa.array(["1.5", None, "free"]))
    (array([1.5, nan, nan]), array([False, False,  True]))
    """
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    there = ~mask(pc.is_null(values, nan_is_null=True))
    try:
        floats = values.cast(pa.float64())
    except pa.ArrowException:
        series = pd.to_numeric(pd.Series(as_text(values).to_pylist(), dtype=object), errors="coerce")
        numbers = np.asarray(series, dtype=np.float64)
    else:
        numbers = np.asarray(floats.to_numpy(zero_copy_only=False), dtype=np.float64)
    bad = there & ~np.isfinite(numbers)
    return np.where(np.isfinite(numbers), numbers, np.nan), bad


@dataclass(frozen=True, slots=True)
class Times:
    """A column as epoch milliseconds.

    Attributes
    ----------
    ms
        The times; 0 where `bad`.
    bad
        No time at all: missing, unreadable.
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
        If there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise DatasetError(f"unknown time zone {name!r}; give an IANA name such as Europe/London") from None


def as_times(values: pa.Array, local: ZoneInfo, formats: Sequence[str] = ()) -> Times:
    """Return a column as times.

    Parameters
    ----------
    values
        Timestamps, dates, numbers or texts of an epoch (seconds to nanoseconds, told by magnitude), ISO 8601
        texts.
    local
        Zone of the times that name none.
    formats
        Further forms of text to try, as of `datetime.strptime`.

    Examples
    --------
    >>> as_times(pa.array(["2011-07-01 12:00", "1"]), ZoneInfo("Europe/London")).ms.tolist()
    [1309518000000, 1000]
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
        return _localised(clock, null, local) if values.type.tz is None else _nowhere(clock, null)
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        numbers, _ = as_numbers(values)
        return _nowhere(*_from_epoch(numbers))
    return _from_text(as_text(values), local, formats)


def _from_text(text: pa.Array, local: ZoneInfo, formats: Sequence[str]) -> Times:
    rows = len(text)
    ms = np.zeros(rows, np.int64)
    bad = np.ones(rows, bool)
    skipped, twice = np.zeros(rows, bool), np.zeros(rows, bool)
    number = mask(pc.match_substring_regex(text, _NUMBER))
    zoned = mask(pc.match_substring_regex(text, _ZONED))
    naive = ~number & ~zoned & ~mask(pc.is_null(text))
    if number.any():
        numbers, _ = as_numbers(text.filter(pa.array(number)))
        ms[number], bad[number] = _from_epoch(numbers)
    if zoned.any():
        ms[zoned], bad[zoned] = _parse(_zone_as_offset(text.filter(pa.array(zoned))), formats, zoned=True)
    if naive.any():
        clock, unread = _parse(text.filter(pa.array(naive)), formats, zoned=False)
        there = _localised(clock, unread, local)
        ms[naive], bad[naive], skipped[naive], twice[naive] = there.ms, there.bad, there.skipped, there.twice
    return Times(ms, bad, skipped, twice)


def _zone_as_offset(text: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(text, r"\s*(z|UTC|GMT)$", "Z")


def _parse(text: pa.Array, formats: Sequence[str], *, zoned: bool) -> tuple[Ints, Bools]:
    """Return milliseconds of texts that all name a zone, or of a wall clock as if it were in UTC."""
    try:
        # Arrow is the faster of the two, and refuses a whole block for one value of another form.
        stamps = text.cast(pa.timestamp("us", "UTC" if zoned else None)).cast(pa.int64())
        return np.asarray(stamps.to_numpy(zero_copy_only=False)) // 1000, np.zeros(len(text), bool)
    except pa.ArrowException:
        series = pd.Series(text.to_pylist(), dtype=object)
    parsed = pd.to_datetime(series, format="ISO8601", errors="coerce", utc=True)
    for form in formats:
        rest = parsed.isna()
        if not rest.any():
            break
        parsed[rest] = pd.to_datetime(series[rest], format=form, errors="coerce", utc=True)
    bad = parsed.isna().to_numpy(dtype=bool)
    ms = parsed.fillna(pd.Timestamp(0, tz="UTC")).dt.as_unit("ms").astype("int64").to_numpy()
    return ms, bad


def _from_epoch(numbers: Floats) -> tuple[Ints, Bools]:
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


def _nowhere(ms: Ints, bad: Bools) -> Times:
    never = np.zeros(len(ms), bool)
    return Times(np.where(bad, 0, ms), bad, never, never)


def _localised(clock: Ints, bad: Bools, local: ZoneInfo) -> Times:
    """Read milliseconds of a wall clock in a zone."""
    if local.key in ("UTC", "Etc/UTC"):
        return _nowhere(clock, bad)
    naive = pd.Series(np.where(bad, 0, clock).astype("datetime64[ms]"))
    first = np.ones(len(naive), bool)  # daylight saving time, the earlier reading
    twice = (
        naive.dt.tz_localize(local, ambiguous="NaT", nonexistent="shift_forward").isna().to_numpy(dtype=bool)
    )
    skipped = naive.dt.tz_localize(local, ambiguous=first, nonexistent="NaT").isna().to_numpy(dtype=bool)
    there = naive.dt.tz_localize(local, ambiguous=first, nonexistent="shift_forward")
    ms = there.dt.tz_convert("UTC").dt.as_unit("ms").astype("int64").to_numpy()
    return Times(np.where(bad, 0, ms), bad, skipped & ~bad, twice & ~bad)

"""Local time without a clock: the UTC offsets of a time zone as a table that numba code can search."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from features.compiled import njit
from features.exceptions import IntentError
from features.state import DAY_MS, HOUR_MS

# The table covers these years; before and after, the nearest offset holds.
_FIRST_YEAR, _LAST_YEAR = 1970, 2100
_SECOND_MS = 1000
_STEP_MS = 7 * DAY_MS  # no zone changes its offset twice within a week


class Zone(NamedTuple):
    """A time zone: from ``changes_ms[i]`` on (epoch ms), local time is UTC plus ``offsets_ms[i]``."""

    changes_ms: NDArray[np.int64]
    offsets_ms: NDArray[np.int64]


@lru_cache(maxsize=8)
def zone(name: str) -> Zone:
    """Return the table of the IANA time zone ``name``.

    Raises
    ------
    IntentError
        There is no such zone.
    """
    try:
        info = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise IntentError(f"unknown time zone {name!r}: use an IANA name such as Europe/London") from None

    def offset(ms: int) -> int:
        at = dt.datetime.fromtimestamp(ms / 1000, dt.UTC).astimezone(info).utcoffset() or dt.timedelta()
        return at // dt.timedelta(milliseconds=1)

    start = int(dt.datetime(_FIRST_YEAR, 1, 1, tzinfo=dt.UTC).timestamp()) * 1000
    end = int(dt.datetime(_LAST_YEAR, 1, 1, tzinfo=dt.UTC).timestamp()) * 1000
    changes, offsets = [start], [offset(start)]
    for week in range(start, end, _STEP_MS):
        low, high = week, week + _STEP_MS
        new = offset(high)
        if new == offsets[-1]:
            continue
        while high - low > _SECOND_MS:  # changes fall on whole seconds
            middle = (low + high) // 2 // _SECOND_MS * _SECOND_MS
            low, high = (middle, high) if offset(middle) == offsets[-1] else (low, middle)
        changes.append(high)
        offsets.append(new)
    return Zone(np.array(changes, np.int64), np.array(offsets, np.int64))


@njit(cache=True, nogil=True)
def utc_offset(time_ms: int, changes_ms: NDArray[np.int64], offsets_ms: NDArray[np.int64]) -> int:
    """Return the UTC offset (ms) that holds at ``time_ms``."""
    at = int(np.searchsorted(changes_ms, time_ms, side="right")) - 1
    return int(offsets_ms[max(at, 0)])


@njit(cache=True, nogil=True)
def next_day(time_ms: int, changes_ms: NDArray[np.int64], offsets_ms: NDArray[np.int64]) -> int:
    """Return the first instant (epoch ms) of the local calendar day after ``time_ms``."""
    local = time_ms + utc_offset(time_ms, changes_ms, offsets_ms)
    midnight = (local // DAY_MS + 1) * DAY_MS
    guess = midnight - utc_offset(midnight, changes_ms, offsets_ms)
    # The offset right before midnight decides; one more step settles a change in between.
    return midnight - utc_offset(guess - HOUR_MS, changes_ms, offsets_ms)

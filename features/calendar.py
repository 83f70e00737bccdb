"""Local time without a clock: the UTC offsets of a time zone as a table that numba code can search."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple
from zoneinfo import TZPATH, ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from features.compiled import kernel
from features.exceptions import IntentError
from features.state import DAY_MS

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
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder of zones is no zone
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


@kernel
def utc_offset(time_ms: int, changes_ms: NDArray[np.int64], offsets_ms: NDArray[np.int64]) -> int:
    """Return the UTC offset (ms) that holds at ``time_ms``."""
    at = int(np.searchsorted(changes_ms, time_ms, side="right")) - 1
    return int(offsets_ms[max(at, 0)])


@kernel
def next_day(time_ms: int, changes_ms: NDArray[np.int64], offsets_ms: NDArray[np.int64]) -> int:
    """Return the first instant (epoch ms) after ``time_ms`` at which the local date is a later one.

    Where a clock change skips midnight, or a whole day, that is the moment of the change.
    """
    at = max(int(np.searchsorted(changes_ms, time_ms, side="right")) - 1, 0)
    midnight = ((time_ms + offsets_ms[at]) // DAY_MS + 1) * DAY_MS  # in local time
    while at + 1 < len(changes_ms) and midnight - offsets_ms[at] >= changes_ms[at + 1]:
        at += 1  # the clock changes first
        if changes_ms[at] + offsets_ms[at] >= midnight:
            return int(changes_ms[at])
    return int(midnight - offsets_ms[at])


def timezone_database(name: str) -> str:
    """Return where the rules of the time zone ``name`` come from: ``system 2025b`` or ``tzdata 2026.6``, for instance.

    The system's database goes first, as in `zoneinfo`.
    """
    for folder in map(Path, TZPATH):
        if not (folder / name).is_file():
            continue
        listing = folder / "tzdata.zi"
        first = (
            listing.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
            if listing.is_file()
            else ""
        )
        return f"system {first.removeprefix('# version ')}" if first.startswith("# version ") else "system"
    try:
        return f"tzdata {version('tzdata')}"
    except PackageNotFoundError:
        return "unknown"

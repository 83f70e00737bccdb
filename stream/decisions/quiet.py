"""Quiet hours and weekdays in the shop's time zone, as a table that numba code can search."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.compiled import kernel
from features.state import DAY_MS, MINUTE_MS

WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_TIME: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])|(24):(00)")
_HOUR: Final = 60
_DAY: Final = 24 * _HOUR
_WEEK: Final = 7 * _DAY
_EPOCH_WEEKDAY_MS: Final = 3 * DAY_MS  # 1970-01-01 was a Thursday; weeks start on Monday


def minute_of_day(text: str) -> int | None:
    """Return the minute of a time of day, ``None`` where the text is none.

    Examples
    --------
    >>> minute_of_day("08:30"), minute_of_day("24:00"), minute_of_day("8.30")
    (510, 1440, None)
    """
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    hour, minute = match[1] or match[3], match[2] or match[4]
    return int(hour) * _HOUR + int(minute)


def quiet_minutes(begin: int | None, end: int | None, weekdays: Collection[str]) -> NDArray[np.int64]:
    """Return for every minute of the local week how many minutes of quiet are still to come, 0 where it is not quiet.

    Parameters
    ----------
    begin, end
        The quiet hours as minutes of the day; they may go over midnight.
    weekdays
        Days that are quiet as a whole.
    """
    minutes = np.arange(_WEEK)
    of_day = minutes % _DAY
    quiet = np.isin(minutes // _DAY, [WEEKDAYS.index(day) for day in weekdays])
    if begin is not None and end is not None:
        hours = (of_day >= begin) & (of_day < end) if begin <= end else (of_day >= begin) | (of_day < end)
        quiet |= hours
    left = np.zeros(_WEEK, np.int64)
    if quiet.all():
        raise ValueError("nothing could ever be sent")
    for minute in range(2 * _WEEK - 1, -1, -1):  # twice around, as the week's end goes on in its beginning
        at = minute % _WEEK
        left[at] = left[(at + 1) % _WEEK] + 1 if quiet[at] else 0
    return left


@kernel
def quiet_end(
    time: int, left: NDArray[np.int64], changes_ms: NDArray[np.int64], offsets_ms: NDArray[np.int64]
) -> int:  # pragma: no cover
    """Return the first moment (epoch ms) from ``time`` on that is not quiet: ``time`` itself where it is not."""
    at = max(int(np.searchsorted(changes_ms, time, side="right")) - 1, 0)
    while True:
        local = time + offsets_ms[at] + _EPOCH_WEEKDAY_MS
        minutes = left[(local // MINUTE_MS) % _WEEK]
        if minutes == 0:
            return int(time)
        end = time - local % MINUTE_MS + minutes * MINUTE_MS
        if at + 1 < len(changes_ms) and end >= changes_ms[at + 1]:
            at += 1  # the clock changes first
            end = changes_ms[at]
        time = end

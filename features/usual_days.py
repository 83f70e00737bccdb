"""Lonely dates in a log: a few events dated long before or after all others, by a typing error or a missing value.

One event of the year 2124 would move a watermark beyond everything that really happened, release all labels, and
stretch every series by a century. Such events are named and left out.

An event is lonely if it stands beyond a gap without any event that is at least three times as long as the time of
nearly all events (but 30 days at least, a year at most), and if at most one event in a hundred does, or two. A log of
fewer than 20 events has none.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.watermark import BEGINNING

_DAY_MS: Final = 86_400_000
_LEAST_EVENTS: Final = 20
_FEW, _SHARE = 2, 0.01
_LEAST_GAP, _MOST_GAP, _TIMES = 30, 365, 3
_END: Final = int(np.iinfo(np.int64).max)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class UsualDays(NamedTuple):
    """Between which moments a log's events lie, lonely ones aside.

    Attributes
    ----------
    first, end
        Epoch ms; an event before ``first``, or from ``end`` on, is lonely.
    before, after
        How many events are lonely.
    earliest, latest
        Begin of the day of the first and of the last event of all, epoch ms.
    """

    first: int = BEGINNING
    end: int = _END
    before: int = 0
    after: int = 0
    earliest: int = 0
    latest: int = 0

    @classmethod
    def of(cls, times: NDArray[np.int64] | Iterable[NDArray[np.int64]]) -> UsualDays:
        """Find the lonely events of a log.

        Parameters
        ----------
        times
            Event times, epoch ms, in any order; in one array or in several.

        Examples
        --------
        >>> times = np.arange(100) * 86_400_000
        >>> UsualDays.of(np.append(times, 4_000_000_000_000)).after
        1
        """
        counts: dict[int, int] = {}
        for some in [times] if isinstance(times, np.ndarray) else times:
            days, found = np.unique(some // _DAY_MS, return_counts=True)
            for day, count in zip(days.tolist(), found.tolist(), strict=True):
                counts[day] = counts.get(day, 0) + count
        days = np.array(sorted(counts), np.int64)
        return cls._of_days(days, np.array([counts[day] for day in days.tolist()], np.int64))

    @classmethod
    def _of_days(cls, days: NDArray[np.int64], counts: NDArray[np.int64]) -> UsualDays:
        total = int(counts.sum())
        if total < _LEAST_EVENTS:
            return cls()
        few = max(_FEW, int(total * _SHARE))
        until = np.cumsum(counts)
        low, high = int(np.searchsorted(until, few + 1)), int(np.searchsorted(until, total - few))
        gap = min(_MOST_GAP, max(_LEAST_GAP, _TIMES * int(days[high] - days[low] + 1)))
        far = np.flatnonzero(np.diff(days) >= gap)
        below, above = far[far < low], far[far >= high]
        if not len(below) and not len(above):
            return cls()
        start = int(below[-1]) + 1 if len(below) else 0
        stop = int(above[0]) + 1 if len(above) else len(days)
        return cls(
            int(days[start]) * _DAY_MS,
            (int(days[stop - 1]) + 1) * _DAY_MS,
            int(counts[:start].sum()),
            int(counts[stop:].sum()),
            int(days[0]) * _DAY_MS,
            int(days[-1]) * _DAY_MS,
        )

    @property
    def lonely(self) -> int:
        """How many events are lonely."""
        return self.before + self.after

    def hold(self, times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Mark the events that are not lonely."""
        usual: NDArray[np.bool_] = (times >= self.first) & (times < self.end)
        return usual

    def arrivals(self, times: NDArray[np.int64], arrivals: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return arrivals so that `features.watermark.judge` refuses lonely events, and moves no watermark for them."""
        if not self.lonely:
            return arrivals
        moved: NDArray[np.int64] = np.where(self.hold(times), arrivals, BEGINNING)
        return moved

    def sentences(self) -> list[str]:
        """Name the lonely events, in words for people.

        Examples
        --------
        >>> times = np.append(np.arange(100) * 86_400_000, 4_000_000_000_000)
        >>> print(*UsualDays.of(times).sentences())
        1 event is left out, because it is dated 2096-10-02, and all others end on 1970-04-10. If the date is wrong, \
correct it where it comes from. If it is a live event behind a replayed log, keep the two in topics of their own.
        """
        found = []
        if self.before:
            found.append(
                f"{_left_out(self.before, self.earliest)} begin on {_date(self.first)}. {_wrong(self.before)}"
            )
        if self.after:
            live = "it is a live event" if self.after == 1 else "they are live events"
            found.append(
                f"{_left_out(self.after, self.latest)} end on {_date(self.end - 1)}. {_wrong(self.after)} "
                f"If {live} behind a replayed log, keep the two in topics of their own."
            )
        return found


def _left_out(count: int, day: int) -> str:
    if count == 1:
        return f"1 event is left out, because it is dated {_date(day)}, and all others"
    return f"{count:,} events are left out, because they are dated far from all others (as far as {_date(day)}), which"


def _wrong(count: int) -> str:
    if count == 1:
        return "If the date is wrong, correct it where it comes from."
    return "If the dates are wrong, correct them where they come from."


def _date(ms: int) -> str:
    return f"{_EPOCH + dt.timedelta(milliseconds=ms):%Y-%m-%d}"

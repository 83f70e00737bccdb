"""Counts by second, and times by percentile, of the last minutes."""

from __future__ import annotations

from typing import Final

import numpy as np

from stream.running.histogram import Histogram

#: What is kept of the past.
SECONDS: Final = 300

# Bounds of a histogram of milliseconds, 7% apart: from 0.1 ms to an hour.
_BOUNDS: Final = np.geomspace(0.1, 3_600_000.0, 258).tolist()
_PIECE: Final = 10


class PerSecond:
    """Counts by second of the wall clock."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def add(self, second: int, count: int = 1) -> None:
        """Count something of a second."""
        self._counts[second] = self._counts.get(second, 0) + count
        if len(self._counts) > 2 * SECONDS:
            newest = max(self._counts)
            self._counts = {at: one for at, one in self._counts.items() if at > newest - SECONDS}

    def last(self, until: int) -> list[int]:
        """Return the counts of the seconds before one, oldest first."""
        return [self._counts.get(second, 0) for second in range(until - SECONDS, until)]


class Latencies:
    """Times of the last minutes, as histograms of some seconds each.

    Examples
    --------
    >>> latencies = Latencies()
    >>> latencies.add(100, [5.0] * 98 + [80.0, 90.0])
    >>> p50, p99, count = latencies.at(101)
    >>> 5 <= p50 < 5.4, 80 <= p99 < 86, count
    (True, True, 100)
    >>> latencies.at(100_000) is None
    True
    """

    def __init__(self) -> None:
        self._pieces: dict[int, Histogram] = {}

    def add(self, second: int, milliseconds: list[float]) -> None:
        """Count times of a second."""
        piece = second // _PIECE
        if piece not in self._pieces:
            self._pieces[piece] = Histogram(_BOUNDS)
            newest = max(self._pieces)
            for old in [one for one in self._pieces if one <= newest - SECONDS // _PIECE]:
                del self._pieces[old]
        if piece in self._pieces:
            self._pieces[piece].add_many(milliseconds)

    def at(self, second: int) -> tuple[float, float, int] | None:
        """Return median, 99th percentile and number; ``None`` where there are no times."""
        first = second // _PIECE - SECONDS // _PIECE
        recent = [one.counts for piece, one in self._pieces.items() if piece > first]
        counts = np.sum(recent, axis=0) if recent else np.zeros(1, np.int64)
        total = int(counts.sum())
        if not total:
            return None
        upto = np.cumsum(counts)
        places = [int(np.searchsorted(upto, share * total)) for share in (0.5, 0.99)]
        p50, p99 = (_BOUNDS[min(place, len(_BOUNDS) - 1)] for place in places)
        return p50, p99, total

"""A histogram that takes a whole batch at once: prometheus-client's own takes one value at a time, under a lock."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


class Histogram:
    """Counts values by bucket.

    Parameters
    ----------
    bounds
        Upper bounds of the buckets (inclusive), rising; one bucket more takes what lies above.

    Attributes
    ----------
    counts
        Values in each bucket.
    total
        Sum of all values.

    Examples
    --------
    >>> histogram = Histogram([1.0, 10.0])
    >>> histogram.add_many([0.5, 1.0, 3.0])
    >>> histogram.add(20.0)
    >>> histogram.buckets()
    [('1.0', 2.0), ('10.0', 3.0), ('+Inf', 4.0)]
    >>> histogram.total
    24.5
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.counts = np.zeros(len(bounds) + 1, np.int64)
        self.total = 0.0
        self._bounds = list(bounds)

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def add_many(self, values: ArrayLike) -> None:
        """Count many values."""
        found = np.asarray(values, np.float64)
        places = np.searchsorted(self._bounds, found, side="left")
        self.counts += np.bincount(places, minlength=len(self.counts))
        self.total += float(found.sum())

    def buckets(self) -> list[tuple[str, float]]:
        """Return the bounds as Prometheus writes them, each with the number of values up to it."""
        bounds = [*map(repr, self._bounds), "+Inf"]
        return list(zip(bounds, np.cumsum(self.counts).astype(float).tolist(), strict=True))

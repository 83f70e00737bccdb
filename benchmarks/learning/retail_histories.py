"""When the customers of Online Retail ordered, as BG/NBD wants to know it (`offline.lab.bg_nbd`)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from offline.lab.bg_nbd import Floats


class Histories(NamedTuple):
    """A customer each: days of orders after the first one, and days from the first to the last one and until now."""

    repeats: Floats
    recency: Floats
    age: Floats


def histories_at(
    customers: NDArray[np.int64], days: NDArray[np.int64], order_days: NDArray[np.int64], now: int
) -> Histories:
    """Return the history of every customer of some orders, which are in order of time, as of the day ``now``."""
    known, first = np.unique(customers, return_index=True)
    last = len(customers) - 1 - np.unique(customers[::-1], return_index=True)[1]
    return Histories(
        (order_days[last] - 1).astype(np.float64),
        (days[last] - days[first]).astype(np.float64),
        (now - days[first]).astype(np.float64),
    )

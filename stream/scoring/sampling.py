"""Which events become examples: a rate per event type, decided by the event's id, so a repetition is decided alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.events import EVENT_TYPES, TYPE_CODES

_KINDS: Final = 256  # type codes; those of rows that are no events make no examples


class Sampling:
    """Keeps a share of the events of each type that makes examples.

    Parameters
    ----------
    example_types
        Types that make examples at all.
    rates
        Share that is kept by type; 1 where none is given.

    Examples
    --------
    >>> sampling = Sampling(["view_item", "search"], {"search": 0.25})
    >>> kinds, hashes = np.array([0, 2, 2, 6], np.uint8), np.array([9, 5, 2**63, 5], np.uint64)
    >>> sampling.keep(kinds, hashes).tolist(), sampling.weights(kinds[:2]).tolist()
    ([True, True, False, False], [1.0, 4.0])
    """

    def __init__(self, example_types: Sequence[str], rates: Mapping[str, float]) -> None:
        self._limits = np.zeros(_KINDS, np.uint64)
        self._weights = np.ones(_KINDS, np.float32)
        for name in example_types:
            rate = rates.get(name, 1.0)
            self._limits[TYPE_CODES[name]] = min(int(rate * 2**64), 2**64 - 1)
            self._weights[TYPE_CODES[name]] = 1 / rate
        self._kept_whole = np.array(
            [name in example_types and rates.get(name, 1.0) == 1.0 for name in EVENT_TYPES]
            + [False] * (_KINDS - len(EVENT_TYPES)),
            np.bool_,
        )

    def keep(self, kinds: NDArray[np.uint8], hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return which events become examples.

        Parameters
        ----------
        kinds
            Type code of each event.
        hashes
            xxh3 of each event's id (`features.columns.EventColumns.event_hash`).
        """
        return self._kept_whole[kinds] | (hashes < self._limits[kinds])

    def weights(self, kinds: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return one over the rate of each event's type."""
        return self._weights[kinds]

"""One partition's purchases and erasures, as long as an example that waits can need them, and the labels they give."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.calendar import Zone
from features.compiled import njit
from features.labels import LabelStart, label_starts
from stream.learning.labels.runs import Columns, SortedRuns
from stream.learning.records.outcomes import ERASURE, PURCHASE, Outcomes
from stream.learning.records.texts import customer_keys

#: Who an erasure concerns when nobody knows who: no record covers a stretch of the topic.
_EVERYBODY: Final = np.uint64(0)


def _table() -> SortedRuns:
    """Return an empty table of outcomes: customer, time and source offset, in this order."""
    return SortedRuns((np.uint64, np.int64, np.int64), _in_order, offset=2)


def _in_order(columns: Columns) -> NDArray[np.intp]:
    return np.lexsort(columns[::-1])


class Labeller:
    """What a partition's outcomes say about its examples.

    Parameters
    ----------
    horizon_ms, start, zone
        The horizon rule (`features.labels`).
    """

    def __init__(self, horizon_ms: int, start: LabelStart, zone: Zone) -> None:
        self._horizon_ms = horizon_ms
        self._start: LabelStart = start
        self._zone = zone
        self._purchases = _table()
        self._erasures = _table()

    def __len__(self) -> int:
        return len(self._purchases) + len(self._erasures)

    def add(self, outcomes: Outcomes) -> None:
        """Take the next outcomes, in the order of their offsets."""
        if len(outcomes):
            keys = customer_keys(list(outcomes.customer))
            for kind, table in ((PURCHASE, self._purchases), (ERASURE, self._erasures)):
                rows = outcomes.kind == kind
                table.add((keys[rows], outcomes.time[rows], outcomes.offset[rows]))

    def add_gap(self, offset: int, watermark: int) -> None:
        """Record that outcomes are missing from a source offset on: what was not final then can have no label."""
        self._erasures.add(
            (np.array([_EVERYBODY]), np.array([watermark], np.int64), np.array([offset], np.int64))
        )

    def forget(self, offset: int) -> None:
        """Drop what only examples before this source offset could need."""
        self._purchases.forget(offset)
        self._erasures.forget(offset)

    def labels(
        self, customer: NDArray[np.uint64], as_of: NDArray[np.int64], offset: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        """Return 1 for every example whose customer purchased in time, else 0; the outcomes must be all there."""
        labels = np.zeros(len(as_of), np.uint8)
        starts = label_starts(as_of, self._start, self._zone)
        for who, when, where in self._purchases:
            _purchased(
                customer, as_of + self._horizon_ms, starts, offset,
                who, when, where, self._start == "0", labels,
            )  # fmt: skip
        return labels

    def cancelled(
        self, customer: NDArray[np.uint64], as_of: NDArray[np.int64], offset: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Return which examples are not to be learned: the customer was erased before the label was final."""
        cancelled = np.zeros(len(as_of), np.bool_)
        for erased, when, where in self._erasures:
            for who in (customer, np.full(len(customer), _EVERYBODY)):
                _erased(who, as_of + self._horizon_ms, offset, erased, when, where, cancelled)
        return cancelled


@njit(cache=True, nogil=True)
def _purchased(
    customer: NDArray[np.uint64],
    ends: NDArray[np.int64],
    starts: NDArray[np.int64],
    offset: NDArray[np.int64],
    buyers: NDArray[np.uint64],
    times: NDArray[np.int64],
    offsets: NDArray[np.int64],
    ties: bool,
    labels: NDArray[np.uint8],
) -> None:  # pragma: no cover
    """Mark who purchased after the start and up to the end.

    Only what came after the event counts. With start 0 this is the rule of `features.labels`: what came before is no
    younger than ``as_of``, unless the customer was erased in between.
    """
    for i in range(len(customer)):
        low, high = 0, len(buyers)
        while low < high:  # the first purchase of the customer at the start or later
            middle = (low + high) // 2
            if buyers[middle] < customer[i] or (buyers[middle] == customer[i] and times[middle] < starts[i]):
                low = middle + 1
            else:
                high = middle
        for j in range(low, len(buyers)):
            if buyers[j] != customer[i] or times[j] > ends[i]:
                break
            if offsets[j] > offset[i] and (ties or times[j] > starts[i]):
                labels[i] = 1
                break


@njit(cache=True, nogil=True)
def _erased(
    customer: NDArray[np.uint64],
    ends: NDArray[np.int64],
    offset: NDArray[np.int64],
    erased: NDArray[np.uint64],
    watermarks: NDArray[np.int64],
    offsets: NDArray[np.int64],
    cancelled: NDArray[np.bool_],
) -> None:  # pragma: no cover
    """Mark whose customer was erased later than the event, while the watermark had not passed the end."""
    for i in range(len(customer)):
        low, high = 0, len(erased)
        while low < high:
            middle = (low + high) // 2
            if erased[middle] < customer[i]:
                low = middle + 1
            else:
                high = middle
        for j in range(low, len(erased)):
            if erased[j] != customer[i] or watermarks[j] > ends[i]:
                break
            if offsets[j] > offset[i]:
                cancelled[i] = True
                break

"""One partition's purchases and erasures, as long as an example that waits can need them, and the labels they give."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from features.calendar import Zone
from features.compiled import njit
from features.labels import LabelStart, label_starts
from stream.learning.records.outcomes import ERASURE, PURCHASE, Outcomes

# Outcomes that came since the last sort are kept in a second, small table, so that a sort costs little per outcome.
_TAIL: Final = 1024
_TAIL_SHARE: Final = 4

#: Who an erasure concerns when nobody knows who: no record covers a stretch of the topic.
_EVERYBODY: Final = np.uint64(0)

#: Customer, time and source offset of outcomes.
Rows = tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]


def customer_keys(customers: list[str]) -> NDArray[np.uint64]:
    """Return a 64-bit hash (xxh3) of every customer id, never 0."""
    keys = np.fromiter(map(xxh3_64_intdigest, map(str.encode, customers)), np.uint64, len(customers))
    return np.maximum(keys, np.uint64(1))


class _Table:
    """Rows of (customer, time, offset): a large sorted part and a small one."""

    def __init__(self) -> None:
        self._sorted = _no_rows()
        self._tail: list[Rows] = []
        self._tail_rows = 0
        self._small: Rows | None = None

    def __len__(self) -> int:
        return len(self._sorted[0]) + self._tail_rows

    def add(self, customer: NDArray[np.uint64], time: NDArray[np.int64], offset: NDArray[np.int64]) -> None:
        if len(customer):
            self._tail.append((customer, time, offset))
            self._tail_rows += len(customer)
            self._small = None

    def parts(self) -> list[Rows]:
        if self._tail_rows > max(_TAIL, len(self._sorted[0]) // _TAIL_SHARE):
            self._sorted = _in_order([self._sorted, *self._tail])
            self._tail, self._tail_rows, self._small = [], 0, None
        if self._tail_rows and self._small is None:
            self._small = _in_order(self._tail)
        return [part for part in (self._sorted, self._small) if part is not None and len(part[0])]

    def forget(self, offset: int) -> None:
        """Drop what stands before a source offset, once that is worth the work."""
        kept = self._sorted[2] >= offset
        if 2 * np.count_nonzero(kept) < len(kept):
            self._sorted = self._sorted[0][kept], self._sorted[1][kept], self._sorted[2][kept]
        while self._tail and self._tail[0][2][-1] < offset:
            self._tail_rows -= len(self._tail.pop(0)[0])
            self._small = None


def _no_rows() -> Rows:
    return np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64)


def _in_order(
    parts: list[Rows],
) -> Rows:
    customer, time, offset = (np.concatenate([part[at] for part in parts]) for at in range(3))
    order = np.lexsort((offset, time, customer))
    return customer[order], time[order], offset[order]


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
        self._purchases = _Table()
        self._erasures = _Table()

    def __len__(self) -> int:
        return len(self._purchases) + len(self._erasures)

    def add(self, outcomes: Outcomes) -> None:
        """Take the next outcomes, in the order of their offsets."""
        if len(outcomes):
            keys = customer_keys(list(outcomes.customer))
            for kind, table in ((PURCHASE, self._purchases), (ERASURE, self._erasures)):
                rows = outcomes.kind == kind
                table.add(keys[rows], outcomes.time[rows], outcomes.offset[rows])

    def add_gap(self, offset: int, watermark: int) -> None:
        """Record that outcomes are missing from a source offset on: what was not final then can have no label."""
        self._erasures.add(
            np.array([_EVERYBODY]), np.array([watermark], np.int64), np.array([offset], np.int64)
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
        for part in self._purchases.parts():
            _purchased(customer, as_of + self._horizon_ms, starts, offset, *part, self._start == "0", labels)
        return labels

    def cancelled(
        self, customer: NDArray[np.uint64], as_of: NDArray[np.int64], offset: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Return which examples are not to be learned: the customer was erased before the label was final."""
        cancelled = np.zeros(len(as_of), np.bool_)
        for part in self._erasures.parts():
            for who in (customer, np.full(len(customer), _EVERYBODY)):
                _erased(who, as_of + self._horizon_ms, offset, *part, cancelled)
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

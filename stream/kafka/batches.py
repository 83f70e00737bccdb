"""Whole record batches of one partition, and the backlog in which they wait, merged, for the owner."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple, Protocol

from features.store.customer_store import UNKNOWN_EPOCH

_offset = attrgetter("offset")


class Record(Protocol):
    """A record as aiokafka parses it: raw bytes, and nothing that its batch knows already."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class RecordBatch(NamedTuple):
    """Consecutive records of one partition.

    A topic has holes (aborted transactions, markers, compaction), so the records' offsets don't say which
    stretch of the log was read: the fetch positions do. A batch without records is a stretch that holds none.

    Attributes
    ----------
    partition
        The partition.
    records
        The records in offset order, keys and values as raw bytes.
    start
        The fetch position before the first record.
    stop
        The fetch position after the last record: where the next batch starts.
    epoch
        Kafka's leader epoch of the last of the broker's batches in it.
    silent
        Whether its events only change states: what is to be published of them was published before.
    """

    partition: int
    records: Sequence[Record]
    start: int
    stop: int
    epoch: int = UNKNOWN_EPOCH
    silent: bool = False

    def since(self, offset: int) -> RecordBatch:
        """Return the part of the batch from ``offset`` on."""
        if offset <= self.start:
            return self
        return self._replace(
            records=self.records[bisect_left(self.records, offset, key=_offset) :], start=offset
        )

    def until(self, offset: int) -> RecordBatch:
        """Return the part of the batch below ``offset``."""
        if offset >= self.stop:
            return self
        return self._replace(
            records=self.records[: bisect_left(self.records, offset, key=_offset)], stop=offset
        )


class Backlog:
    """Batches of one partition that wait for its owner, oldest first.

    Parameters
    ----------
    batch_max
        Records that the owner takes at once, at most.

    Attributes
    ----------
    records
        How many records wait.
    """

    def __init__(self, batch_max: int) -> None:
        self._batch_max = batch_max
        self._waiting: deque[RecordBatch] = deque()
        self.records = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, batch: RecordBatch) -> None:
        """Add a batch at the end."""
        self._waiting.append(batch)
        self.records += len(batch.records)

    def put_back(self, batch: RecordBatch) -> None:
        """Add a batch at the beginning."""
        self._waiting.appendleft(batch)
        self.records += len(batch.records)

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self.records = 0

    def take(self, expected: int) -> RecordBatch | None:
        """Return up to ``batch_max`` records from ``expected`` on, merged from the batches that wait.

        What lies below ``expected`` is dropped. Returns ``None`` if nothing is left; a batch whose start lies
        above ``expected`` is returned as it is, and tells that something between the two was missed.
        """
        while self._waiting and self._waiting[0].stop <= expected:
            self._pop()
        if not self._waiting:
            return None
        first = self._pop().since(expected)
        records, stop, epoch = list(first.records), first.stop, first.epoch
        while self._waiting and self._waiting[0].start == stop and len(records) < self._batch_max:
            following = self._pop()
            records += following.records
            stop, epoch = following.stop, following.epoch
        if len(records) > self._batch_max:
            cut = records[self._batch_max - 1].offset + 1
            self.put_back(RecordBatch(first.partition, records[self._batch_max :], cut, stop, epoch))
            records, stop = records[: self._batch_max], cut
        return RecordBatch(first.partition, records, first.start, stop, epoch)

    def _pop(self) -> RecordBatch:
        batch = self._waiting.popleft()
        self.records -= len(batch.records)
        return batch

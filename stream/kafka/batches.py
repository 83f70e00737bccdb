"""Whole record batches of one partition, and the backlog in which they wait, merged, for the owner."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import accumulate, takewhile
from operator import attrgetter
from typing import Final, NamedTuple

import numpy as np

from features.store.log_mark import UNKNOWN_EPOCH
from stream.kafka.record_columns import HEADER_BYTES, Record, RecordColumns, joined, place_of

_key, _value, _headers = attrgetter("key"), attrgetter("value"), attrgetter("headers")

# Bytes of keys, values and headers that wait for an owner, and that it takes at once, at most: ten times what a
# full batch of usual events has. Together with one fetch (1 MiB as the broker sends it) it bounds the memory of a
# partition, whatever its records are.
BACKLOG_BYTES: Final = 8 << 20

#: After every time, epoch ms.
NEVER: Final = 2**63 - 1


class RecordBatch(NamedTuple):
    """Consecutive records of one partition.

    A topic has holes (aborted transactions, markers, compaction), so the records' offsets don't say which
    stretch of the log was read: the fetch positions do. A batch without records is a stretch that holds none.

    Attributes
    ----------
    partition
        The partition.
    records
        The records in offset order, keys and values as raw bytes: a list, or columns of those that are like most.
    start
        The fetch position before the first record.
    stop
        The fetch position after the last record: where the next batch starts.
    epoch
        Kafka's leader epoch of the last of the broker's batches in it.
    silent
        Whether its events only change states: what is to be published of them was published before.
    poison
        Why the one record of the batch is to be rejected unread: a job has failed on it again and again. Empty as
        a rule.
    created
        Whether producers gave any of its records their time, see `stream.kafka.clocks`.
    clock
        None of its records arrived later (epoch ms), whatever it says of itself.
    seek
        After which seek it was fetched, see `stream.kafka.contract.Log.seek`.
    """

    partition: int
    records: Sequence[Record]
    start: int
    stop: int
    epoch: int = UNKNOWN_EPOCH
    silent: bool = False
    poison: str = ""
    created: bool = False
    clock: int = NEVER
    seek: int = 0

    def since(self, offset: int) -> RecordBatch:
        """Return the part of the batch from ``offset`` on."""
        if offset <= self.start:
            return self
        return self._replace(records=self.records[place_of(self.records, offset) :], start=offset)

    def until(self, offset: int) -> RecordBatch:
        """Return the part of the batch below ``offset``."""
        if offset >= self.stop:
            return self
        return self._replace(records=self.records[: place_of(self.records, offset)], stop=offset)


def bytes_of(records: Sequence[Record]) -> int:
    """Return how many bytes the keys, values and headers of records take, about."""
    if isinstance(records, RecordColumns):
        return int(records.sizes().sum())
    size = sum(map(len, filter(None, map(_key, records)))) + sum(map(len, filter(None, map(_value, records))))
    for headers in filter(None, map(_headers, records)):
        size += sum(len(name) + len(value or b"") + HEADER_BYTES for name, value in headers)
    return size


class Backlog:
    """Batches of one partition that wait for its owner, oldest first.

    Parameters
    ----------
    batch_max
        Records that the owner takes at once, at most.
    bytes_max
        Bytes that it takes at once, at most, unless one record alone has more.

    Attributes
    ----------
    records, bytes
        How many records wait, and how many bytes they have.
    """

    def __init__(self, batch_max: int, bytes_max: int = BACKLOG_BYTES) -> None:
        self._batch_max = batch_max
        self._bytes_max = bytes_max
        self._waiting: deque[RecordBatch] = deque()
        self._sizes: deque[int] = deque()  # of those that wait
        self.records = 0
        self.bytes = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def full(self) -> bool:
        """Whether as much waits as the owner takes at once. May be asked from any thread."""
        return self.records >= self._batch_max or self.bytes >= self._bytes_max

    def put(self, batch: RecordBatch) -> None:
        """Add a batch at the end."""
        self._waiting.append(batch)
        self._sizes.append(self._count(batch))

    def put_back(self, batch: RecordBatch) -> None:
        """Add a batch at the beginning."""
        self._waiting.appendleft(batch)
        self._sizes.appendleft(self._count(batch))

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self._sizes.clear()
        self.records = self.bytes = 0

    def take(self, expected: int) -> RecordBatch | None:
        """Return up to ``batch_max`` records from ``expected`` on, merged from the batches that wait.

        What lies below ``expected`` is dropped. Returns ``None`` if nothing is left; a batch whose start lies
        above ``expected`` is returned as it is, and tells that something between the two was missed.
        """
        while self._waiting and self._waiting[0].stop <= expected:
            self._pop()
        if not self._waiting:
            return None
        waited, room = self.bytes, self._batch_max
        first = self._within(self._pop().since(expected), room)
        pieces, count = [first.records], len(first.records)
        stop, epoch, created = first.stop, first.epoch, first.created
        while (
            self._waiting
            and self._waiting[0].start == stop
            and self._waiting[0].epoch == epoch  # what another leader wrote is looked at on its own
            and self._waiting[0].created == created
            and count < room
            and waited - self.bytes < self._bytes_max
        ):
            following = self._within(self._pop(), room - count)
            pieces.append(following.records)
            count += len(following.records)
            stop = following.stop
        records = joined(pieces)
        merged = RecordBatch(first.partition, records, first.start, stop, epoch, created=created)
        return (
            self._within(merged, self._fitting(records)) if waited - self.bytes > self._bytes_max else merged
        )

    def _within(self, batch: RecordBatch, room: int) -> RecordBatch:
        """Return so many of the first records of a batch; the others wait again."""
        if len(batch.records) <= room:
            return batch
        cut = batch.records[room - 1].offset + 1
        self.put_back(batch._replace(records=batch.records[room:], start=cut))
        return batch._replace(records=batch.records[:room], stop=cut)

    def _fitting(self, records: Sequence[Record]) -> int:
        """Return how many of the records are within the bytes; one always is."""
        if isinstance(records, RecordColumns):
            return max(1, int(np.cumsum(records.sizes()).searchsorted(self._bytes_max, side="right")))
        sizes = accumulate(bytes_of([record]) for record in records)
        return max(1, sum(1 for _ in takewhile(lambda size: size <= self._bytes_max, sizes)))

    def _count(self, batch: RecordBatch) -> int:
        size = bytes_of(batch.records)
        self.records += len(batch.records)
        self.bytes += size
        return size

    def _pop(self) -> RecordBatch:
        batch = self._waiting.popleft()
        self.records -= len(batch.records)
        self.bytes -= self._sizes.popleft()
        return batch

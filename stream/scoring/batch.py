"""The records of a round as columns: what the intake makes of them, and what every later step is a mask over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from features.columns import EventColumns
from features.events import Event, Rejection
from features.identity import HandOver, Identify
from features.prices import Price, PriceCopy
from stream.kafka.batches import RecordBatch
from stream.kafka.record_columns import Record


class RecordStatus(IntEnum):
    """What a record is to the scorer; `Batch.rows` are those up to `MERGE`."""

    EVENT = 0
    ERASE = 1
    IDENTIFY = 2
    MERGE = 3  # a hand-over of what was known, or of an erasure that was taken before
    CLOSE = 4  # a control record that ends a replay
    REJECTED = 5
    IGNORED = 6  # an event of a type that is passed over
    PRICE = 7  # of an item


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of all partition batches of a round, one after the other: one element per record in each column.

    Attributes
    ----------
    parts
        The partition batches.
    watermarks_before, watermarks
        The watermark of each one's partition before and after it, epoch ms.
    records
        The records as they were fetched.
    partition, offset
        Where each record stands in the events topic.
    appended, arrival
        When the log says that it came there, and when it arrived, epoch ms.
    status
        A `RecordStatus`.
    rejections
        What becomes a dead letter, in the order of the records; the index is the record's position.
    dropped
        How often a bad optional field of an event was dropped, by its name.
    without_counterpart
        How often something was passed over that is no event here, by its name in the format of the topic.
    rows
        Positions of the events, the requests to erase and what says who is who: what is folded.
    columns
        Their contents, contiguous, one row for each of ``rows``.
    still
        Which rows move no watermark: those that are no events, and events that were accepted on another partition.
    identities
        By the position of their record, what says who is who, and what other partitions have handed over.
    prices
        By the position of their record, what items cost, in the order of the records.
    event_at
        Returns the event of a record, by its position.
    customers, slots
        The distinct customers in order of appearance, and for each row the position of its customer among them.
    customer_slices
        Which of the customers each partition batch has: a customer belongs to one partition.
    bounds
        Position of the first record of each partition batch, and the number of records.
    """

    parts: Sequence[RecordBatch]
    watermarks_before: Sequence[int]
    watermarks: Sequence[int]
    records: Sequence[Record]
    partition: NDArray[np.int64]
    offset: NDArray[np.int64]
    appended: NDArray[np.int64]
    arrival: NDArray[np.int64]
    status: NDArray[np.uint8]
    rejections: Sequence[Rejection]
    dropped: Mapping[str, int]
    without_counterpart: Mapping[str, int]
    rows: NDArray[np.intp]
    columns: EventColumns
    still: NDArray[np.bool_]
    identities: Mapping[int, Identify | HandOver]
    prices: Mapping[int, Price | PriceCopy]
    event_at: Callable[[int], Event]
    customers: list[str]
    slots: NDArray[np.int64]
    customer_slices: Sequence[slice]
    bounds: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.records)

    def where(self, status: RecordStatus) -> NDArray[np.intp]:
        """Return the positions of the records with a status."""
        return np.flatnonzero(self.status == status)

    def split(self, positions: NDArray[np.intp]) -> list[slice]:
        """Return for each partition batch which of these positions of records, in rising order, lie in it."""
        return split(positions, self.bounds)


def split(positions: NDArray[np.intp], bounds: NDArray[np.intp]) -> list[slice]:
    """Return for each stretch between two ``bounds`` the slice of the rising ``positions`` that lie in it.

    Examples
    --------
    >>> split(np.array([1, 2, 7]), np.array([0, 3, 3, 9]))
    [slice(0, 2, None), slice(2, 2, None), slice(2, 3, None)]
    """
    return [slice(start, stop) for start, stop in pairwise(positions.searchsorted(bounds).tolist())]

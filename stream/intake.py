"""From records to events: decode, check keys and partitions, and judge against the watermark.

Whatever cannot be folded becomes a `Rejection` that keeps its place in the batch; requests to erase (null values)
keep theirs among the events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from features.columns import EventColumns, from_events
from features.events import MAX_ID, Event, Reason, Rejection, decode_many
from features.partition import partitions_of
from features.watermark import ACCEPTED, LATE, MAX_AHEAD_MS
from stream.batches import Record, RecordBatch
from stream.engine import Engine

#: Header in which a replayed record carries its arrival (epoch ms, decimal); it then counts instead of the broker's.
ARRIVED_AT: Final = "arrived_at"

_TIME_DIGITS: Final = 16  # more are no time


@dataclass(slots=True)
class Intake:
    """What can be folded of a batch, in order of arrival, and what cannot.

    Attributes
    ----------
    columns
        Events, and a row of type `features.columns.ERASE` for each request to erase.
    watermark
        Of the partition after the batch.
    rejections
        Index into the batch's records, reason and detail of every record that becomes a dead letter.
    """

    columns: EventColumns
    watermark: int
    rejections: list[Rejection]


def read_batch(batch: RecordBatch, engine: Engine, *, partitions: int, watermark: int) -> Intake:
    """Decode and check the records of a batch.

    Parameters
    ----------
    partitions
        Partition count of the topic.
    watermark
        Of the partition before the batch.
    """
    records = batch.records
    keys = [record.key for record in records]
    values = [record.value for record in records]
    decoded = decode_many(values)
    rejections, events, at = decoded.rejections, decoded.events, decoded.indices
    erasures = [i for i, value in enumerate(values) if value is None] if None in values else []

    if erasures or not _keys_fit(keys, events, at, batch.partition, partitions):
        faults = key_faults(keys, dict(zip(at, events, strict=True)), erasures, batch.partition, partitions)
        rejections += faults.values()
        events = [event for i, event in zip(at, events, strict=True) if i not in faults]
        at, erasures = [i for i in at if i not in faults], [i for i in erasures if i not in faults]

    columns = from_events(events, engine.bundle.manifest.currency)
    arrivals = _arrivals(records if len(at) == len(records) else [records[i] for i in at])
    verdicts, watermark = engine.admit(columns.time, arrivals, watermark)
    if verdicts.any():
        rejections += _untimely(verdicts, columns.time, arrivals, at)
        kept = np.flatnonzero(verdicts == ACCEPTED)
        columns, at = columns.take(kept), [at[i] for i in kept.tolist()]
    if erasures:
        erased = [cast("bytes", keys[i]).decode() for i in erasures]
        columns = columns.with_erasures(np.searchsorted(at, erasures).tolist(), erased)
    rejections.sort(key=lambda rejection: rejection.index)
    return Intake(columns, watermark, rejections)


def _arrivals(records: Sequence[Record]) -> NDArray[np.int64]:
    if any(record.headers for record in records):
        return np.array([arrival(record) for record in records], np.int64)
    return np.array([record.timestamp for record in records], np.int64)


def arrival(record: Record) -> int:
    """Return when a record arrived, epoch ms: what a replay says, else the broker's append time."""
    for name, value in record.headers:
        if name == ARRIVED_AT and value is not None and value.isdigit() and len(value) < _TIME_DIGITS:
            return int(value)
    return int(record.timestamp)


def _keys_fit(
    keys: Sequence[bytes | None], events: Sequence[Event], at: Sequence[int], partition: int, partitions: int
) -> bool:
    """Whether, as nearly always, every key is its event's customer and belongs to the partition."""
    own = cast("list[bytes]", keys if len(at) == len(keys) else [keys[i] for i in at])
    if [event.customer_id.encode() for event in events] != own:
        return False
    return bool((partitions_of(own, partitions) == partition).all())


def key_faults(
    keys: Sequence[bytes | None],
    events: Mapping[int, Event],
    erasures: Sequence[int],
    partition: int,
    partitions: int,
) -> dict[int, Rejection]:
    """Return what is wrong with the keys of events and of requests to erase, by position in the batch."""
    belongs = partitions_of([key or b"" for key in keys], partitions)
    faults = {}
    for i in (*events, *erasures):
        key, event = keys[i], events.get(i)
        if not key:
            fault = Reason.MISSING_KEY, "the record has no key; the key is the customer id"
        elif event is not None and event.customer_id.encode() != key:
            fault = Reason.KEY_MISMATCH, f"the key is {key!r}, but customer_id is {event.customer_id!r}"
        elif event is None and not _is_identifier(key):
            fault = (
                Reason.KEY_MISMATCH,
                f"a null value asks to erase the customer {key!r}, which is no customer id",
            )
        elif belongs[i] != partition:
            fault = (
                Reason.WRONG_PARTITION,
                f"the key {key!r} belongs to partition {belongs[i]} and came on {partition}: the producer must "
                "partition by murmur2 (librdkafka: partitioner=murmur2_random)",
            )
        else:
            continue
        faults[i] = Rejection(i, *fault)
    return faults


def _is_identifier(key: bytes) -> bool:
    try:
        return len(key.decode()) <= MAX_ID
    except UnicodeDecodeError:
        return False


def _untimely(
    verdicts: NDArray[np.uint8], times: NDArray[np.int64], arrivals: NDArray[np.int64], at: Sequence[int]
) -> list[Rejection]:
    rejections = []
    for row in np.flatnonzero(verdicts).tolist():
        if verdicts[row] == LATE:
            fault = Reason.LATE, f"event time {times[row]} is older than the partition's watermark"
        else:
            ahead = (times[row] - arrivals[row]) / 1000
            fault = (
                Reason.FUTURE,
                f"event time is {ahead:.0f} s after the arrival, {MAX_AHEAD_MS // 1000} s are allowed",
            )
        rejections.append(Rejection(at[row], *fault))
    return rejections

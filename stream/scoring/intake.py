"""From records to events: decode, check keys and partitions, and judge against the watermark.

Whatever cannot be folded becomes a `Rejection` that keeps its place in the batch; requests to erase (null values)
keep theirs among the events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from features.columns import EventColumns, from_events
from features.durations import duration_short
from features.events import Event, Reason, Rejection, decode_many
from features.partition import partitions_of
from features.watermark import ACCEPTED, BEGINNING, LATE, MAX_AHEAD_MS
from stream.kafka.batches import Record, RecordBatch
from stream.kafka.records import arrival, is_close, key_faults
from stream.scoring.engine import Engine
from stream.texts import moment


@dataclass(slots=True)
class Intake:
    """What can be folded of batches, in order of arrival, and what cannot.

    Attributes
    ----------
    columns
        Events, and a row of type `features.columns.ERASE` for each request to erase; batch after batch.
    ends
        For each batch the row of ``columns`` after its last one.
    watermarks
        Of each batch's partition after the batch.
    rejections
        What becomes a dead letter, with its index into the records of all batches.
    at
        For each row of ``columns`` its index into the records of all batches.
    closes
        Indices of the control records that end a replay.
    """

    columns: EventColumns
    ends: list[int]
    watermarks: list[int]
    rejections: list[Rejection]
    at: list[int]
    closes: list[int]


def read_batches(
    batches: Sequence[RecordBatch], watermarks: Sequence[int], engine: Engine, *, partitions: int
) -> Intake:
    """Decode and check the records of batches, each of another partition.

    Parameters
    ----------
    watermarks
        Of each batch's partition before the batch.
    partitions
        Partition count of the topic.
    """
    records = batches[0].records if len(batches) == 1 else [r for batch in batches for r in batch.records]
    lengths = [len(batch.records) for batch in batches]
    homes = np.repeat(np.array([batch.partition for batch in batches], np.int64), lengths)
    record_ends = np.cumsum(lengths)
    keys = [record.key for record in records]
    values = [record.value for record in records]
    decoded = decode_many(values)
    rejections, events, at = decoded.rejections, decoded.events, decoded.indices
    closes = [i for i, key in enumerate(keys) if key is None and is_close(records[i])] if None in keys else []
    if closes:
        rejections = [rejection for rejection in rejections if rejection.index not in closes]
    erasures = [i for i, value in enumerate(values) if value is None] if None in values else []

    if erasures or not _keys_fit(keys, events, at, homes, partitions):
        faults = key_faults(keys, dict(zip(at, events, strict=True)), erasures, homes, partitions)
        rejections += faults.values()
        events = [event for i, event in zip(at, events, strict=True) if i not in faults]
        at, erasures = [i for i in at if i not in faults], [i for i in erasures if i not in faults]

    columns = from_events(events, engine.bundle.manifest.currency)
    arrivals = _arrivals(records if len(at) == len(records) else [records[i] for i in at])
    ends = np.searchsorted(at, record_ends).tolist()
    verdicts, after = _judged(columns.time, arrivals, ends, watermarks, engine)
    if verdicts.any():
        marks = _watermarks(verdicts, columns.time, ends, watermarks, engine.lateness_ms)
        rejections += _untimely(verdicts, columns.time, arrivals, marks, at)
        kept = np.flatnonzero(verdicts == ACCEPTED)
        columns, at = columns.take(kept), [at[i] for i in kept.tolist()]
    if erasures:
        erased = [cast("bytes", keys[i]).decode() for i in erasures]
        columns = columns.with_erasures(np.searchsorted(at, erasures).tolist(), erased)
        at = sorted(at + erasures)
    rejections.sort(key=lambda rejection: rejection.index)
    ends = np.searchsorted(at, record_ends).tolist()
    return Intake(columns, ends, after, rejections, at, closes)


def _judged(
    times: NDArray[np.int64],
    arrivals: NDArray[np.int64],
    ends: Sequence[int],
    watermarks: Sequence[int],
    engine: Engine,
) -> tuple[NDArray[np.uint8], list[int]]:
    """Judge each batch's events against its own partition's watermark."""
    judged = [
        engine.admit(times[start:end], arrivals[start:end], watermark)
        for start, end, watermark in zip([0, *ends[:-1]], ends, watermarks, strict=True)
    ]
    return np.concatenate([verdicts for verdicts, _ in judged]), [watermark for _, watermark in judged]


def _arrivals(records: Sequence[Record]) -> NDArray[np.int64]:
    if any(record.headers for record in records):
        return np.array([arrival(record) for record in records], np.int64)
    return np.array([record.timestamp for record in records], np.int64)


def _keys_fit(
    keys: Sequence[bytes | None],
    events: Sequence[Event],
    at: Sequence[int],
    homes: NDArray[np.int64],
    partitions: int,
) -> bool:
    """Whether, as nearly always, every key is its event's customer and belongs to its partition."""
    own = cast("list[bytes]", keys if len(at) == len(keys) else [keys[i] for i in at])
    if [event.customer_id.encode() for event in events] != own:
        return False
    return bool((partitions_of(own, partitions) == (homes if len(at) == len(keys) else homes[at])).all())


def _watermarks(
    verdicts: NDArray[np.uint8],
    times: NDArray[np.int64],
    ends: Sequence[int],
    watermarks: Sequence[int],
    lateness_ms: int,
) -> NDArray[np.int64]:
    """Return the watermark that each event met, epoch ms, from those before the batches."""
    reached = np.where(verdicts == ACCEPTED, times - lateness_ms, BEGINNING)
    marks = [
        np.maximum.accumulate(np.r_[np.int64(watermark), reached[start:end]])[:-1]
        for start, end, watermark in zip([0, *ends[:-1]], ends, watermarks, strict=True)
    ]
    return np.concatenate(marks)


def _untimely(
    verdicts: NDArray[np.uint8],
    times: NDArray[np.int64],
    arrivals: NDArray[np.int64],
    marks: NDArray[np.int64],
    at: Sequence[int],
) -> list[Rejection]:
    rejections = []
    for row in np.flatnonzero(verdicts).tolist():
        if verdicts[row] == LATE:
            time, mark = int(times[row]), int(marks[row])
            fault = (
                Reason.LATE,
                f"event time {moment(time)} is {duration_short(mark - time)} older than the watermark {moment(mark)} "
                "(the partition's newest event minus the lateness)",
            )
        else:
            ahead = (times[row] - arrivals[row]) / 1000
            fault = (
                Reason.FUTURE,
                f"event time is {ahead:.0f} s after the arrival, {MAX_AHEAD_MS // 1000} s are allowed",
            )
        rejections.append(Rejection(at[row], *fault))
    return rejections

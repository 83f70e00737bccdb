"""From records to a `Batch`: decode, check keys and partitions, and judge against the watermark.

Whatever cannot be folded becomes a `Rejection` that keeps its place in the batch; requests to erase (null values)
keep theirs among the events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import cast

import numpy as np
from numpy.typing import NDArray

from features.columns import PASS, EventColumns, OtherRow, from_events
from features.durations import duration_short
from features.events import LENIENT, Decoding, Event, Reason, Rejection
from features.identity import HandOver, Identify
from features.partition import partitions_of
from features.prices import Price, PriceCopy
from features.watermark import ACCEPTED, BEGINNING, LATE, MAX_AHEAD_MS
from stream.formats.contract import Format
from stream.formats.decoding import decode_records, values_of
from stream.kafka.batches import NEVER, RecordBatch
from stream.kafka.records import arrival as arrival_of
from stream.kafka.records import identity_faults, is_close, key_faults, price_faults, unreadable_records
from stream.kafka.signatures import HandOverKeys, signature_faults
from stream.scoring.batch import Batch, RecordStatus, split
from stream.scoring.engine import Engine, slots_of
from stream.scoring.identities import erased_by, handed, other_rows, row_status
from stream.texts import moment

_offset = attrgetter("offset")
_timestamp = attrgetter("timestamp")


def read_batches(
    parts: Sequence[RecordBatch],
    watermarks: Sequence[int],
    engine: Engine,
    *,
    partitions: int,
    decoding: Decoding = LENIENT,
    form: Format | None = None,
    hand_over_keys: HandOverKeys | None = None,
) -> Batch:
    """Decode and check the records of partition batches, each of another partition.

    Parameters
    ----------
    watermarks
        Of each one's partition before it, epoch ms.
    partitions
        Partition count of the topic.
    decoding
        How to take events that are not quite of the schema.
    form
        The form of the values, ``None`` for our own.
    hand_over_keys
        Know what workers have handed over; ``None`` where everything that says so is taken for it.
    """
    records = parts[0].records if len(parts) == 1 else [record for part in parts for record in part.records]
    lengths = [len(part.records) for part in parts]
    bounds = np.cumsum([0, *lengths])
    partition = np.repeat(np.array([part.partition for part in parts], np.int64), lengths)
    headed = any([record.headers for record in records])  # noqa: C419  (twice as fast)
    arrival = np.fromiter(map(arrival_of if headed else _timestamp, records), np.int64, len(records))
    if any(part.clock != NEVER for part in parts):
        arrival = np.minimum(arrival, np.repeat(np.array([part.clock for part in parts], np.int64), lengths))
    keys = [record.key for record in records]
    values = values_of(records, form)
    poison = {int(at): part.poison for at, part in zip(bounds[:-1], parts, strict=True) if part.poison}
    for i in poison:
        keys[i] = values[i] = b""  # nobody looks at them

    broken = unreadable_records(records) if headed else []
    lost = {rejection.index for rejection in broken}
    for index in lost:
        values[index] = b""
    decoded = decode_records(records, values, decoding, form)
    events, at, rejections = decoded.events, decoded.indices, decoded.rejections
    identities = decoded.identities
    if poison:
        rejections = [
            Rejection(one.index, Reason.POISON, poison[one.index]) if one.index in poison else one
            for one in rejections
        ]
    closes = [i for i, key in enumerate(keys) if key is None and is_close(records[i])] if None in keys else []
    if closes or broken:
        closes = [i for i in closes if i not in lost]
        others = lost.union(closes)
        rejections = [rejection for rejection in rejections if rejection.index not in others] + broken
    erasures = [i for i, value in enumerate(values) if value is None] if None in values else []
    if erasures or identities or not _keys_fit(keys, events, at, partition, partitions):
        faults = key_faults(keys, dict(zip(at, events, strict=True)), erasures, partition, partitions)
        faults |= identity_faults(identities, keys, arrival, partition, partitions)
        faults |= signature_faults(identities, records, hand_over_keys)
        rejections += faults.values()
        events = [event for i, event in zip(at, events, strict=True) if i not in faults]
        at, erasures = [i for i in at if i not in faults], [i for i in erasures if i not in faults]
        identities = {i: identity for i, identity in identities.items() if i not in faults}

    prices = _good(
        decoded.prices,
        price_faults(decoded.prices, keys, arrival, partition, partitions)
        | signature_faults(decoded.prices, records, hand_over_keys),
        rejections,
    )

    columns = from_events(events, engine.bundle.manifest.currency)
    positions = np.arange(len(records)) if len(at) == len(records) else np.array(at, np.intp)
    columns, positions, after = _admitted(
        columns, positions, arrival, bounds, watermarks, engine, identities, rejections
    )
    inserted = other_rows(identities, set(positions.tolist()) if identities else ())
    if erasures or inserted:
        inserted |= {i: OtherRow(cast("bytes", keys[i]).decode()) for i in erasures}
        places = sorted(inserted)
        columns = columns.with_rows(
            np.searchsorted(positions, places).tolist(), [inserted[i] for i in places]
        )

    rejections.sort(key=lambda rejection: rejection.index)
    status = _status(
        len(records), rejections, [*erasures, *erased_by(identities)], closes, decoded.ignored, list(prices)
    )
    for i in identities.keys() & inserted.keys():
        status[i] = row_status(inserted[i])  # of a login, too, whose event comes too late
    rows = (status <= RecordStatus.MERGE).nonzero()[0]
    customers, slots = slots_of(columns.customers)
    return Batch(
        parts=parts,
        watermarks_before=watermarks,
        watermarks=after,
        records=records,
        partition=partition,
        offset=np.concatenate([_offsets(part) for part in parts]),
        arrival=arrival,
        status=status,
        rejections=rejections,
        dropped=decoded.dropped,
        without_counterpart=decoded.without_counterpart,
        rows=rows,
        columns=columns,
        still=_still(columns, rows, identities),
        identities=identities,
        prices=prices,
        events=events,
        events_at=at,
        customers=customers,
        slots=slots,
        customer_slices=split(rows[_first_rows(slots, len(customers))], bounds),
        bounds=bounds,
    )


def _good(
    prices: Mapping[int, Price | PriceCopy], faults: Mapping[int, Rejection], rejections: list[Rejection]
) -> dict[int, Price | PriceCopy]:
    """Return the prices without faults, in the order of their records; add the faults to the rejections."""
    rejections += faults.values()
    return {i: price for i, price in sorted(prices.items()) if i not in faults}


def _admitted(  # noqa: PLR0917  (what is judged, and by what)
    columns: EventColumns,
    positions: NDArray[np.intp],
    arrival: NDArray[np.int64],
    bounds: NDArray[np.intp],
    watermarks: Sequence[int],
    engine: Engine,
    identities: Mapping[int, Identify | HandOver],
    rejections: list[Rejection],
) -> tuple[EventColumns, NDArray[np.intp], list[int]]:
    """Return the events that are in time, the positions of their records, and the watermarks after them.

    What was handed on was accepted on another partition: it is not judged again, and moves no watermark.
    """
    rows: slice | NDArray[np.intp] = slice(None)
    if others := handed(identities):
        rows = np.flatnonzero([i not in others for i in positions.tolist()])
    times, places = columns.time[rows], positions[rows]
    arrivals, own = arrival[places], split(places, bounds)
    verdicts, after = _judged(times, arrivals, own, watermarks, engine)
    if verdicts.any():
        met = _watermarks_met(verdicts, times, own, watermarks, engine.lateness_ms)
        rejections += _untimely(verdicts, times, arrivals, met, places)
        kept = np.flatnonzero(~np.isin(positions, places[verdicts != ACCEPTED]))
        columns, positions = columns.take(kept), positions[kept]
    return columns, positions, after


def _still(
    columns: EventColumns, rows: NDArray[np.intp], identities: Mapping[int, Identify | HandOver]
) -> NDArray[np.bool_]:
    """Return which rows move no watermark."""
    still: NDArray[np.bool_] = columns.type >= PASS
    return still | np.isin(rows, list(handed(identities))) if identities else still


def _status(
    count: int,
    rejections: Sequence[Rejection],
    erasures: Sequence[int],
    closes: Sequence[int],
    ignored: Sequence[int],
    prices: Sequence[int],
) -> NDArray[np.uint8]:
    status = np.zeros(count, np.uint8)  # `RecordStatus.EVENT`
    if rejections:
        status[[rejection.index for rejection in rejections]] = RecordStatus.REJECTED
    if erasures:
        status[erasures] = RecordStatus.ERASE
    if closes:
        status[closes] = RecordStatus.CLOSE
    if ignored:
        status[ignored] = RecordStatus.IGNORED
    if prices:
        status[prices] = RecordStatus.PRICE
    return status


def _first_rows(slots: NDArray[np.int64], customers: int) -> NDArray[np.intp]:
    """Return the first row of each customer; slots are numbered in order of appearance."""
    return np.maximum.accumulate(slots).searchsorted(np.arange(customers))


def _judged(
    times: NDArray[np.int64],
    arrivals: NDArray[np.int64],
    own: Sequence[slice],
    watermarks: Sequence[int],
    engine: Engine,
) -> tuple[NDArray[np.uint8], list[int]]:
    """Judge each partition's ``own`` events against its watermark; return the verdicts and the watermarks after."""
    judged = [
        engine.admit(times[part], arrivals[part], watermark)
        for part, watermark in zip(own, watermarks, strict=True)
    ]
    return np.concatenate([verdicts for verdicts, _ in judged]), [watermark for _, watermark in judged]


def _offsets(part: RecordBatch) -> NDArray[np.int64]:
    if part.stop - part.start == len(part.records):  # no holes, as nearly always
        return np.arange(part.start, part.stop)
    return np.fromiter(map(_offset, part.records), np.int64, len(part.records))


def _keys_fit(
    keys: Sequence[bytes | None],
    events: Sequence[Event],
    at: Sequence[int],
    partition: NDArray[np.int64],
    partitions: int,
) -> bool:
    """Whether, as nearly always, every key is its event's customer and belongs to its partition."""
    own = cast("list[bytes]", keys if len(at) == len(keys) else [keys[i] for i in at])
    if [event.customer_id.encode() for event in events] != own:
        return False
    came_on = partition if len(at) == len(keys) else partition[at]
    return bool((partitions_of(own, partitions) == came_on).all())


def _watermarks_met(
    verdicts: NDArray[np.uint8],
    times: NDArray[np.int64],
    own: Sequence[slice],
    watermarks: Sequence[int],
    lateness_ms: int,
) -> NDArray[np.int64]:
    """Return the watermark that each event met, epoch ms, from those before the batches."""
    reached = np.where(verdicts == ACCEPTED, times - lateness_ms, BEGINNING)
    met = [
        np.maximum.accumulate(np.r_[np.int64(watermark), reached[part]])[:-1]
        for part, watermark in zip(own, watermarks, strict=True)
    ]
    return np.concatenate(met)


def _untimely(
    verdicts: NDArray[np.uint8],
    times: NDArray[np.int64],
    arrivals: NDArray[np.int64],
    met: NDArray[np.int64],
    positions: NDArray[np.intp],
) -> list[Rejection]:
    rejections = []
    for row in np.flatnonzero(verdicts).tolist():
        if verdicts[row] == LATE:
            time, mark = int(times[row]), int(met[row])
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
        rejections.append(Rejection(int(positions[row]), *fault))
    return rejections

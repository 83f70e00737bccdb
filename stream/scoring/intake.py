"""From records to a `Batch`: read, check keys and partitions, and judge against the watermark.

Records that are like nearly all are read at once, straight into columns (`features.event_scan`); the others one by one
(`stream.scoring.one_by_one`). Whatever cannot be folded becomes a `Rejection` that keeps its place in the batch;
requests to erase (null values) keep theirs among the events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from numpy.typing import NDArray

from features.columns import PASS, EventColumns, OtherRow, from_events, from_scan
from features.durations import duration_short
from features.event_scan import Scan, Values, scan
from features.events import (
    LENIENT,
    MAX_BYTES,
    MIN_TIME_MS,
    Decoding,
    Event,
    Reason,
    Rejection,
    decode,
    encode,
)
from features.identity import HandOver, Identify
from features.watermark import ACCEPTED, BEGINNING, LATE, MAX_AHEAD_MS
from stream.formats.contract import Format
from stream.kafka.batches import NEVER, RecordBatch
from stream.kafka.parsing import LenientRecords
from stream.kafka.record_columns import (
    Record,
    RecordColumns,
    appended_of,
    joined,
    offsets_of,
    unpacked,
)
from stream.kafka.record_scan import Arrivals, Packer, arrivals_of
from stream.kafka.records import ARRIVED_AT
from stream.kafka.signatures import HandOverKeys
from stream.scoring.batch import Batch, RecordStatus, split
from stream.scoring.engine import Engine, slots_of
from stream.scoring.identities import erased_by, handed, other_rows, row_status
from stream.scoring.one_by_one import OneByOne, read_one_by_one
from stream.texts import moment


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
    records = joined([part.records for part in parts])
    lengths = [len(part.records) for part in parts]
    bounds = np.cumsum([0, *lengths])
    partition = np.repeat(np.array([part.partition for part in parts], np.int64), lengths)
    arrived = arrivals_of(records)
    arrival = arrived.at
    if any(part.clock != NEVER for part in parts):
        arrival = np.minimum(arrival, np.repeat(np.array([part.clock for part in parts], np.int64), lengths))
    poison = {int(at): part.poison for at, part in zip(bounds[:-1], parts, strict=True) if part.poison}

    currency = engine.bundle.manifest.currency
    scanned, others = None, np.arange(len(records))
    if isinstance(records, RecordColumns) and form is None and not poison:
        scanned, others = _scanned(records, arrived, partition, partitions, currency, decoding)
    one_by_one = read_one_by_one(
        records if scanned is None else [records[at] for at in others.tolist()],
        arrival[others],
        partition[others],
        partitions,
        poison,
        decoding=decoding,
        form=form,
        hand_over_keys=hand_over_keys,
    ).at(others.tolist())
    rejections, identities, prices = one_by_one.rejections, one_by_one.identities, one_by_one.prices

    columns, positions = _together(scanned, one_by_one, currency)
    columns, positions, after = _admitted(
        columns, positions, arrival, bounds, watermarks, engine, identities, rejections
    )
    erasures = one_by_one.erasures
    inserted = other_rows(identities, set(positions.tolist()) if identities else ())
    if erasures or inserted:
        inserted |= {i: OtherRow(customer) for i, customer in erasures.items()}
        places = sorted(inserted)
        columns = columns.with_rows(
            np.searchsorted(positions, places).tolist(), [inserted[i] for i in places]
        )

    rejections.sort(key=lambda rejection: rejection.index)
    status = _status(
        len(records),
        rejections,
        [*erasures, *erased_by(identities)],
        one_by_one.closes,
        one_by_one.ignored,
        list(prices),
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
        offset=offsets_of(records),
        appended=appended_of(records),
        arrival=arrival,
        status=status,
        rejections=rejections,
        dropped=one_by_one.dropped,
        without_counterpart=one_by_one.without_counterpart,
        rows=rows,
        columns=columns,
        still=_still(columns, rows, identities),
        identities=identities,
        prices=prices,
        event_at=_Events(records, one_by_one.events),
        customers=customers,
        slots=slots,
        customer_slices=split(rows[_first_rows(slots, len(customers))], bounds),
        bounds=bounds,
    )


def warm_up_intake(engine: Engine) -> None:
    """Compile what reads records (seconds, once per machine), before events wait for it."""
    event = Event(event_id="e", type="view_item", customer_id="c", event_time=MIN_TIME_MS)
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, MAX_BYTES)
    builder.append(0, MIN_TIME_MS, b"c", encode(event), [(ARRIVED_AT, b"1")])
    raw = bytes(builder.build())
    fetch = LenientRecords(raw)
    fetch.pack = Packer(raw)
    records = unpacked(list(fetch.next_batch()), 0)
    read_batches([RecordBatch(0, records, 0, 1)], [BEGINNING], engine, partitions=1)


class _Events:
    """The event of a record: one that was read by itself, or one of those that were read at once."""

    def __init__(self, records: Sequence[Record], known: Mapping[int, Event]) -> None:
        self._records = records
        self._known = known

    def __call__(self, position: int) -> Event:
        known = self._known.get(position)
        return decode(self._records[position].value or b"") if known is None else known


def _scanned(  # noqa: PLR0917  (what is read, and how)
    records: RecordColumns,
    arrived: Arrivals,
    partition: NDArray[np.int64],
    partitions: int,
    currency: str,
    decoding: Decoding,
) -> tuple[tuple[EventColumns, NDArray[np.intp]] | None, NDArray[np.intp]]:
    """Return the columns of plain events and the positions of their records, and the positions of all others."""
    places = (records.places[name].copy() for name in ("key_at", "key_length", "value_at", "value_length"))
    values = Values(records.data, *places)
    found = scan(values, partition, partitions, currency, decoding.ignored)
    plain = found.rows["plain"] & ~arrived.other_headers
    if plain.all():
        return (from_scan(found, records.data), np.arange(len(records))), np.zeros(0, np.intp)
    lines = np.repeat(plain, np.where(found.rows["plain"], found.rows["lines"], 0))
    found = Scan(found.rows[plain], found.line_price[lines], found.line_quantity[lines])
    return (from_scan(found, records.data), np.flatnonzero(plain)), np.flatnonzero(~plain)


def _together(
    scanned: tuple[EventColumns, NDArray[np.intp]] | None, one_by_one: OneByOne, currency: str
) -> tuple[EventColumns, NDArray[np.intp]]:
    """Return the columns of all events in the order of their records, and the positions of these."""
    events = one_by_one.events
    if scanned is not None and not events:
        return scanned
    columns = from_events(list(events.values()), currency)
    positions = np.fromiter(events, np.intp, len(events))
    if scanned is None or not len(scanned[1]):
        return columns, positions
    positions = np.concatenate([scanned[1], positions])
    order = np.argsort(positions)
    return EventColumns.joined(scanned[0], columns).take(order), positions[order]


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

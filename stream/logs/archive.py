"""Archive: the events topic into a log, so that a shop trains on its own events.

Two passes bound the memory. The first reads the topic and writes each partition's events to a file of its
own; only then is it known which customers were erased, and when. The second merges these files by arrival,
and leaves of what an erased customer did before nothing but its times and coordinates, which the watermark
needs.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from aiokafka import ConsumerRecord
from numpy.typing import NDArray

from features.events import LENIENT, Decoding, Event, Item, epoch_ms
from features.identity import HandOver
from features.items import ItemNames, write_items
from features.log import ERASED, LOG_SCHEMA, write_log
from features.prices import PRICE_TYPES
from features.whole_files import writing
from stream.formats.contract import Format
from stream.formats.decoding import decode_records, values_of
from stream.formats.registry import format_of
from stream.kafka.reading import TopicReader
from stream.kafka.records import (
    arrival,
    identity_faults,
    is_close,
    key_faults,
    price_faults,
    unreadable_records,
)
from stream.kafka.signatures import HandOverKeys, signature_faults
from stream.logs.arrivals import Clocks
from stream.logs.identity_rows import ArchivedRow, new_identities, rows_of
from stream.settings import Settings

# What the second pass writes at a time, and with it the log's row groups.
_ROWS: Final = 200_000

# Names that the report tells, of what has no counterpart among events here.
_NAMES: Final = 50

# Left of an event of an erased customer.
_KEPT: Final = frozenset({"type", "event_time", "partition", "offset", "arrived_at"})

_FIELDS: Final = tuple(name for name in Event.__struct_fields__ if name not in ("event_time", "items"))


@dataclass(slots=True)
class ArchiveReport:
    """What an archive holds.

    Attributes
    ----------
    events
        Events in the log.
    identities
        Further rows: who is who, and what workers have handed over because of it.
    prices
        Further rows: what items cost, and what workers have told each other of it.
    erased
        Further rows: events of customers that were erased later.
    erasures
        Requests to erase that were read.
    refused
        Records that are no events, by reason (`features.events.Reason`); they are not in the log.
    ignored
        Events of types that are passed over; they are not in the log.
    without_counterpart
        What the topic's format has and events here have not, by name, the most frequent first.
    dropped
        Bad optional fields that were left out of their events, by name.
    partitions
        Partition count of the topic.
    """

    events: int = 0
    identities: int = 0
    prices: int = 0
    erased: int = 0
    erasures: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    ignored: int = 0
    without_counterpart: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    partitions: int = 0


def archive(
    settings: Settings,
    path: str | Path,
    *,
    since_ms: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> ArchiveReport:
    """Write what the events topic holds now to a log, in order of arrival, and names of items beside it.

    Within a partition the order is that of the offsets, even where arrivals (replayed ones) go back in time.

    Parameters
    ----------
    path
        The log; it replaces an older one once it is whole.
    since_ms
        Only events that arrived at this time (epoch milliseconds) or later.
    on_progress
        Called with offsets read and offsets in all.

    Raises
    ------
    BrokerError
        Kafka does not answer, or has no such topic.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".intent-archive-", dir=path.parent) as folder:
        taken = asyncio.run(_take(settings, Path(folder), since_ms, on_progress))
        report = ArchiveReport(
            erasures=taken.erasures,
            refused=dict(sorted(taken.refused.items())),
            ignored=taken.ignored,
            without_counterpart=dict(taken.without_counterpart.most_common(_NAMES)),
            dropped=dict(sorted(taken.dropped.items())),
            partitions=taken.partitions,
        )
        metadata = {
            "source": "kafka",
            "topic": settings.events_topic,
            "partitions": str(taken.partitions),
        }
        write_log(path, _merged(taken, report), metadata=metadata)
        write_items(path, taken.items.table())
    return report


@dataclass(slots=True)
class FirstPass:
    """What the first pass found.

    Attributes
    ----------
    files, erased
        Each partition's file of events, and who was erased at which offset.
    clocks
        By partition, where records with the broker's time follow some with their producer's, and when they came.
    handed
        The last hand-over (offset and number) that a partition took of another; the log has each of them once.
    hand_over_keys
        Know what workers have handed over; ``None`` where signatures are not asked for.
    """

    files: dict[int, Path] = field(default_factory=dict)
    erased: dict[int, dict[str, int]] = field(default_factory=dict)
    clocks: dict[int, Clocks] = field(default_factory=dict)
    erasures: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    ignored: int = 0
    without_counterpart: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    partitions: int = 0
    handed: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    items: ItemNames = field(default_factory=ItemNames)
    hand_over_keys: HandOverKeys | None = None


async def _take(
    settings: Settings,
    folder: Path,
    since_ms: int | None,
    on_progress: Callable[[int, int], None] | None,
) -> FirstPass:
    taken, form = (
        FirstPass(hand_over_keys=HandOverKeys.of(settings.hand_over_key)),
        format_of(settings.format),
    )
    writers: dict[int, pa.ipc.RecordBatchFileWriter] = {}
    with ExitStack() as stack, writing(folder):
        async with TopicReader(settings, settings.events_topic) as reader:
            taken.partitions = reader.partitions
            # A replayed event arrived before it was appended, so none that is wanted lies before this offset.
            starts = None if since_ms is None else await reader.since(since_ms)
            async for partition, records in reader.read(starts, on_progress):
                taken.clocks.setdefault(partition, Clocks()).note(records)
                table = take_events(taken, partition, records, since_ms, settings.decoding, form)
                if not len(table):
                    continue
                if partition not in writers:
                    taken.files[partition] = folder / f"{partition}.arrow"
                    writer = pa.ipc.new_file(
                        str(taken.files[partition]),
                        LOG_SCHEMA,
                        options=pa.ipc.IpcWriteOptions(compression="lz4"),
                    )
                    writers[partition] = stack.enter_context(writer)
                writers[partition].write_table(table)
    return taken


def take_events(
    taken: FirstPass,
    partition: int,
    records: Sequence[ConsumerRecord],
    since_ms: int | None,
    decoding: Decoding = LENIENT,
    form: Format | None = None,
) -> pa.Table:
    """Return the events among a partition's records as rows of the log, and count the others."""
    broken = unreadable_records(records)
    taken.refused.update(str(rejection.reason) for rejection in broken)
    lost = {rejection.index for rejection in broken}
    records = [record for at, record in enumerate(records) if at not in lost and not is_close(record)]
    keys = [record.key for record in records]
    values = values_of(records, form)
    decoded = decode_records(records, values, decoding, form, on_fields=taken.items.add_fields)
    taken.ignored += len(decoded.ignored)
    taken.without_counterpart.update(decoded.without_counterpart)
    taken.dropped.update(decoded.dropped)
    taken.refused.update(str(rejection.reason) for rejection in decoded.rejections)
    events = dict(zip(decoded.indices, decoded.events, strict=True))
    erasures = [at for at, value in enumerate(values) if value is None]
    homes = np.full(len(records), partition)
    faults = key_faults(keys, events, erasures, homes, taken.partitions)
    arrivals = np.array([arrival(record) for record in records], np.int64)
    faults |= identity_faults(decoded.identities, keys, arrivals, homes, taken.partitions)
    faults |= price_faults(decoded.prices, keys, arrivals, homes, taken.partitions)
    faults |= signature_faults(decoded.identities | decoded.prices, records, taken.hand_over_keys)
    taken.refused.update(str(fault.reason) for fault in faults.values())
    for at in faults:
        events.pop(at, None)
    identities = new_identities(taken.handed, partition, decoded.identities, faults)
    for at in decoded.identities.keys() - identities.keys():
        events.pop(at, None)
    erased = taken.erased.setdefault(partition, {})
    handed = [at for at, one in identities.items() if isinstance(one, HandOver) and one.erase]
    for at in handed:
        del identities[at]
    erasures += handed
    for at in erasures:
        if at not in faults:
            taken.erasures += 1
            erased[keys[at].decode()] = records[at].offset
    prices = {at: price for at, price in decoded.prices.items() if at not in faults}
    found = [
        (at, row)
        for at in sorted(events.keys() | identities.keys() | prices.keys())
        for row in rows_of(events.get(at), identities.get(at), prices.get(at))
    ]
    places = [at for at, _ in found]
    table = _table(
        [row for _, row in found],
        partition,
        np.array([records[at].offset for at in places], np.int64),
        arrivals[places],
    )
    if since_ms is None:
        return table
    return table.filter(pc.greater_equal(table["arrived_at"].cast(pa.int64()), since_ms))


def _table(
    rows: Sequence[ArchivedRow], partition: int, offsets: NDArray[np.int64], arrivals: NDArray[np.int64]
) -> pa.Table:
    events = [row.event for row in rows]
    columns: dict[str, Any] = {name: [getattr(event, name) for event in events] for name in _FIELDS}
    columns["type"] = [row.type for row in rows]
    columns["customer_id"] = [row.customer for row in rows]
    columns["identity"] = [row.identity for row in rows]
    columns["event_time"] = np.array([epoch_ms(event.event_time) for event in events], np.int64)
    columns["items"] = [event.items and [_line(item) for item in event.items] for event in events]
    columns |= {"partition": np.full(len(events), partition), "offset": offsets, "arrived_at": arrivals}
    return pa.table([_array(columns[column.name], column.type) for column in LOG_SCHEMA], schema=LOG_SCHEMA)


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.int64()).cast(kind)
    return pa.array(values, kind)


def _line(item: Item) -> tuple[str, str | None, float | None, int | None]:
    return item.item_id, item.category, item.price, item.quantity


def _merged(taken: FirstPass, report: ArchiveReport) -> Iterator[pa.Table]:
    """Yield all partitions' rows in order of arrival, many at a time, and count them."""
    waiting: list[pa.Table] = []
    rows = 0
    for table in merge(runs_of(taken)):
        gone = pc.sum(pc.equal(table["type"], ERASED)).as_py() or 0
        said = len(table) - table["identity"].null_count
        priced = pc.sum(pc.is_in(table["type"], pa.array(PRICE_TYPES))).as_py() or 0
        report.erased += gone
        report.prices += priced
        report.identities += said - priced
        report.events += len(table) - gone - said
        waiting.append(table)
        rows += len(table)
        if rows >= _ROWS:
            yield pa.concat_tables(waiting).combine_chunks()
            waiting, rows = [], 0
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def runs_of(taken: FirstPass) -> list[Run]:
    """Return the partitions' rows, ready to be merged."""
    return [
        Run(path, taken.erased[partition], taken.clocks.get(partition))
        for partition, path in sorted(taken.files.items())
    ]


def merge(runs: Sequence[Run]) -> Iterator[pa.Table]:
    """Merge runs by arrival: in each round, all that lies below what any run may still bring."""
    live = [run for run in runs if run.advance()]
    while live:
        limit = min(run.last for run in live)
        parts = [run.take(limit) for run in live]
        keys = np.concatenate([keys for keys, _ in parts])
        table = pa.concat_tables([table for _, table in parts])
        # Stable: rows of one partition keep their order, and of equal arrivals the lower partition comes
        # first.
        yield table.take(np.argsort(keys, kind="stable"))
        live = [run for run in live if run.left or run.advance()]


class Run:
    """One partition's rows, read batch by batch, with the arrival by which they are merged.

    Attributes
    ----------
    last
        The arrival of the current batch's last row; no later row of the run lies below it.
    left
        How many rows of the current batch have not been taken.
    """

    def __init__(self, path: Path, erased: Mapping[str, int], clocks: Clocks | None = None) -> None:
        self._clocks = clocks
        self._reader = pa.ipc.open_file(pa.OSFile(str(path)))
        self._next = 0
        self._names = pa.array(list(erased), pa.string())
        self._offsets = np.array([*erased.values(), -1], np.int64)  # the last for whom was not erased
        self._table = pa.table({})
        self._keys = np.zeros(0, np.int64)
        self._highest = np.iinfo(np.int64).min
        self._at = 0
        self.last = 0
        self.left = 0

    def advance(self) -> bool:
        """Read the next batch of which something is left; return whether there is one."""
        self._table = self._table.slice(0, 0)
        while not len(self._table):
            if self._next == self._reader.num_record_batches:
                return False
            table = pa.Table.from_batches([self._reader.get_batch(self._next)])
            self._table = self._without_erased(table if self._clocks is None else self._clocks.bounded(table))
            self._next += 1
        arrivals = self._table["arrived_at"].cast(pa.int64()).to_numpy()
        # Arrivals may go back in time, offsets may not: a row comes no earlier than those before it.
        self._keys = np.maximum.accumulate(np.maximum(arrivals, self._highest))
        self._highest = self.last = int(self._keys[-1])
        self._at, self.left = 0, len(arrivals)
        return True

    def take(self, limit: int) -> tuple[NDArray[np.int64], pa.Table]:
        """Return the rows whose arrival is ``limit`` or earlier, and their arrivals."""
        stop = int(np.searchsorted(self._keys, limit, side="right"))
        start, self._at = self._at, stop
        self.left = len(self._keys) - stop
        return self._keys[start:stop], self._table.slice(start, stop - start)

    def _without_erased(self, table: pa.Table) -> pa.Table:
        if not len(self._names):
            return table
        who = pc.fill_null(pc.index_in(table["customer_id"], self._names), -1).to_numpy()
        gone = pa.array(table["offset"].to_numpy() < self._offsets[who])
        if not pc.any(gone).as_py():
            return table
        columns = [
            table[name] if name in _KEPT else pc.if_else(gone, pa.scalar(None, table[name].type), table[name])
            for name in table.column_names
        ]
        kind = table.column_names.index("type")
        columns[kind] = pc.if_else(gone, ERASED, table["type"])
        kept = pc.invert(pc.and_(gone, pc.is_valid(table["identity"])))  # the watermark does not need them
        return pa.table(columns, schema=table.schema).filter(kept)

"""The third pass: one bucket is folded, labelled and written."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.calendar import zone
from features.columns import EventColumns
from features.event_items import EventItems
from features.events import EVENT_TYPES, PURCHASE, TYPE_CODES
from features.fold import NO_ASIDES, FoldStatus, fold
from features.labels import POSITIVE, UNKNOWN, horizon_labels
from features.log import LOG_SCHEMA
from features.logins import HandOvers, Logins
from features.state import empty
from features.traffic import CUSTOMER, BotRules
from features.vector import WIDTH, Vectors
from features.watermark import ACCEPTED, BEGINNING
from features.whole_files import writing
from offline.examples.buckets.manifest import Shard
from offline.examples.buckets.scan import by_number, narrow
from offline.examples.buckets.spill import EVENT, HANDED_ON, HANDED_OVER, LOGIN, spill_schema
from offline.examples.examples import Context
from offline.examples.people import Events, People, Steps, family_labels, with_moves

# Columns of a shard that repeat few values, and those whose numbers are near the one before, customer by customer.
_TEXTS: Final = ["customer_id", "type"]
_DELTAS: Final = ("row", "partition", "customer", "event_time", "as_of")

_TIME: Final = LOG_SCHEMA.field("event_time").type
_VECTOR: Final = pa.binary(4 * WIDTH)
_WRITTEN: Final = 50_000
_LEVEL: Final = -3  # of zstd: quicker than lz4, and files are a tenth smaller
# Rows folded at a time: their columns and vectors stay in the processor's cache.
_CHUNK: Final = 10_000


class FoldTask(NamedTuple):
    """What all buckets have in common.

    ``files`` hold the spilled pieces in their order; ``simulation`` is the metadata of a simulated log, where the
    exact probability is wanted; ``excluded`` are the ids of the shop's own people; ``logins`` says whether anybody
    logs in, ``archived`` whether the log has what partitions handed to each other.
    """

    files: tuple[str, ...]
    folder: str
    buckets: int
    context: Context
    types: tuple[str, ...]
    watermarks: dict[int, int]
    events: bool
    simulation: bytes | None
    excluded: frozenset[str] = frozenset()
    logins: bool = False
    archived: bool = False


class _Folded(NamedTuple):
    """Rows that changed a state, customer by customer: their positions, what `fold` says, and which are left out."""

    at: NDArray[np.int64]
    as_of: NDArray[np.int64]
    vectors: Vectors
    apart: NDArray[np.bool_]


def shard_schema(exact: bool) -> pa.Schema:
    """Return the columns of a shard.

    ``row`` is the event's position in the log, ``customer_id`` of a person with several ids one of them, ``customer``
    the row in which its customer first appears (a number that doesn't hang on the buckets), ``counted`` whether the
    event is a customer's and of a type that makes examples, ``apart`` whether it is no customer's, ``label`` null where
    the log ends before the horizon. ``vector`` is the model's input: float32 in the order of `features.vector.COLUMNS`,
    the segment 0. The bytes of one column take less to write, to read and on disk than many columns of numbers. Nothing
    but labels is null, and says so, which takes a fifth less to write.
    """
    fields = pa.schema(
        [
            ("row", pa.int64()),
            ("partition", pa.int64()),
            ("customer_id", pa.dictionary(pa.int32(), pa.string())),
            ("customer", pa.int64()),
            ("event_time", _TIME),
            ("as_of", _TIME),
            ("type", pa.dictionary(pa.int32(), pa.string())),
            ("counted", pa.bool_()),
            ("apart", pa.bool_()),
            ("label", pa.int8()),
            ("vector", _VECTOR),
            *([("exact_probability", pa.float64())] if exact else []),
        ]
    )
    return pa.schema([field.with_nullable(field.name == "label") for field in fields])


def fold_bucket(task: FoldTask, bucket: int) -> Shard:
    """Fold the customers of one bucket, label their events, and write them as a shard.

    States of different people don't touch each other, so the bucket is folded person by person, which keeps a state in
    the processor's cache while it changes.
    """
    events = _spilled(task, bucket)
    said = None
    if task.logins:
        said, events = _logins_of(events, task.archived)
    encoded = events["customer_id"].combine_chunks().dictionary_encode()
    slots = encoded.indices.to_numpy().astype(np.int64)
    column = {
        name: events[name].to_numpy()
        for name in events.column_names
        if name not in ("customer_id", "event_id", "other")
    }
    names, persons, people = encoded.dictionary.to_pylist(), slots, None
    taken = column["verdict"] == ACCEPTED
    came = np.ones(len(events), np.bool_)
    if said is not None:
        logins, moments = said
        came = column["says"] == EVENT
        people = People(
            Events(column["row"], slots, names, column["time"], column["partition"], ~came), logins, moments
        )
        names, slots, persons = people.names, people.owners, people.persons[people.owners]
        taken &= ~people.elsewhere
    # Rows ascend, and what is equal stays in its order.
    keys = (narrow(persons),) if people is not None else (narrow(column["partition"]), narrow(persons))
    order = np.lexsort(keys)
    order = order[taken[order]]
    moves = (
        np.zeros(0, np.int64) if people is None else people.persons[people.targets],
        np.array([] if people is None else [move.before for move in people.moves], np.int64),
    )
    steps = Steps.of(order, (persons[order], column["row"][order]), moves)
    staff = np.fromiter((name in task.excluded for name in names), np.bool_, len(names))
    folded = _fold(task.context, column, slots, staff, steps, people)
    if people is None:
        labels = _labels(task, column, slots, folded)
    else:
        labels = _family_labels(task, column, folded, people, staff)
    counted = np.isin(column["type"][folded.at], [TYPE_CODES[name] for name in task.types]) & ~folded.apart
    if people is not None:  # what is final already must not depend on what was handed on
        watermarks = (
            np.maximum(column["newest"], BEGINNING + task.context.lateness_ms) - task.context.lateness_ms
        )
        counted &= came[folded.at] | (folded.as_of >= watermarks[folded.at])
    usable = counted & (labels != UNKNOWN)
    file = f"bucket-{bucket:05d}.parquet"
    if len(folded.at):
        if people is None:
            firsts = np.zeros(len(encoded.dictionary), np.int64)
            firsts[slots[::-1]] = column["row"][::-1]  # rows ascend, so the first one stays
            who = encoded
        else:
            firsts, ids = people.first_rows, pa.array(names, pa.string())
            who = pa.DictionaryArray.from_arrays(pa.array(persons.astype(np.int32)), ids)
        exact = None if task.simulation is None else _exact(task, events)[folded.at]
        write = _Shard(task, column, who, firsts, folded, labels, counted, exact)
        write.write(Path(task.folder) / file)
    return Shard(
        file,
        customers=int(np.count_nonzero(np.bincount(persons[came]))),
        rows=len(folded.at),
        examples=int(np.count_nonzero(usable)),
        positive=int(np.count_nonzero(labels[usable] == POSITIVE)),
        refused=int(np.count_nonzero(column["verdict"] != ACCEPTED)),
        repeated=len(order) - len(folded.at),
        apart=int(np.count_nonzero(folded.apart)),
    )


def _logins_of(spilled: pa.Table, archived: bool) -> tuple[tuple[Logins, NDArray[np.int64]], pa.Table]:
    """Return the logins of a bucket, when each counts, and its events."""
    says = spilled["says"].to_numpy()
    said, handed = (
        spilled.take(np.flatnonzero(says == LOGIN)),
        spilled.take(np.flatnonzero(says == HANDED_OVER)),
    )
    times = said["time"].to_numpy()
    over = HandOvers(
        handed["row"].to_numpy(),
        handed["other"].to_pylist(),
        handed["customer_id"].to_pylist(),
        handed["time"].to_numpy(),
    )
    logins = Logins(
        said["row"].to_numpy(),
        said["partition"].to_numpy(),
        said["customer_id"].to_pylist(),
        said["other"].to_pylist(),
        times,
        over if archived else None,
    )
    moments = np.maximum(times, said["newest"].to_numpy())
    return (logins, moments), spilled.take(np.flatnonzero(says <= HANDED_ON))


def _spilled(task: FoldTask, bucket: int) -> pa.Table:
    """Return the rows of a bucket, in order of arrival."""
    schema = spill_schema(task.events, task.logins)
    batches = []
    for path in task.files:
        with pa.OSFile(path, "rb") as source, pa.ipc.open_file(source) as file:
            batches += [file.get_batch(at) for at in range(bucket, file.num_record_batches, task.buckets)]
    return pa.Table.from_batches(batches, schema).combine_chunks()


def _fold(  # noqa: PLR0917  (a bucket)
    context: Context,
    column: dict[str, NDArray[np.generic]],
    slots: NDArray[np.int64],
    staff: NDArray[np.bool_],
    steps: Steps,
    people: People | None,
) -> _Folded:
    states = empty(len(staff))
    local, bots = zone(context.timezone), BotRules.of(context.bots)
    room = int(np.count_nonzero(steps.event >= 0))
    at, as_of = np.empty(room, np.int64), np.empty(room, np.int64)
    vectors = np.empty((room, WIDTH), np.float32)
    apart = np.empty(room, np.bool_)
    filled = 0
    for piece in steps.pieces(_CHUNK):
        own = Steps(steps.event[piece], steps.move[piece])
        rows = own.event[own.event >= 0]
        columns, theirs, asides = _columns(column, rows), slots[rows], NO_ASIDES
        if people is not None:
            columns, theirs, asides = with_moves(columns, theirs, own, people)
        folded = fold(states, theirs, columns, zone=local, ttl_ms=context.ttl_ms, asides=asides)
        new = np.flatnonzero((folded.status == FoldStatus.FOLDED) & (own.event >= 0))
        into = slice(filled, filled + len(new))
        at[into], as_of[into] = own.event[new], folded.as_of[new]
        folded.vectors.take(new, axis=0, out=vectors[into], mode="clip")  # several times faster than by index
        apart[into] = bots.traffic(vectors[into], columns.bot[new], staff[slots[at[into]]]) != CUSTOMER
        filled += len(new)
    return _Folded(at[:filled], as_of[:filled], vectors[:filled], apart[:filled])


def _columns(column: dict[str, NDArray[np.generic]], rows: NDArray[np.int64]) -> EventColumns:
    names = ("time", "type", "channel", "money", "quantity", "event_hash", "item_hash")
    picked = [column[name].take(rows) for name in names]
    cart_hash = np.where(column["several"].take(rows), np.uint64(0), picked[-1])
    foreign, items = np.zeros(len(rows), np.bool_), EventItems(_no_items, np.full(len(rows), -1))
    return EventColumns((), (), *picked, cart_hash, foreign, column["bot"].take(rows), items)  # type: ignore[arg-type, call-arg]


def _no_items(event: int) -> tuple[str, ...]:
    return ()


def _labels(
    task: FoldTask, column: dict[str, NDArray[np.generic]], slots: NDArray[np.int64], folded: _Folded
) -> NDArray[np.int8]:
    """Label partition by partition, each up to its own watermark."""
    context = task.context
    labels = np.empty(len(folded.at), np.int8)
    partition = column["partition"][folded.at].astype(np.int64)
    for rows in by_number(partition):
        at = folded.at[rows]
        labels[rows] = horizon_labels(
            slots[at],
            folded.as_of[rows],
            np.where((column["type"][at] == PURCHASE) & ~folded.apart[rows], column["time"][at], -1),
            horizon_ms=context.horizon_ms,
            start=context.label_start,
            zone=zone(context.timezone),
            end=task.watermarks[int(partition[rows[0]])],
        )
    return labels


def _family_labels(
    task: FoldTask,
    column: dict[str, NDArray[np.generic]],
    folded: _Folded,
    people: People,
    staff: NDArray[np.bool_],
) -> NDArray[np.int8]:
    context, at = task.context, folded.at
    purchases = column["type"] == PURCHASE
    bought = purchases[at] & ~folded.apart
    own = purchases & ~column["bot"].astype(np.bool_) & (column["verdict"] == ACCEPTED)
    return family_labels(
        people, at, folded.as_of, column["time"][at].astype(np.int64), bought,
        people.outcomes(at[bought], own, staff), people.ends(task.watermarks)[at],
        context.horizon_ms, context.label_start, zone(context.timezone),
    )  # fmt: skip


def _exact(task: FoldTask, events: pa.Table) -> NDArray[np.float64]:
    """Return the exact probability at every event of a simulated log; it hangs on the customer's own events only."""
    from offline.simulator.oracle import exact_probability
    from offline.simulator.simulation import METADATA_KEY

    log = pa.table(
        {
            "event_id": events["event_id"],
            "type": pa.array(EVENT_TYPES).take(events["type"].combine_chunks()),
            "customer_id": events["customer_id"],
            "event_time": events["time"].cast(_TIME),
        }
    ).replace_schema_metadata({METADATA_KEY: task.simulation})
    return exact_probability(log, task.context.horizon_ms)


class _Shard(NamedTuple):
    """A folded bucket on its way to a file; ``counted`` and the arrays after ``folded`` go with its rows."""

    task: FoldTask
    column: dict[str, NDArray[np.generic]]
    customers: pa.DictionaryArray
    firsts: NDArray[np.int64]
    folded: _Folded
    labels: NDArray[np.int8]
    counted: NDArray[np.bool_]
    exact: NDArray[np.float64] | None

    def write(self, final: Path) -> None:
        """Write it; the file appears when it is complete."""
        partial = final.with_name(f".{final.name}.{uuid.uuid4().hex}")
        schema = shard_schema(self.exact is not None)
        try:
            with (
                writing(final),
                pq.ParquetWriter(
                    partial,
                    schema,
                    compression="zstd",
                    compression_level=_LEVEL,
                    use_dictionary=_TEXTS,
                    column_encoding=dict.fromkeys(_DELTAS, "DELTA_BINARY_PACKED"),
                    write_statistics=False,
                    write_batch_size=_WRITTEN,
                ) as writer,
            ):
                writer.write_table(self._table(schema))
            partial.replace(final)
        finally:
            partial.unlink(missing_ok=True)

    def _table(self, schema: pa.Schema) -> pa.Table:
        at, folded = self.folded.at, self.folded
        customers = self.customers.take(pa.array(at))
        columns = [
            self.column["row"][at],
            self.column["partition"][at],
            customers,
            self.firsts[customers.indices.to_numpy()],
            pa.array(self.column["time"][at]).cast(_TIME),
            pa.array(folded.as_of).cast(_TIME),
            pa.DictionaryArray.from_arrays(self.column["type"][at].astype(np.int32), pa.array(EVENT_TYPES)),
            self.counted,
            folded.apart,
            pa.array(self.labels, mask=self.labels == UNKNOWN),
            pa.FixedSizeBinaryArray.from_buffers(_VECTOR, len(at), [None, pa.py_buffer(folded.vectors)]),
            *([] if self.exact is None else [self.exact]),
        ]
        return pa.table(columns, schema=schema)

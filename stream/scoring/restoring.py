"""States from an archived log: folded as the worker folds them, and written where the worker keeps them.

The worker goes on behind the last archived event of each partition. Kafka is not asked: neither the topic's id nor its
leader epoch is known, so the next claim takes the topic that it finds for the one that was archived.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.calendar import zone
from features.columns import from_table
from features.exceptions import LogError, StoreConflict
from features.fold import fold
from features.log import ERASED
from features.state import States, empty
from features.store.customer_store import CustomerStore
from features.store.partition_record import RESTORING, TOKEN_BYTES, PartitionRecord
from features.watermark import ACCEPTED, BEGINNING
from stream.exceptions import RecordExists
from stream.scoring.engine import Engine
from stream.scoring.score_log import codes_of

#: Rows folded, and states written, at a time.
_ROWS: Final = 100_000
_STATES: Final = 2_000


class FoldedPartition(NamedTuple):
    """What the archived events of one partition leave.

    Attributes
    ----------
    number
        The partition.
    customers, states
        Everybody who has a state.
    watermark
        Epoch ms.
    next_offset
        The offset behind the last archived event.
    """

    number: int
    customers: list[str]
    states: States
    watermark: int
    next_offset: int


@dataclass(slots=True)
class RestoreReport:
    """What was written: events that were read, customers who have a state, and the next offset by partition."""

    events: int
    customers: int
    next_offsets: dict[int, int]


def restore(
    table: pa.Table,
    engine: Engine,
    store: CustomerStore,
    *,
    partitions: int,
    replace: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> RestoreReport:
    """Write the states of an archived log, and the record of each of its partitions.

    A partition under way belongs to nobody: until its last state is written, its record lets no worker go on from it.

    Parameters
    ----------
    table
        A log that `stream.logs.archive` made (`features.log.read_log`), whole from its first event on.
    partitions
        Partition count of the topic.
    replace
        Write also where there are states already; they count no more.

    Raises
    ------
    LogError
        The log names no offsets, or more partitions than there are.
    RecordExists
        A partition has states, and they are not to be replaced.
    StoreConflict
        A worker has claimed a partition meanwhile.
    """
    numbers = _checked(table, partitions)
    found = {number: store.record(number) for number in numbers}
    taken = [str(number) for number, record in found.items() if record is not None]
    if taken and not replace:
        raise RecordExists(
            f"Redis has states of partition {', '.join(taken)}: stop the workers and add --replace to give them up, or "
            "set another INTENT_REDIS_PREFIX"
        )
    report, done = RestoreReport(0, 0, {}), 0
    for number in numbers:
        part = table.filter(pc.equal(table["partition"], number))
        folded = fold_partition(number, part, engine)
        write_partition(folded, store, found[number], partitions)
        report.events += len(part) - int(pc.sum(pc.equal(part["type"], ERASED)).as_py() or 0)
        report.customers += len(folded.customers)
        report.next_offsets[number] = folded.next_offset
        done += len(part)
        if on_progress:
            on_progress(done, len(table))
    return report


def fold_partition(number: int, part: pa.Table, engine: Engine) -> FoldedPartition:
    """Fold the rows of one partition, in their order."""
    manifest = engine.bundle.manifest
    known, codes = codes_of(part)
    states, watermark = empty(len(known)), BEGINNING
    for start in range(0, len(part), _ROWS):
        chunk = part.slice(start, _ROWS)
        times = chunk["event_time"].cast(pa.int64()).to_numpy()
        arrivals = chunk["arrived_at"].cast(pa.int64()).to_numpy()
        verdicts, watermark = engine.admit(times, arrivals, watermark)
        erased = pc.equal(chunk["type"], ERASED).to_numpy()
        kept = np.flatnonzero((verdicts == ACCEPTED) & ~erased)
        columns = from_table(chunk.take(kept), manifest.currency)
        fold(states, codes[start + kept], columns, zone=zone(manifest.timezone), ttl_ms=engine.ttl_ms)
    alive = states["events"] > 0
    customers = [customer for customer, lives in zip(known, alive.tolist(), strict=True) if lives]
    return FoldedPartition(number, customers, states[alive], watermark, pc.max(part["offset"]).as_py() + 1)


def write_partition(
    folded: FoldedPartition, store: CustomerStore, found: PartitionRecord | None, partitions: int
) -> None:
    """Write the states in a new incarnation, and then the record from which the worker goes on."""
    epoch = 1 if found is None else found.epoch + 1
    begun = PartitionRecord.beginning(RESTORING, partitions, epoch=epoch)
    begun = begun._replace(token=secrets.token_bytes(TOKEN_BYTES))
    try:
        store.claim(folded.number, found, begun)
        for chunk in _chunks(len(folded.customers)):
            store.save(folded.number, begun, begun, folded.customers[chunk], folded.states[chunk])
        whole = begun._replace(next_offset=folded.next_offset, watermark=folded.watermark)
        store.save(folded.number, begun, whole, (), empty(0))
    except StoreConflict as conflict:
        raise StoreConflict(
            f"a worker has partition {folded.number} ({conflict}): stop the workers, then run this again with "
            "--replace",
            found=conflict.found,
        ) from conflict


def _checked(table: pa.Table, partitions: int) -> list[int]:
    for name in ("partition", "offset"):
        if table[name].null_count:
            raise LogError(
                f"the log has rows without {name}: only a log that `intent archive` made of the topic can be restored"
            )
    numbers: list[int] = sorted(pc.unique(table["partition"]).to_pylist())
    if numbers and numbers[-1] >= partitions:
        raise LogError(
            f"the log names partition {numbers[-1]}, but the topic has {partitions}: give the count by --partitions"
        )
    return numbers


def _chunks(length: int) -> Iterator[slice]:
    return (slice(start, start + _STATES) for start in range(0, length, _STATES))

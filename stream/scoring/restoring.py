"""States from an archived log: made as the worker makes them, and written where the worker keeps them.

That includes what is remembered of decisions, and the timers. Nothing is published: all actions of the log are past.
The worker goes on behind the last archived event of each partition. Kafka is not asked: neither the topic's id nor its
leader epoch is known, so the next claim takes the topic that it finds for the one that was archived.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.counts import listed
from features.exceptions import LogError, StoreConflict
from features.log import ERASED
from features.state import States, empty
from features.store.customer_store import CustomerStore, TimerChanges
from features.store.partition_record import RESTORING, TOKEN_BYTES, PartitionRecord
from stream.decisions.memory import memories_of
from stream.exceptions import RecordExists
from stream.scoring.engine import Engine
from stream.scoring.scored_partition import ScoredPartition

#: Why rows of a log leave no state.
OF_ERASED: Final = "of erased customers"
REFUSED: Final = "late, or ahead of their arrival"
REPEATED: Final = "repetitions"

#: States, or links, written at a time: Redis answers nobody else meanwhile.
_STATES: Final = 2_000


class RestoredPartition(NamedTuple):
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
    links, taken
        The stored links, and the last hand-over of each partition.
    prices
        The stored prices of items.
    left_out
        Rows from which no state comes, by reason.
    """

    number: int
    customers: list[str]
    states: States
    watermark: int
    next_offset: int
    links: Mapping[str, bytes | None]
    taken: Mapping[int, tuple[int, int]]
    prices: Mapping[str, bytes]
    left_out: Mapping[str, int] = MappingProxyType({})


@dataclass(slots=True)
class RestoreReport:
    """What was written.

    Attributes
    ----------
    events
        Events that were read.
    customers
        Customers who have a state.
    next_offsets
        By partition, where the worker goes on.
    left_out
        Rows from which no state comes, by reason: those of customers who were erased later, dead letters, repetitions.
    """

    events: int
    customers: int
    next_offsets: dict[int, int]
    left_out: Counter[str] = field(default_factory=Counter)


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
        which = f"partition{'s' * (len(taken) > 1)} {listed(taken)}"
        raise RecordExists(
            f"Redis has states of {which}: stop the workers and add --replace to give them up, or "
            "set another INTENT_REDIS_PREFIX"
        )
    report, done = RestoreReport(0, 0, {}), 0
    for number in numbers:
        part = table.filter(pc.equal(table["partition"], number))
        restored = score_partition(number, part, engine)
        write_partition(restored, store, found[number], partitions)
        report.events += len(part) - restored.left_out.get(OF_ERASED, 0)
        report.left_out.update(restored.left_out)
        report.customers += len(restored.customers)
        report.next_offsets[number] = restored.next_offset
        done += len(part)
        if on_progress:
            on_progress(done, len(table))
    return report


def score_partition(number: int, part: pa.Table, engine: Engine) -> RestoredPartition:
    """Score the rows of one partition, in their order: what is remembered of decisions follows from scores."""
    scored = ScoredPartition(part, engine)
    for _ in scored.score():
        pass
    following = pc.max(part["offset"]).as_py() + 1
    links = scored.links
    left_out = {
        OF_ERASED: int(pc.sum(pc.equal(part["type"], ERASED)).as_py() or 0),
        REFUSED: scored.dead_letters,
        REPEATED: scored.duplicates,
    }
    return RestoredPartition(
        number,
        *scored.known(),
        scored.watermark,
        following,
        dict(links.stored),
        links.taken,
        scored.prices.stored(),
        {reason: count for reason, count in left_out.items() if count},
    )


def write_partition(
    restored: RestoredPartition, store: CustomerStore, found: PartitionRecord | None, partitions: int
) -> None:
    """Write the states in a new incarnation, and then the record from which the worker goes on."""
    epoch = 1 if found is None else found.epoch + 1
    begun = PartitionRecord.beginning(RESTORING, partitions, epoch=epoch)
    begun = begun._replace(token=secrets.token_bytes(TOKEN_BYTES))
    try:
        store.claim(restored.number, found, begun)
        for chunk in _chunks(len(restored.customers)):
            customers, states = restored.customers[chunk], restored.states[chunk]
            due = memories_of(states)["due"]
            at = np.flatnonzero(due).tolist()
            timers = TimerChanges([customers[one] for one in at], due[at].tolist())
            store.save(restored.number, begun, begun, customers, states, timers=timers)
        named = list(restored.links)
        for chunk in _chunks(len(named)):
            links = {name: restored.links[name] for name in named[chunk]}
            store.save(restored.number, begun, begun, (), empty(0), links=links)
        whole = begun._replace(
            next_offset=restored.next_offset,
            watermark=restored.watermark,
            links=bool(restored.links),
            taken=tuple((partition, *last) for partition, last in sorted(restored.taken.items())),
        )
        store.save(restored.number, begun, whole, (), empty(0), prices=restored.prices)
    except StoreConflict as conflict:
        raise StoreConflict(
            f"a worker has partition {restored.number} ({conflict}): stop the workers, then run this again with "
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

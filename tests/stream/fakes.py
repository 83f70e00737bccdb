"""A log in memory, a job that counts, and a store that fails as it is told."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from threading import RLock
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from aiokafka import ConsumerRecord

from features import state
from features.exceptions import StoreConflict, StoreUnavailable
from features.state import STATE_VERSION, States
from features.store.customer_store import NO_TIMERS, Loaded, TimerChanges
from features.store.log_mark import UNKNOWN_EPOCH
from features.store.memory_store import MemoryContents, MemoryStore
from features.store.partition_record import NO_WATERMARK, PartitionRecord
from stream.exceptions import TopicMismatch
from stream.kafka.batches import RecordBatch
from stream.kafka.contract import Appended, Bounds, Commit, Stamp, TooOld
from stream.ownership.job import StateChanges
from stream.ownership.partitions import Ownership


def record(partition: int, offset: int, key: str = "ada") -> ConsumerRecord[bytes, bytes]:
    return ConsumerRecord(
        "events", partition, offset, offset, 0, key.encode(), b"%d" % offset, None, len(key), 1, ()
    )


class FakeLog:
    """Partitions of records in memory, fetched in batches of three."""

    def __init__(self, records: dict[int, list[ConsumerRecord[bytes, bytes]]]) -> None:
        self.records = records
        self.positions: dict[int, int] = {}
        self.commits: dict[int, int] = {}
        self.metadata = ""  # of each commit
        self.earliest = 0
        self.partitions = len(records)
        self.lose: set[int] = set()  # offsets at which a fetched batch never arrives, once
        self.seeks: list[int] = []
        self.sought: Counter[int] = Counter()  # by partition
        self.faults: dict[int, str] = {}
        self.topic_id: bytes | None = b"id of the topic."
        self.epochs: dict[int, int] = {}  # where each leader epoch ends
        self.epoch = -1  # of what is fetched
        self.silence = 0.0  # seconds since the last answer
        self.held = 0.0  # seconds for which a transaction has been open
        self.there = True
        self.created = False  # whether records have their producer's time
        self.of_producers = False  # whether records get their producer's time
        self.rejoined = asyncio.Event()
        self._news = asyncio.Event()

    async def bounds(self, partition: int) -> Bounds:
        return Bounds(self.earliest, self._end(partition), self.partitions, self.topic_id)

    async def committed(self, partition: int) -> Commit | None:
        at = self.commits.get(partition)
        return None if at is None else Commit(at, self.metadata)

    async def epoch_end(self, partition: int, epoch: int) -> int | None:
        if self.topic_id is None:
            raise TooOld("an old broker")
        return self.epochs.get(epoch)

    async def stamp_at(self, partition: int, offset: int) -> Stamp | None:
        found = next((one for one in self.records[partition] if one.offset >= offset), None)
        if found is None:
            return None
        written = (epoch for epoch, end in sorted(self.epochs.items()) if end > found.offset)
        return Stamp(found.offset, found.timestamp, next(written, UNKNOWN_EPOCH))

    async def seek(self, partition: int, offset: int) -> int:
        self.seeks.append(offset)
        self.positions[partition] = offset
        self._news.set()
        self.sought[partition] += 1
        return self.sought[partition]

    def position(self, partition: int) -> int | None:
        return self.positions.get(partition)

    async def partition_count(self) -> int:
        return self.partitions

    async def check_appended(self) -> None:
        if self.of_producers:
            raise TopicMismatch.of_producers_time("events", "CreateTime", "localhost")

    async def appended_after(self, partition: int, offset: int) -> Appended:
        later = (one for one in self.records[partition] if one.offset >= offset)
        found = next((one for one in later if one.timestamp_type), None)
        return (
            Appended(None, self._end(partition)) if found is None else Appended(found.timestamp, found.offset)
        )

    def held_since(self, partition: int) -> float:
        return time.monotonic() - self.held

    def known(self) -> bool:
        return self.there

    def end(self, partition: int) -> int | None:
        return self._end(partition)

    def corrupt(self, partition: int) -> str:
        return self.faults.get(partition, "")

    def stable_end(self, partition: int) -> int | None:
        return self._end(partition)

    def fetched_at(self, partition: int) -> float:
        return time.monotonic() - self.silence

    def heartbeat_at(self) -> float:
        return time.monotonic() - self.silence

    def wake(self) -> None:
        self._news.set()

    def rejoin(self) -> None:
        self.rejoined.set()

    async def feed(self, ownership: Ownership) -> None:
        """Hand over what the owners want, for ever."""
        while True:
            self._news.clear()
            for partition, records in self.records.items():
                while ownership.wants(partition) and self.positions[partition] < self._end(partition):
                    start = self.positions[partition]
                    fetched = [one for one in records if one.offset >= start][:3]
                    stop = self.positions[partition] = fetched[-1].offset + 1
                    if start in self.lose:
                        self.lose.remove(start)
                    else:
                        ownership.offer(
                            RecordBatch(
                                partition,
                                fetched,
                                start,
                                stop,
                                self.epoch,
                                created=self.created,
                                seek=self.sought[partition],
                            )
                        )
            await self._news.wait()

    def _end(self, partition: int) -> int:
        return self.records[partition][-1].offset + 1 if self.records[partition] else 0


class Read(NamedTuple):
    """Batches with their partitions' watermarks and their customers."""

    batches: Sequence[RecordBatch]
    watermarks: Sequence[int]
    customers: Sequence[Sequence[str]]
    with_items: bool = False
    reached: Sequence[int] = ()


class Counted(NamedTuple):
    """What is to be saved for each batch."""

    batches: Sequence[RecordBatch]
    changes: Sequence[StateChanges]

    @property
    def described(self) -> Mapping[str, str | int]:
        return {"intent.letters": 0}


class Counting:
    """Counts events per customer, with a hash of the offsets in the order in which they were folded."""

    def __init__(self) -> None:
        self.processed: list[tuple[int, int]] = []
        self.silent: set[int] = set()  # offsets
        self.failures: list[Exception] = []
        self.poison: set[tuple[int, int]] = set()  # partitions and offsets at which it raises
        self.letters: list[tuple[int, int, str]] = []

    def read(self, batches: Sequence[RecordBatch], watermarks: Sequence[int]) -> Read:
        customers = [
            [] if batch.poison else list(dict.fromkeys(one.key.decode() for one in batch.records))  # type: ignore[union-attr]
            for batch in batches
        ]
        return Read(batches, watermarks, customers, reached=[NO_WATERMARK] * len(batches))

    def score(self, read: Read, loaded: Sequence[Loaded]) -> Counted:
        if self.failures:
            raise self.failures.pop(0)
        for batch in read.batches:
            for one in () if batch.poison else batch.records:
                if (batch.partition, one.offset) in self.poison:
                    raise ValueError(f"record {one.offset} is poison")
        changes = []
        for batch, watermark, own, (states, *_) in zip(*read[:3], loaded, strict=True):
            if batch.poison:
                (one,) = batch.records
                self.letters.append((batch.partition, one.offset, batch.poison))
                changes.append(StateChanges(own, states, watermark))
                continue
            self.processed += [(batch.partition, one.offset) for one in batch.records]
            self.silent |= {one.offset for one in batch.records if batch.silent}
            fold(states, own, batch)
            changes.append(StateChanges(own, states, max(watermark, batch.records[-1].timestamp)))
        return Counted(read.batches, changes)

    async def publish(self, counted: Counted) -> None:
        """Nothing is published."""

    async def act(self, promised: Sequence[tuple[int, bytes]]) -> None:
        """Nothing is promised."""
        raise NotImplementedError


def fold(states: States, customers: Sequence[str], batch: RecordBatch) -> None:
    rows = {customer: at for at, customer in enumerate(customers)}
    for one in batch.records:
        row = rows[one.key.decode()]
        states["version"][row] = STATE_VERSION
        states["events"][row] += 1
        states["last_time"][row] = one.timestamp
        states["event_ids"][row, 0] = chained(int(states["event_ids"][row, 0]), one.offset)


def chained(former: int, offset: int) -> int:
    """Return a hash that depends on the order in which offsets were folded."""
    return (former * 1_000_003 + offset + 1) % 2**64


def truth(records: Sequence[ConsumerRecord[bytes, bytes]]) -> dict[str, tuple[int, int]]:
    """Return each customer's count and hash as one pass in order gives them."""
    counts: Counter[str] = Counter()
    hashes: dict[str, int] = {}
    for one in records:
        key = one.key.decode()
        counts[key] += 1
        hashes[key] = chained(hashes.get(key, 0), one.offset)
    return {key: (count, hashes[key]) for key, count in counts.items()}


class ScriptedStore(MemoryStore):
    """A store whose saves turn out as the script says; when the script is over they succeed.

    ``save``: it succeeds. ``no answer``: it succeeds, but the answer is lost. ``not reached``: it does not
    reach the store. ``void``: the connection broke between WATCH and EXEC. ``fell back``: the store restarts
    from a file two saves old. ``fenced``: another worker claims the partition first. ``wiped``: the store
    restarts empty.
    """

    def __init__(self, script: Sequence[str] = ()) -> None:
        super().__init__()
        self.script = list(script)
        self.away = 0  # calls that find the store unreachable
        self.full = False  # it answers, and takes nothing
        self.refused = 0  # writes that it did not take
        self._files: list[MemoryContents] = []
        self._one_by_one = RLock()

    def record(self, partition: int) -> PartitionRecord | None:
        self._reach()
        return super().record(partition)

    def load(
        self, partition: int, customers: Sequence[str], expected: PartitionRecord | None = None
    ) -> States:
        self._reach()
        return super().load(partition, customers, expected)

    def save(
        self,
        partition: int,
        expected: PartitionRecord,
        new: PartitionRecord,
        customers: Sequence[str],
        states: States,
        erased: Sequence[str] = (),
        timers: TimerChanges = NO_TIMERS,
        outbox: bytes | None = None,
        links: Mapping[str, bytes | None] = MappingProxyType({}),
        prices: Mapping[str, bytes | None] = MappingProxyType({}),
    ) -> None:
        self._reach()
        self._take()
        with self._one_by_one:  # a file holds one moment of all partitions
            step = self.script.pop(0) if self.script else "save"
            if step == "not reached":
                self.away = 3
                self._reach()
            if step == "void":
                raise StoreConflict("the connection broke")
            if step == "fell back":
                self._restore(self._files[-2:][0])
            if step == "wiped":
                self._restore(MemoryContents())
            if step == "fenced":
                found = super().record(partition)
                assert found is not None
                theirs = found._replace(epoch=found.epoch + 1, token=b"another" + bytes(9))
                self.claim(partition, found, theirs)
            super().save(partition, expected, new, customers, states, erased, timers, outbox, links, prices)
            self._files.append(self._contents.copy())
        if step == "no answer":
            raise StoreUnavailable("no answer")

    def claim(self, partition: int, found: PartitionRecord | None, new: PartitionRecord) -> None:
        self._reach()
        self._take()
        with self._one_by_one:
            super().claim(partition, found, new)

    def _restore(self, file: MemoryContents) -> None:
        with self._lock:
            self._contents = file.copy()

    def _reach(self) -> None:
        if self.away:
            self.away -= 1
            raise StoreUnavailable("nobody there")

    def _take(self) -> None:
        if self.full:
            self.refused += 1
            raise StoreUnavailable("out of memory")

    def counted(self, partition: int) -> dict[str, tuple[int, int]]:
        """Return each customer's count and hash."""
        customers = self.customers(partition)
        rows = MemoryStore.load(self, partition, customers) if customers else state.empty(0)
        return {
            customer: (int(row["events"]), int(np.uint64(row["event_ids"][0])))
            for customer, row in zip(customers, rows, strict=True)
        }

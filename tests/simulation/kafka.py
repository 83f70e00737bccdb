"""Topics in memory, and what an owner and a scorer see of them."""

from __future__ import annotations

import asyncio
import dataclasses
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from aiokafka.errors import KafkaTimeoutError, NotLeaderForPartitionError

from features.store.log_mark import NO_OFFSET
from features.store.partition_record import PartitionRecord
from stream.exceptions import OffsetOutsideLog
from stream.kafka.batches import RecordBatch
from stream.kafka.contract import Bounds, Commit, Stamp
from stream.kafka.record_columns import Record
from stream.messages.dead_letter import DeadLetter
from stream.ownership.promised import HandOverRecord
from stream.scoring.publisher import Output
from tests.simulation.logins import append
from tests.simulation.steady_log import SteadyLog

if TYPE_CHECKING:
    from tests.simulation.world import Worker, World

_FETCHED = 8  # records at once, at most


class Copy(NamedTuple):
    """The log at one time: topic id, records and leader epochs; the lists of a partition are never changed."""

    topic_id: bytes
    events: list[list[Record]]
    epochs: list[list[int]]

    def holds(self, partition: int, record: PartitionRecord | None) -> bool:
        """Whether a partition's states are made from this log."""
        if (
            record is None
            or record.topic_id != self.topic_id
            or record.next_offset > len(self.events[partition])
        ):
            return False
        if record.last_offset == NO_OFFSET:
            return True
        return self.events[partition][record.last_offset].timestamp == record.last_time


@dataclass
class Broker:
    """The events topic, what was published, and what the group has committed; one entry per partition.

    Attributes
    ----------
    events
        The records that are in the log.
    epochs
        Of each of them, the leader epoch in which it was written.
    topic_id
        Of the events topic.
    scores, letters, actions
        What the workers have published.
    commits
        What the group has committed.
    """

    events: list[list[Record]]
    epochs: list[list[int]] = field(default_factory=list)
    topic_id: bytes = b"the first topic."
    scores: list[tuple[str, bytes | None]] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    actions: list[tuple[str, bytes | None]] = field(default_factory=list)
    commits: dict[int, Commit] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.epochs = [[0] * len(records) for records in self.events]
        # What workers commit within a second of their first claim; without it a rebuilding is silent to the end.
        self.commits = dict.fromkeys(range(len(self.events)), Commit(0))

    def append(self, partition: int, customer: str, value: bytes) -> None:
        """Append what a worker hands over to the log of a partition."""
        log = list(self.events[partition])
        append(log, partition, customer, value, log[-1].timestamp if log else 0)
        epochs = self.epochs[partition]
        self.events[partition], self.epochs[partition] = log, [*epochs, max(epochs, default=0)]

    def end(self, partition: int) -> int:
        """Return the offset after the last record."""
        return len(self.events[partition])

    def epoch_end(self, partition: int, epoch: int) -> int | None:
        """Return the offset after the last record of a leader epoch, or of the last one before it."""
        return bisect_right(self.epochs[partition], epoch)

    def set_back(self, partition: int, lost: int, others: Sequence[Record]) -> None:
        """Lose the newest records of a partition, and take others in the next leader epoch."""
        kept = max(0, self.end(partition) - lost)
        epoch = max(self.epochs[partition], default=0) + 1
        self.events[partition] = [*self.events[partition][:kept], *placed(others, kept)]
        self.epochs[partition] = [*self.epochs[partition][:kept], *[epoch] * len(others)]

    def copy(self) -> Copy:
        """Return the log as it is."""
        return Copy(self.topic_id, list(self.events), list(self.epochs))

    def give_back(self, log: Copy) -> None:
        """Have the log again as it was."""
        self.topic_id, self.events, self.epochs = log

    def make_again(self, events: list[list[Record]]) -> None:
        """Delete the topic and create it again, with other records; workers of before commit to it, too."""
        self.topic_id = b"the second topic"
        self.events = events
        self.epochs = [[0] * len(records) for records in events]


def placed(records: Sequence[Record], offset: int) -> list[Record]:
    """Return records at the offsets from ``offset`` on."""
    return [dataclasses.replace(one, offset=offset + at) for at, one in enumerate(records)]  # type: ignore[type-var]


class SimulatedLog(SteadyLog):
    """A `stream.kafka.contract.Log`, and the fetches of one worker."""

    def __init__(self, world: World, worker: Worker) -> None:
        super().__init__(world.loop)
        self._world = world
        self._worker = worker
        self._positions: dict[int, int] = {}
        self._seeks: Counter[int] = Counter()
        self._news = asyncio.Event()

    async def bounds(self, partition: int) -> Bounds:
        """See `stream.kafka.contract.Log.bounds`."""
        await self._worker.travel()
        events = self._world.broker.events
        return Bounds(0, self._world.broker.end(partition), len(events), self._world.broker.topic_id)

    async def epoch_end(self, partition: int, epoch: int) -> int | None:
        """See `stream.kafka.contract.Log.epoch_end`."""
        await self._worker.travel()
        return self._world.broker.epoch_end(partition, epoch)

    async def stamp_at(self, partition: int, offset: int) -> Stamp | None:
        """See `stream.kafka.contract.Log.stamp_at`."""
        await self._worker.travel()
        broker = self._world.broker
        if offset >= broker.end(partition):
            return None
        return Stamp(offset, broker.events[partition][offset].timestamp, broker.epochs[partition][offset])

    async def committed(self, partition: int) -> Commit | None:
        """See `stream.kafka.contract.Log.committed`."""
        await self._worker.travel()
        return self._world.broker.commits.get(partition)

    async def seek(self, partition: int, offset: int) -> int:
        """See `stream.kafka.contract.Log.seek`."""
        await self._worker.travel()
        self._positions[partition] = offset
        self._seeks[partition] += 1
        self._news.set()
        return self._seeks[partition]

    def position(self, partition: int) -> int | None:
        """See `stream.kafka.contract.Log.position`."""
        return self._positions.get(partition)

    def end(self, partition: int) -> int | None:
        """See `stream.kafka.contract.Log.end`."""
        return self._world.broker.end(partition)

    def stable_end(self, partition: int) -> int | None:
        """See `stream.kafka.contract.Log.stable_end`."""
        return self._world.broker.end(partition)

    def wake(self) -> None:
        """See `stream.kafka.contract.Log.wake`."""
        self._news.set()

    def rejoin(self) -> None:
        """See `stream.kafka.contract.Log.rejoin`."""
        self._world.rebalance()

    def assigned(self) -> None:
        """Forget where the fetches of an earlier assignment stood."""
        self._positions.clear()

    async def fetch(self) -> None:
        """Hand over what the owners want, for ever; a batch may come after a seek, or never."""
        chance, ownership = self._world.chance, self._worker.ownership
        while True:
            self._worker.commit()
            self._news.clear()
            for partition, position in sorted(self._positions.items()):
                if position > self._world.broker.end(partition):
                    ownership.refuse(OffsetOutsideLog("the broker says that the offset is out of range"))
                    return
                records = self._world.broker.events[partition]
                fetched = [one for one in records if one.offset >= position][: chance.randint(1, _FETCHED)]
                if fetched and ownership.wants(partition):
                    epochs = self._world.broker.epochs[partition][position:]
                    fetched = fetched[: epochs.count(epochs[0])]  # what one leader wrote
                    stop = self._positions[partition] = fetched[-1].offset + 1
                    seek = self._seeks[partition]
                    await self._worker.travel()
                    if chance.random() >= self._world.faults.lose_fetch:
                        ownership.offer(RecordBatch(partition, fetched, position, stop, epochs[0], seek=seek))
            if not self._fetchable():
                await self._news.wait()

    def _fetchable(self) -> bool:
        return any(
            self._worker.ownership.wants(partition) and position < self._world.broker.end(partition)
            for partition, position in self._positions.items()
        )


class SimulatedPublisher:
    """Writes what a scorer publishes, unless the broker fails; some of a failed request may have been written."""

    def __init__(self, world: World, worker: Worker) -> None:
        self._world = world
        self._worker = worker
        self.events_bytes = 1_000_000

    def fits(self, record: HandOverRecord) -> bool:
        """See `stream.scoring.publisher.Publisher.fits`."""
        return True

    async def publish(self, outputs: Sequence[Output]) -> None:
        """See `stream.scoring.publisher.Publisher.publish`."""
        await self._worker.travel()
        chance = self._world.chance
        fails = chance.random() < self._world.faults.fail_publish
        written = chance.randint(0, len(outputs)) if fails else len(outputs)
        for output in outputs[:written]:
            self._write(output)
        await self._worker.travel()
        if fails:
            raise chance.choice((KafkaTimeoutError, NotLeaderForPartitionError))

    def _write(self, output: Output) -> None:
        broker = self._world.broker
        broker.scores += output.scores
        broker.letters += output.letters
        broker.actions += output.actions
        for partition, customer, value in output.handed:
            broker.append(partition, customer, value)
        if output.handed:
            for worker in self._world.workers:
                worker.wake()

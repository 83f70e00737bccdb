"""Topics in memory, and what an owner and a scorer see of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaTimeoutError, NotLeaderForPartitionError

from stream.kafka.batches import Record, RecordBatch
from stream.kafka.contract import Bounds, Stamp
from stream.messages.dead_letter import DeadLetter
from stream.scoring.publisher import Output

if TYPE_CHECKING:
    from tests.simulation.world import Worker, World

TOPIC_ID = b"id of the topic."

_FETCHED = 8  # records at once, at most


@dataclass
class Broker:
    """The events topic, what was published, and what the group has committed; one entry per partition.

    Attributes
    ----------
    events
        The records that were emitted so far.
    scores, letters, examples, outcomes
        What the workers have published.
    commits
        Offsets that the group has committed.
    """

    events: list[list[Record]]
    scores: list[tuple[str, bytes | None]] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    examples: list[list[bytes]] = field(default_factory=list)
    outcomes: list[list[bytes]] = field(default_factory=list)
    commits: dict[int, int] = field(default_factory=dict)

    def end(self, partition: int) -> int:
        """Return the offset after the last record."""
        records = self.events[partition]
        return records[-1].offset + 1 if records else 0


class SimulatedLog:
    """A `stream.kafka.contract.Log`, and the fetches of one worker."""

    def __init__(self, world: World, worker: Worker) -> None:
        self._world = world
        self._worker = worker
        self._positions: dict[int, int] = {}
        self._news = asyncio.Event()

    async def bounds(self, partition: int) -> Bounds:
        """See `stream.kafka.contract.Log.bounds`."""
        await self._worker.travel()
        events = self._world.broker.events
        return Bounds(0, self._world.broker.end(partition), len(events), TOPIC_ID)

    async def epoch_end(self, partition: int, epoch: int) -> int | None:
        """See `stream.kafka.contract.Log.epoch_end`."""
        await self._worker.travel()
        return self._world.broker.end(partition)

    async def stamp_at(self, partition: int, offset: int) -> Stamp | None:
        """See `stream.kafka.contract.Log.stamp_at`."""
        await self._worker.travel()
        found = [one for one in self._world.broker.events[partition] if one.offset >= offset]
        return Stamp(found[0].offset, found[0].timestamp) if found else None

    async def committed(self, partition: int) -> int | None:
        """See `stream.kafka.contract.Log.committed`."""
        await self._worker.travel()
        return self._world.broker.commits.get(partition)

    async def seek(self, partition: int, offset: int) -> None:
        """See `stream.kafka.contract.Log.seek`."""
        await self._worker.travel()
        self._positions[partition] = offset
        self._news.set()

    def position(self, partition: int) -> int | None:
        """See `stream.kafka.contract.Log.position`."""
        return self._positions.get(partition)

    def end(self, partition: int) -> int | None:
        """See `stream.kafka.contract.Log.end`."""
        return self._world.broker.end(partition)

    def stable_end(self, partition: int) -> int | None:
        """See `stream.kafka.contract.Log.stable_end`."""
        return self._world.broker.end(partition)

    def fetched_at(self, partition: int) -> float:
        """See `stream.kafka.contract.Log.fetched_at`."""
        return self._world.loop.now

    def heartbeat_at(self) -> float:
        """See `stream.kafka.contract.Log.heartbeat_at`."""
        return self._world.loop.now

    def corrupt(self, partition: int) -> str:
        """See `stream.kafka.contract.Log.corrupt`."""
        return ""

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
            self._news.clear()
            for partition, position in sorted(self._positions.items()):
                records = self._world.broker.events[partition]
                fetched = [one for one in records if one.offset >= position][: chance.randint(1, _FETCHED)]
                if fetched and ownership.wants(partition):
                    stop = self._positions[partition] = fetched[-1].offset + 1
                    await self._worker.travel()
                    if chance.random() >= self._world.faults.lose_fetch:
                        ownership.offer(RecordBatch(partition, fetched, position, stop, 0))
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
        broker.examples[output.partition] += output.examples
        broker.outcomes[output.partition] += output.outcomes

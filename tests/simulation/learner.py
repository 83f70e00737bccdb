"""A learner of the simulation: the real `Learner`, with what takes the place of Faust and of the producer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from aiokafka import ConsumerRecord

from stream.exceptions import OffsetOutsideLog
from stream.kafka.batches import RecordBatch
from stream.kafka.contract import Bounds, Owning, Stamp
from stream.kafka.producing import Unacknowledged
from stream.kafka.record_columns import Record
from stream.learner import Learner
from stream.learning.snapshot_store import SnapshotStore
from tests.simulation.process import Process, current
from tests.simulation.steady_log import SteadyLog

if TYPE_CHECKING:
    from tests.simulation.learner_world import LearnerWorld

_FETCHED: Final = 6  # records at once, at most
_PAUSE: Final = 0.25  # virtual seconds between two looks where nothing is to be fetched


class LearnerProcess(Process):
    """A process that learns, or stands by.

    Parameters
    ----------
    world
        Where it lives.
    number
        For the story.
    start_over
        Whether an operator has started it with ``--start-over``.
    """

    def __init__(self, world: LearnerWorld, number: int, *, start_over: bool) -> None:
        super().__init__(f"learner {number}", world.loop, world.chance, world.faults.slow)
        self.world = world
        self.stopping = asyncio.Event()
        self.learner = Learner(world.settings, world.bundle, SnapshotStore("simulated"), world.partitions)
        self.running = self.start(self.learner.run(self.stopping, start_over=start_over))
        self.running.add_done_callback(self._ended)

    def freeze(self, seconds: float) -> None:
        """Stand still."""
        super().freeze(seconds)
        self.world.group.changed()

    def thaw(self) -> None:
        """Go on; the coordinator tells it if the group has gone on without it."""
        super().thaw()
        if self.evicted and not self.dead:
            self.evicted = False
            self._loop.call_later(self._chance.random(), self.world.group.changed)

    def die(self) -> None:
        """End at once."""
        super().die()
        self.learner.close()

    def _ended(self, running: asyncio.Task[None]) -> None:
        if not self.dead:
            self.world.ended(self, None if running.cancelled() else running.exception())


class SimulatedApp:
    """Stands for `stream.kafka.transport.BatchedApp`: a member of the learners' group, and its fetches."""

    def __init__(
        self,
        brokers: str,
        group: str,
        topic: str,
        ownership: Owning,
        *,
        also: Mapping[str, Owning],
        **options: Any,
    ) -> None:
        process = current.get()
        assert isinstance(process, LearnerProcess)
        self.process = process
        self._world = process.world
        self.owners = {
            self._world.topic_of[name]: owner for name, owner in {topic: ownership, **also}.items()
        }
        self.positions: dict[tuple[str, int], int] = {}
        self.news = asyncio.Event()

    async def serve(self, stop: asyncio.Event) -> None:
        """Stand for `stream.kafka.transport.serve`."""
        await self.process.travel()
        owners = self.owners.values()
        for topic, owner in self.owners.items():
            owner.attach(SimulatedTopic(self, topic))
        self._world.group.join(self)
        fetching = asyncio.create_task(self._fetch())
        try:
            ends = [asyncio.create_task(event.wait()) for event in (stop, next(iter(owners)).refused)]
            await asyncio.wait([fetching, *ends], return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()
        finally:
            fetching.cancel()
            if not self.process.dead:
                self._world.group.leave(self)
                for owner in owners:
                    await owner.release()
        for owner in owners:
            if owner.refusal is not None:
                raise owner.refusal
        if fetching.done() and not fetching.cancelled():
            fetching.result()

    def assign(self, partitions: Mapping[str, list[int]]) -> None:
        """Begin to read partitions."""
        self.positions.clear()
        for topic, owner in self.owners.items():
            owner.assign(partitions[topic])

    async def release(self) -> None:
        """Stop reading."""
        self.positions.clear()
        for owner in self.owners.values():
            await owner.release()

    async def _fetch(self) -> None:
        """Hand over what is wanted; a batch may come after a seek, or never."""
        world, chance = self._world, self._world.chance
        while True:
            self.news.clear()
            came = False
            for (topic, partition), position in sorted(self.positions.items()):
                owner, end = self.owners[topic], world.topics.end((topic, partition), world.loop.now)
                if position > end:
                    owner.refuse(OffsetOutsideLog("the broker says that the offset is out of range"))
                    return
                if position == end or not owner.wants(partition):
                    continue
                came = True
                batch = self._batch(
                    topic, partition, position, min(end, position + chance.randint(1, _FETCHED))
                )
                self.positions[topic, partition] = batch.stop
                await self.process.travel()
                if chance.random() >= world.faults.lose_fetch:
                    owner.offer(batch)
            if not came:
                try:
                    async with asyncio.timeout(_PAUSE):
                        await self.news.wait()
                except TimeoutError:
                    pass

    def _batch(self, topic: str, partition: int, start: int, stop: int) -> RecordBatch:
        """Return what one leader wrote between two offsets."""
        written = self._world.topics.written[topic, partition][start:stop]
        own = [one for one in written if one.epoch == written[0].epoch]
        made: list[Record] = [
            ConsumerRecord(topic, partition, offset, 0, 1, None, one.value, None, 0, len(one.value), ())
            for offset, one in enumerate(own, start)
        ]
        return RecordBatch(partition, made, start, start + len(own), own[0].epoch)


class SimulatedTopic(SteadyLog):
    """A `stream.kafka.contract.Log`: one of the topics, as a learner sees it."""

    def __init__(self, app: SimulatedApp, topic: str) -> None:
        self._app = app
        self._topic = topic
        self._world = app.process.world
        super().__init__(self._world.loop)

    async def bounds(self, partition: int) -> Bounds:
        """See `stream.kafka.contract.Log.bounds`."""
        await self._app.process.travel()
        world = self._world
        return Bounds(0, self._end(partition), world.partitions, world.topics.ids[self._topic])

    async def epoch_end(self, partition: int, epoch: int) -> int | None:
        """See `stream.kafka.contract.Log.epoch_end`."""
        await self._app.process.travel()
        return self._world.topics.epoch_end((self._topic, partition), epoch, self._world.loop.now)

    async def stamp_at(self, partition: int, offset: int) -> Stamp | None:
        """See `stream.kafka.contract.Log.stamp_at`."""
        return None

    async def committed(self, partition: int) -> int | None:
        """See `stream.kafka.contract.Log.committed`."""
        return None

    async def seek(self, partition: int, offset: int) -> int:
        """See `stream.kafka.contract.Log.seek`."""
        await self._app.process.travel()
        self._app.positions[self._topic, partition] = offset
        self._app.news.set()
        return 0

    def position(self, partition: int) -> int | None:
        """See `stream.kafka.contract.Log.position`."""
        return self._app.positions.get((self._topic, partition))

    def end(self, partition: int) -> int | None:
        """See `stream.kafka.contract.Log.end`."""
        return self._end(partition)

    def stable_end(self, partition: int) -> int | None:
        """See `stream.kafka.contract.Log.stable_end`."""
        return self._end(partition)

    def wake(self) -> None:
        """See `stream.kafka.contract.Log.wake`."""
        self._app.news.set()

    def rejoin(self) -> None:
        """See `stream.kafka.contract.Log.rejoin`."""
        self._world.group.changed()

    def _end(self, partition: int) -> int:
        return self._world.topics.end((self._topic, partition), self._world.loop.now)


class SimulatedProducer:
    """Stands for `stream.kafka.producing.BoundedProducer`: letters are written, or the broker fails."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        process = current.get()
        assert isinstance(process, LearnerProcess)
        self._process = process

    @asynccontextmanager
    async def publication(self) -> AsyncIterator[SimulatedProducer]:
        """See `stream.kafka.producing.BoundedProducer.publication`."""
        await self._process.travel()
        world = self._process.world
        if world.chance.random() < world.faults.fail_publish:
            raise Unacknowledged("nothing was acknowledged")
        yield self

    async def send_and_wait(
        self, topic: str, key: bytes | None = None, value: bytes | None = None, headers: Any = ()
    ) -> None:
        """Write a letter down."""
        said = {name: raw.decode() for name, raw in headers}
        topic = self._process.world.topic_of[said["topic"]]
        self._process.world.letters.add((topic, int(said["partition"]), int(said["offset"])))

    async def close(self) -> None:
        """Do nothing."""

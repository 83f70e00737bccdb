"""A worker of the simulation: an `Ownership` with the real scorer, and its consumer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from features.exceptions import StoreUnavailable
from stream.kafka.contract import Commit
from stream.ownership.partitions import Ownership
from tests.simulation.kafka import SimulatedLog, SimulatedPublisher
from tests.simulation.process import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")

# Virtual seconds.
SESSION: Final = 10.0  # after which a silent worker's partitions go to others
_RELEASE: Final = 5.0
_COMMIT: Final = 3.0

_BATCH_MAX: Final = 6


class Worker(Process):
    """A process that scores.

    Parameters
    ----------
    world
        Where it lives.
    number
        For the story.
    rebuild
        Whether an operator has started it with ``--rebuild``.
    """

    def __init__(self, world: World, number: int, *, rebuild: bool) -> None:
        super().__init__(f"worker {number}", world.loop, world.chance, world.faults.slow)
        self._world = world
        self._log = SimulatedLog(world, self)
        self.ownership = Ownership(
            world.store,
            world.make_scorer(SimulatedPublisher(world, self)),
            topic="events",
            batch_max=_BATCH_MAX,
            cache_customers=4,
            rebuild=rebuild,
        )
        self.ownership._token = world.chance.randbytes(16)  # the seed decides everything
        self.ownership.attach(self._log)
        self._committed_at = self._loop.time()
        self.start(self._log.fetch())
        self.start(self._end())

    def ask(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """Carry a call to the store and its answer back; either may be lost, or take long."""
        return super().ask(lambda: self._unreliably(function))

    def wake(self) -> None:
        """Look for records: the log has grown."""
        self._log.wake()

    def freeze(self, seconds: float) -> None:
        """Stand still."""
        super().freeze(seconds)
        self._world.rebalance()

    def assign(self, partitions: list[int]) -> None:
        """Begin to own partitions."""
        self._log.assigned()
        self.act(self.ownership.assign, partitions)

    async def release(self) -> None:
        """Give all partitions up, and commit."""
        await asyncio.wait([self.start(self.ownership.release(_RELEASE))], timeout=SESSION)
        if not self.dead and not self.frozen:
            self._commit_all()

    async def stop(self) -> None:
        """End in order; another one takes its place."""
        await self.release()
        if not self.dead:
            self._world.replace()
            self.die()

    def die(self) -> None:
        """End at once."""
        super().die()
        self.ownership.close()

    def thaw(self) -> None:
        """Go on; the coordinator tells it if the group has gone on without it."""
        super().thaw()
        if self.evicted and not self.dead:
            self._loop.call_later(self._chance.random(), self._notice)

    def _notice(self) -> None:
        self.evicted = False
        if not self.dead:
            self._world.rebalance()

    def _unreliably(self, function: Callable[[], T]) -> T:
        chance, faults = self._chance, self._world.faults
        if chance.random() < faults.lose_request:
            raise StoreUnavailable("nobody there")
        try:
            return function()
        finally:
            if chance.random() < faults.lose_answer:
                raise StoreUnavailable("no answer")

    def commit(self) -> None:
        """Commit now and then."""
        if self._loop.time() - self._committed_at >= _COMMIT:
            self._committed_at = self._loop.time()
            self._commit_all()

    def _commit_all(self) -> None:
        for partition, offset in self.ownership.progress().items():
            metadata = self.ownership.commit_metadata(partition)
            self._world.broker.commits[partition] = Commit(offset, metadata)

    async def _end(self) -> None:
        await self.ownership.refused.wait()
        error = self.ownership.refusal
        assert error is not None
        self._world.loop.call_soon(self._world.refused, self, error)

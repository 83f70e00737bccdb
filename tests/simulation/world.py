"""One schedule: workers, a broker, a store and a group coordinator in virtual time, and what befalls them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import ContextVar
from dataclasses import dataclass
from random import Random
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

from features.exceptions import StoreUnavailable
from stream.exceptions import OwnershipError, StoreLost
from stream.kafka.batches import Record
from stream.ownership import owner, partitions
from stream.ownership.owner import IDLE_SECONDS, LOG_CHECK_SECONDS
from stream.ownership.partitions import Ownership
from stream.scoring.scorer import Scorer
from tests.simulation.kafka import Broker, SimulatedLog, SimulatedPublisher
from tests.simulation.loop import VirtualLoop
from tests.simulation.shop import PARTITIONS, emitted
from tests.simulation.store import SimulatedStore

# Virtual seconds.
FAULTS_END: Final = 20.0  # no fault begins later
LIMIT: Final = 200.0  # by then everything must be done
_SESSION: Final = 10.0  # after which a silent worker's partitions go to others
_RELEASE: Final = 5.0
_RESTART: Final = 3.0  # at most, until a dead worker is replaced

_NOTICED: Final = LOG_CHECK_SECONDS + 2 * IDLE_SECONDS + _SESSION  # another log, by everybody
_COMMIT: Final = 3.0
_LOOK: Final = 1.0

_BATCH_MAX: Final = 6

_current: ContextVar[Worker | None] = ContextVar("worker", default=None)


class ProcessEnded(Exception):
    """The worker that asked is dead."""


@dataclass(frozen=True)
class Faults:
    """How often things go wrong: probabilities per call, and numbers per schedule."""

    lose_fetch: float = 0.02
    fail_publish: float = 0.03
    lose_request: float = 0.02  # a call that never reaches the store
    lose_answer: float = 0.03  # one that does, and nobody learns of it
    slow: float = 0.03  # of a way to a server or back
    change_log: float = 0.6  # that it happens when its turn comes
    events: int = 4  # crashes, freezes, fall-backs ... per schedule


class World:
    """Everything that one seed decides.

    Parameters
    ----------
    seed
        Decides delays, faults and their moments.
    broker
        What was emitted.
    make_scorer
        Returns a scorer that publishes through the given publisher.
    """

    def __init__(
        self, seed: int, broker: Broker, make_scorer: Callable[[Any], Scorer], faults: Faults | None = None
    ) -> None:
        self.chance = Random(seed)
        self.faults = faults or Faults()
        self.broker = broker
        self.store = SimulatedStore()
        self.make_scorer = make_scorer
        self.workers: list[Worker] = []
        self.story: list[str] = []
        self._executors: dict[Executor, Worker] = {}
        self._rebalance: asyncio.Event
        self._rebuild = False
        self.loop = VirtualLoop(self._call)
        self.loop.set_task_factory(_tagged)
        self.loop.set_exception_handler(self._raised)
        self.unhandled: list[BaseException] = []
        self._settled_at = 0.0
        self.replaced: list[list[Record]] | None = None  # what the log held before it was changed

    def run(self) -> None:
        """Run the schedule to its end.

        Raises
        ------
        AssertionError
            The workers did not get everything done.
        """
        clock = SimpleNamespace(monotonic=self.loop.time)
        try:
            with patch.object(owner, "time", clock), patch.object(partitions, "time", clock):
                self.loop.run_until_complete(self._run())
        finally:
            for worker in self.workers:
                worker.die()
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()

    def tell(self, what: str) -> None:
        """Add a line to the story of the schedule."""
        self.story.append(f"{self.loop.now:8.3f} {what}")

    def rebalance(self) -> None:
        """Have the group give its partitions out again."""
        self._rebalance.set()

    def adopt(self, executor: Executor, worker: Worker) -> None:
        """Take note of whose calls go through an executor."""
        self._executors[executor] = worker

    async def _run(self) -> None:
        self._rebalance = asyncio.Event()
        coordinator = asyncio.create_task(self._coordinate())
        for _ in range(2):
            self._start()
        plagues = asyncio.create_task(self._plague())
        try:
            async with asyncio.timeout(LIMIT):
                while not (plagues.done() and self._done()):
                    await asyncio.sleep(_LOOK)
                    for task in (coordinator, plagues):
                        if task.done():
                            task.result()
        except TimeoutError:
            raise AssertionError(f"not done after {LIMIT:.0f} virtual seconds: {self._where()}") from None
        finally:
            coordinator.cancel()
            plagues.cancel()

    def _done(self) -> bool:
        records = [self.store.record(partition) for partition in range(PARTITIONS)]
        return self.loop.now >= self._settled_at and all(
            record is not None and record.next_offset == self.broker.end(partition)
            for partition, record in enumerate(records)
        )

    def _where(self) -> str:
        return "; ".join(f"{self.store.record(p)} of {self.broker.end(p)}" for p in range(PARTITIONS))

    def _start(self) -> None:
        worker = Worker(self, len(self.workers), rebuild=self._rebuild)
        self.workers.append(worker)
        self.tell(f"{worker} starts")
        self.rebalance()

    def _alive(self) -> list[Worker]:
        return [worker for worker in self.workers if not worker.dead]

    async def _coordinate(self) -> None:
        """Revoke and assign, as often as somebody comes, goes, or asks for it."""
        while True:
            await self._rebalance.wait()
            self._rebalance.clear()
            members = self._alive()
            asleep = [worker for worker in members if worker.frozen]
            if asleep:  # the group waits for them until their sessions are over
                await asyncio.wait(
                    [asyncio.create_task(worker.thawed()) for worker in asleep], timeout=_SESSION
                )
            for worker in [one for one in members if one.frozen]:
                worker.evicted = True
                self.tell(f"{worker} is evicted")
            members = [worker for worker in self._alive() if not worker.evicted]
            await asyncio.gather(*(worker.release() for worker in members))
            members = [worker for worker in members if not worker.dead]
            self.chance.shuffle(members)
            for at, worker in enumerate(members):
                worker.assign(list(range(at, PARTITIONS, len(members))))

    async def _plague(self) -> None:
        """Let things happen at random moments."""
        moments = sorted(
            self.chance.uniform(0, FAULTS_END) ** 2 / FAULTS_END for _ in range(self.faults.events)
        )
        for moment in moments:
            await asyncio.sleep(moment - self.loop.now)
            self.chance.choice(
                (
                    self._crash,
                    self._freeze,
                    self._fall_back,
                    self._wipe,
                    self._leave,
                    self._join,
                    self._change_log,
                )
            )()
        await asyncio.sleep(0)

    def _victim(self) -> Worker | None:
        alive = self._alive()
        return self.chance.choice(alive) if alive else None

    def _crash(self) -> None:
        worker = self._victim()
        if worker is None:
            return
        self.tell(f"{worker} is killed")
        worker.die()
        self._replace()

    def _replace(self) -> None:
        self.loop.call_later(self.chance.uniform(0, _SESSION), self.rebalance)  # its session ends
        self.loop.call_later(self.chance.uniform(0, _RESTART), self._start)

    def _freeze(self) -> None:
        worker = self._victim()
        if worker is None:
            return
        seconds = self.chance.choice((1, 8, 15, 30)) * self.chance.random()
        self.tell(f"{worker} is frozen for {seconds:.1f} s")
        worker.freeze(seconds)

    def _fall_back(self) -> None:
        moments = self.chance.randint(1, 4)
        self.tell(f"the store loses {moments} writes")
        self.store.fall_back(moments)

    def _wipe(self) -> None:
        # Of a topic that is made again and a store that is lost at the same time, nobody knows what was scored.
        if self.replaced is None and self.chance.random() < 0.3:  # noqa: PLR2004  (rarer than the other faults)
            self.tell("the store loses everything")
            self.store.wipe()

    def _leave(self) -> None:
        worker = self._victim()
        if worker is None:
            return
        self.tell(f"{worker} stops in order")
        asyncio.create_task(worker.stop())  # noqa: RUF006  (the loop's task factory keeps it)

    def _join(self) -> None:
        if len(self._alive()) < PARTITIONS + 1:
            self._start()

    def _change_log(self) -> None:
        """Set the broker back, or make the topic again: at most once, and not where the store has just lost the claims.

        Of a topic that is made again while the store is lost, nobody knows what was scored.
        """
        claimed = all(self.store.record(partition) for partition in range(PARTITIONS))
        if claimed and self.replaced is None and self.chance.random() < self.faults.change_log:
            self.replaced = [list(records) for records in self.broker.events]
            self._settled_at = self.loop.now + _NOTICED
            others = emitted(self.chance.randrange(2**32), 20)
            if self.chance.random() < 0.5:  # noqa: PLR2004
                self.tell("the topic is made again")
                self.broker.make_again(others)
            else:
                partition, lost = self.chance.randrange(PARTITIONS), self.chance.randint(1, 12)
                self.tell(f"partition {partition} loses its newest {lost} records")
                self.broker.set_back(partition, lost, others[partition])

    def refused(self, worker: Worker, error: Exception) -> None:
        """Do what an operator does about a worker that ended with an error."""
        self.tell(f"{worker} refuses: {error}")
        expected = StoreLost if self.replaced is None else OwnershipError
        if not isinstance(error, expected):
            self.unhandled.append(error)
        self._rebuild = True
        worker.die()
        self._replace()

    def _raised(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take note of what nobody awaits; what a dead worker leaves behind counts for nothing."""
        error = context.get("exception")
        if not isinstance(error, ProcessEnded | asyncio.CancelledError | None):
            self.unhandled.append(error)

    async def _call(self, executor: Executor | None, function: Callable[[], Any]) -> Any:
        """Carry a call to the store and its answer back; either may be lost, or take long."""
        assert executor is not None
        worker = self._executors[executor]
        await worker.travel()
        if self.chance.random() < self.faults.lose_request:
            raise StoreUnavailable("nobody there")
        try:
            answer, error = function(), None
        except Exception as raised:
            answer, error = None, raised
        await worker.travel()
        if self.chance.random() < self.faults.lose_answer:
            raise StoreUnavailable("no answer")
        if error is not None:
            raise error
        return answer


class Worker:
    """A process: an `Ownership` with the real scorer, and its consumer.

    Attributes
    ----------
    dead
        Whether it was killed, or has ended.
    frozen
        Whether it stands still at the moment.
    evicted
        Whether the group has given it up while it was frozen, and it does not know yet.
    """

    def __init__(self, world: World, number: int, *, rebuild: bool) -> None:
        self.dead = self.frozen = self.evicted = False
        self.number = number
        self.tasks: set[asyncio.Task[Any]] = set()
        self._world = world
        self._thawed = asyncio.Event()
        self._context_token = _current.set(self)
        scorer = world.make_scorer(SimulatedPublisher(world, self))
        self.ownership = Ownership(
            world.store, scorer, topic="events", batch_max=_BATCH_MAX, cache_customers=4, rebuild=rebuild
        )
        self.ownership._token = world.chance.randbytes(16)  # the seed decides everything
        world.adopt(self.ownership._executor, self)
        self._log = SimulatedLog(world, self)
        self.ownership.attach(self._log)
        asyncio.create_task(self._log.fetch())  # noqa: RUF006  (`tasks` keeps it)
        asyncio.create_task(self._commit())  # noqa: RUF006
        asyncio.create_task(self._end())  # noqa: RUF006
        _current.reset(self._context_token)

    def __str__(self) -> str:
        return f"worker {self.number}"

    async def travel(self) -> None:
        """Take the time of one way to a server or back; never arrive where the process is frozen or dead."""
        chance, faults = self._world.chance, self._world.faults
        await asyncio.sleep(
            chance.uniform(0.1, 2.0) if chance.random() < faults.slow else chance.uniform(0, 0.003)
        )
        while self.frozen:
            await self._thawed.wait()
        if self.dead:
            raise ProcessEnded

    def freeze(self, seconds: float) -> None:
        """Stand still."""
        self.frozen = True
        self._thawed.clear()
        self._world.loop.call_later(seconds, self._thaw)
        self._world.rebalance()

    async def thawed(self) -> None:
        """Wait until it goes on."""
        while self.frozen:
            await self._thawed.wait()

    def assign(self, partitions: list[int]) -> None:
        """Begin to own partitions."""
        token = _current.set(self)
        self._log.assigned()
        self.ownership.assign(partitions)
        _current.reset(token)

    async def release(self) -> None:
        """Give all partitions up, and commit."""
        token = _current.set(self)
        done = asyncio.create_task(self.ownership.release(_RELEASE))
        _current.reset(token)
        await asyncio.wait([done], timeout=_SESSION)
        if not self.dead and not self.frozen:
            self._world.broker.commits |= self.ownership.progress()

    async def stop(self) -> None:
        """End in order; another one takes its place."""
        await self.release()
        if not self.dead:
            self.die()
            self._world._replace()

    def die(self) -> None:
        """End at once."""
        self.dead = True
        self.frozen = False
        self._thawed.set()
        for task in list(self.tasks):
            task.cancel()
        self.ownership.close()

    def _thaw(self) -> None:
        self.frozen = False
        self._thawed.set()
        if self.evicted and not self.dead:
            self._world.loop.call_later(self._world.chance.random(), self._notice)

    def _notice(self) -> None:
        """Learn from the coordinator that the group has gone on without it."""
        self.evicted = False
        if not self.dead:
            self._world.rebalance()

    async def _commit(self) -> None:
        while True:
            await asyncio.sleep(_COMMIT)
            await self.travel()
            self._world.broker.commits |= self.ownership.progress()

    async def _end(self) -> None:
        await self.ownership.refused.wait()
        error = self.ownership.refusal
        assert error is not None
        self._world.loop.call_soon(self._world.refused, self, error)


def _tagged(loop: Any, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    """Make a task that dies with the worker it belongs to."""
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
    worker = _current.get()
    if worker is not None:
        worker.tasks.add(task)
        task.add_done_callback(worker.tasks.discard)
    return task

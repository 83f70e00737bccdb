"""One schedule: workers, a broker, a store and a group coordinator in virtual time, and what befalls them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

from stream.exceptions import OwnershipError, StoreLost
from stream.ownership import owner, partitions
from stream.ownership.owner import IDLE_SECONDS
from stream.scoring.publisher import Publishes
from stream.scoring.scorer import Scorer
from tests.simulation.kafka import Broker, Copy
from tests.simulation.loop import VirtualLoop
from tests.simulation.process import ProcessEnded
from tests.simulation.shop import LOGS, PARTITIONS, emitted
from tests.simulation.store import SimulatedStore
from tests.simulation.worker import SESSION, Worker

# Virtual seconds.
FAULTS_END: Final = 20.0  # no fault begins later
LIMIT: Final = 200.0  # by then everything must be done
_RESTART: Final = 3.0  # at most, until a dead worker is replaced

_LOG_CHECK: Final = 10.0  # instead of a worker's longer pause
_NOTICED: Final = _LOG_CHECK + 2 * IDLE_SECONDS + SESSION  # another log, by everybody
_LOOK: Final = 1.0
_REBUILT: Final = 0.1  # about as long as it takes to build states again


@dataclass(frozen=True)
class Faults:
    """How often things go wrong: probabilities per call, and numbers per schedule."""

    lose_fetch: float = 0.02
    fail_publish: float = 0.03
    lose_request: float = 0.02  # a call that never reaches the store
    lose_answer: float = 0.03  # one that does, and nobody learns of it
    slow: float = 0.03  # of a way to a server or back
    change_log: float = 0.6  # that it happens when its turn comes
    change_silent: float = 0.7  # that its turn comes while states are built again
    change_lost: float = 0.3  # or when the store has lost everything
    give_back: float = 0.5  # that the operator restores a log instead of building states again
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
        self,
        seed: int,
        broker: Broker,
        make_scorer: Callable[[Publishes], Scorer],
        faults: Faults | None = None,
    ) -> None:
        self.chance = Random(seed)
        self.faults = faults or Faults()
        self.broker = broker
        self.store = SimulatedStore(self._built_again)
        self.make_scorer = make_scorer
        self.workers: list[Worker] = []
        self.story: list[str] = []
        self._rebalance: asyncio.Event
        self._generation = 0  # of the group
        self._rebuild = False
        self.loop = VirtualLoop()
        self.loop.set_exception_handler(self._raised)
        self.unhandled: list[BaseException] = []
        self._settled_at = 0.0
        self.replaced: Copy | None = None  # the log before it was changed
        self._given_back = False

    def run(self) -> None:
        """Run the schedule to its end.

        Raises
        ------
        AssertionError
            The workers did not get everything done.
        """
        clock = SimpleNamespace(monotonic=self.loop.time)
        try:
            with (
                patch.object(owner, "time", clock),
                patch.object(partitions, "time", clock),
                patch.object(owner, "LOG_CHECK_SECONDS", _LOG_CHECK),
            ):
                self.loop.run_until_complete(self._run())
        finally:
            for worker in self.workers:
                worker.die()
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()

    def tell(self, what: str) -> None:
        """Add a line to the story of the schedule."""
        self.story.append(f"{self.loop.now:8.3f} {what}")

    def _built_again(self, partition: int, offset: int) -> None:
        self.tell(f"partition {partition} is built again, silently to offset {offset}")
        if offset and self.chance.random() < self.faults.change_silent:
            self.loop.call_later(self.chance.random() * _REBUILT, self._change_log)

    def rebalance(self) -> None:
        """Have the group give its partitions out again."""
        self._rebalance.set()

    async def _run(self) -> None:
        self._rebalance = asyncio.Event()
        coordinator = asyncio.create_task(self._coordinate())
        for _ in range(2):
            self.start_worker()
        plagues = asyncio.create_task(self._plague())
        try:
            async with asyncio.timeout(LIMIT):
                await plagues
                while self.loop.now < self._settled_at or not self._done():
                    await asyncio.sleep(max(_LOOK, self._settled_at - self.loop.now))
                    if coordinator.done():
                        coordinator.result()
        except TimeoutError:
            raise AssertionError(f"not done after {LIMIT:.0f} virtual seconds: {self._where()}") from None
        finally:
            coordinator.cancel()
            plagues.cancel()

    def _done(self) -> bool:
        records = [self.store.record(partition) for partition in range(PARTITIONS)]
        told = [worker.ownership.progress() for worker in self._alive()]  # of which all is published
        return all(
            record is not None
            and record.next_offset == self.broker.end(partition)
            and any(progress.get(partition) == record.next_offset for progress in told)
            for partition, record in enumerate(records)
        )

    def _where(self) -> str:
        return "; ".join(f"{self.store.record(p)} of {self.broker.end(p)}" for p in range(PARTITIONS))

    def start_worker(self) -> None:
        """Start another worker."""
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
            self._generation += 1
            members = self._alive()
            asleep = [worker for worker in members if worker.frozen]
            if asleep:  # the group waits for them until their sessions are over
                await asyncio.wait(
                    [asyncio.create_task(worker.thawed()) for worker in asleep], timeout=SESSION
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
        moments = sorted(FAULTS_END * self.chance.random() ** 4 for _ in range(self.faults.events))
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
        self.replace()

    def replace(self) -> None:
        """Have the group notice that a worker has ended, and start another one."""
        self.loop.call_later(self.chance.uniform(0, SESSION), self._session_ends, self._generation)
        self.loop.call_later(self.chance.uniform(0, _RESTART), self.start_worker)

    def _session_ends(self, generation: int) -> None:
        if self._generation == generation:  # otherwise the group has given its partitions to others meanwhile
            self.rebalance()

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
        if self.chance.random() < 0.3:  # noqa: PLR2004  (rarer than the other faults)
            self.tell("the store loses everything")
            self.store.wipe()
            if self.chance.random() < self.faults.change_lost:
                self._change_log()

    def _leave(self) -> None:
        worker = self._victim()
        if worker is None:
            return
        self.tell(f"{worker} stops in order")
        worker.start(worker.stop())

    def _join(self) -> None:
        if len(self._alive()) < PARTITIONS + 1:
            self.start_worker()

    def _change_log(self) -> None:
        """Set the broker back, or make the topic again: at most once."""
        if self.replaced is not None or self.chance.random() >= self.faults.change_log:
            return
        if self.store.silent():
            self.tell("the log changes during a silent rebuilding")
        elif self.store.lost():
            self.tell("the log changes while the store has lost a record")
        self.replaced = self.broker.copy()
        self._settled_at = self.loop.now + _NOTICED
        others = list(emitted(LOGS + self.chance.randrange(LOGS), 20))
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
        worker.die()
        self.replace()
        if self.replaced is not None and self._can_be_given_back(self.replaced):
            self._give_back(self.replaced)
        else:
            self._rebuild = True

    def _can_be_given_back(self, log: Copy) -> bool:
        """Whether all states are still those of the log before it was changed, and the operator restores it."""
        return (
            not self._given_back
            and all(log.holds(partition, self.store.record(partition)) for partition in range(PARTITIONS))
            and self.chance.random() < self.faults.give_back
        )

    def _give_back(self, log: Copy) -> None:
        """Stop all workers, restore the log, and start them again."""
        self.tell("the log is given back")
        for worker in self._alive():
            worker.die()
            self.replace()
        self.broker.give_back(log)
        self._given_back = True
        self._settled_at = self.loop.now + _NOTICED

    def _raised(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take note of what nobody awaits; what a dead worker leaves behind counts for nothing."""
        error = context.get("exception")
        if not isinstance(error, ProcessEnded | asyncio.CancelledError | None):
            self.unhandled.append(error)

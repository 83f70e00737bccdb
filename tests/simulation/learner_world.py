"""One schedule of learners: one learns, one stands by, over topics, a Redis and a group in memory, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

from features.bundle import Bundle
from features.exceptions import StoreError
from stream import learner as learner_module
from stream.exceptions import OwnershipError
from stream.learning import learning, snapshot_store, topic_buffers
from stream.learning.learning import EXAMPLES, OUTCOMES
from stream.learning.snapshot_store import Lease
from stream.settings import Settings
from tests.simulation.learner import LearnerProcess, SimulatedApp, SimulatedProducer
from tests.simulation.learner_group import SESSION, Group
from tests.simulation.learner_judge import Change, Judge
from tests.simulation.ledger import Ledger, Rows
from tests.simulation.loop import VirtualLoop
from tests.simulation.process import ProcessEnded, current
from tests.simulation.redis_server import RedisServer
from tests.simulation.topics import Topics

# Virtual seconds.
FAULTS_END: Final = 20.0  # no fault begins later
LIMIT: Final = 300.0  # by then everything must be learned
_RESTART: Final = 3.0  # at most, until a dead learner is replaced
_PATIENCE: Final = 25.0
_LOOK: Final = 1.0
_LOG_CHECK: Final = 10.0  # instead of a learner's longer pause


@dataclass(frozen=True)
class LearnerFaults:
    """How often things go wrong: probabilities per call, and numbers per schedule."""

    lose_fetch: float = 0.02
    fail_publish: float = 0.1
    lose_request: float = 0.02
    lose_answer: float = 0.03
    slow: float = 0.03  # of a way to a server or back
    stray: float = 0.02  # of the records
    events: int = 4  # kills, freezes, fall-backs ... per schedule


class LearnerWorld:
    """Everything that one seed decides.

    Parameters
    ----------
    seed
        Decides delays, faults and their moments.
    topics
        What the workers have written.
    wanted
        What has to be learned.
    settings, bundle
        Of the learners.
    """

    def __init__(
        self,
        seed: int,
        topics: Topics,
        wanted: Rows,
        settings: Settings,
        bundle: Bundle,
        faults: LearnerFaults | None = None,
    ) -> None:
        self.chance = Random(seed)
        self.faults = faults or LearnerFaults()
        self.topics = topics
        self.settings, self.bundle = settings, bundle
        self.partitions = len(topics.written) // 2
        self.topic_of = {settings.examples_topic: EXAMPLES, settings.outcomes_topic: OUTCOMES}
        self.letters: set[tuple[str, int, int]] = set()  # of which topic, partition and offset
        self._judge = Judge(wanted, topics.strays())
        self.story: list[str] = []
        self.unhandled: list[BaseException] = []
        self.changed: Change | None = None
        self.loop = VirtualLoop()
        self.loop.set_exception_handler(self._raised)
        self.redis = RedisServer(
            self.chance,
            self.loop.time,
            lose_request=self.faults.lose_request,
            lose_answer=self.faults.lose_answer,
            watch=self._watch,
        )
        self.group = Group(self)
        self._learners: list[LearnerProcess] = []
        self._start_over = False

    def run(self) -> None:
        """Run the schedule to its end.

        Raises
        ------
        AssertionError
            Something was learned that must not be, or twice, or never.
        """
        clock = SimpleNamespace(monotonic=self.loop.time)
        with contextlib.ExitStack() as stack:
            for module, name, other in (
                (learner_module, "time", clock),
                (topic_buffers, "time", clock),
                (topic_buffers, "LOG_CHECK_SECONDS", _LOG_CHECK),
                (learner_module, "BatchedApp", SimulatedApp),
                (learner_module, "serve", SimulatedApp.serve),
                (learner_module, "BoundedProducer", SimulatedProducer),
                (learner_module, "TemporaryDirectory", lambda prefix: contextlib.nullcontext("")),
                (learner_module, "decode_report", lambda raw: None),
                (learning, "OnlineLearner", Ledger),
                (learning, "report_of", lambda *arguments: None),
                (snapshot_store, "connect", lambda url: self.redis),
            ):
                stack.enter_context(patch.object(module, name, other))
            try:
                self.loop.run_until_complete(self._run())
            finally:
                for process in self._learners:
                    process.die()
                self.loop.run_until_complete(asyncio.sleep(0))
                self.loop.close()

    def tell(self, what: str) -> None:
        """Add a line to the story of the schedule."""
        self.story.append(f"{self.loop.now:8.3f} {what}")

    def ended(self, process: LearnerProcess, error: BaseException | None) -> None:
        """Do what an operator does about a learner that has ended."""
        self.tell(f"{process} ends: {error or 'it was asked to'}")
        process.die()
        if isinstance(error, OwnershipError):
            self._start_over = True
            if self.changed is None:
                self.unhandled.append(error)
        elif not isinstance(error, StoreError | None):
            self.unhandled.append(error)
        self._replace()

    async def _run(self) -> None:
        coordinating = asyncio.create_task(self.group.coordinate())
        for _ in range(2):
            self._start()
        plagues = asyncio.create_task(self._plague())
        try:
            async with asyncio.timeout(LIMIT):
                await self._until(plagues.done, coordinating)
                plagues.result()
                while not await self._until(self._done, coordinating, within=_PATIENCE):
                    # Where Redis has lost the last save, a learner with nothing to learn does not save again.
                    self._stop()
        except TimeoutError:
            how_far = self._judge.where(self.redis.peek(":snapshot"))
            raise AssertionError(f"not done after {LIMIT:.0f} virtual seconds: {how_far}") from None
        finally:
            coordinating.cancel()
            plagues.cancel()

    async def _until(self, over: Callable[[], bool], task: asyncio.Task[None], within: float = LIMIT) -> bool:
        """Wait until something is over, return whether it is."""
        until = self.loop.now + within
        while not over():
            if self.loop.now >= until:
                return False
            await asyncio.sleep(_LOOK)
            assert not self.unhandled, f"{self.unhandled}"
            if task.done():
                task.result()
        return True

    def _watch(self, key: str, former: bytes | None, new: bytes) -> None:
        """Judge each snapshot that is saved, as long as the logs are those that it was learned from."""
        if key.endswith(":record"):
            self.tell(f"{current.get()} is admitted, epoch {Lease.from_bytes(new).epoch}")
        if key.endswith(":snapshot") and self.changed is None:
            wrong = self._judge.wrong(former, new, self.letters)
            if wrong:
                self.unhandled.append(AssertionError(wrong))

    def _done(self) -> bool:
        stored = self.redis.peek(":snapshot")
        return stored is not None and self._judge.complete(stored, self.topics, self.changed)

    def _start(self) -> None:
        process = LearnerProcess(self, len(self._learners), start_over=self._start_over)
        self._learners.append(process)
        self.tell(f"{process} starts{' over' if self._start_over else ''}")

    def _replace(self) -> None:
        self.loop.call_later(self.chance.uniform(0, SESSION), self.group.changed)
        self.loop.call_later(self.chance.uniform(0, _RESTART), self._start)

    async def _plague(self) -> None:
        """Let things happen at random moments."""
        chance = self.chance
        kinds = (
            self._kill,
            self._kill,
            self._freeze,
            self._freeze,
            self._stop,
            self._fall_back,
            self._change_log,
        )
        for moment in sorted(chance.uniform(0, FAULTS_END) for _ in range(self.faults.events)):
            await asyncio.sleep(moment - self.loop.now)
            chance.choice(kinds)()

    def _victim(self) -> LearnerProcess | None:
        """Return who learns, more often than not."""
        alive = [process for process in self._learners if not process.dead]
        busy = [process for process in alive if process.learner.learning is not None]
        return self.chance.choice(busy or alive) if alive else None

    def _kill(self) -> None:
        if process := self._victim():
            self.tell(f"{process} is killed")
            process.die()
            self._replace()

    def _freeze(self) -> None:
        if process := self._victim():
            seconds = self.chance.choice((2, 15, 30)) * self.chance.random()
            self.tell(f"{process} is frozen for {seconds:.1f} s")
            process.freeze(seconds)

    def _stop(self) -> None:
        if process := self._victim():
            self.tell(f"{process} is asked to stop")
            process.stopping.set()

    def _fall_back(self) -> None:
        if self.chance.random() < 0.2:  # noqa: PLR2004
            self.tell("Redis loses everything")
            self.redis.wipe()
        else:
            moments = self.chance.randint(1, 5)
            self.tell(f"Redis loses {moments} writes")
            self.redis.fall_back(moments)

    def _change_log(self) -> None:
        """Make a topic again, or lose the newest records of a partition: at most once."""
        if self.changed is not None:
            return
        topic = self.chance.choice(sorted(self.topics.ids))
        if self.chance.random() < 0.5:  # noqa: PLR2004
            self.tell(f"{topic} is made again")
            self.topics.make_again(topic, self.loop.now)
            self.changed = Change(topic)
        else:
            partition, lost = self.chance.randrange(self.partitions), self.chance.randint(1, 6)
            kept = self.topics.set_back(topic, partition, lost, self.loop.now)
            if kept < len(self.topics.written[topic, partition]):
                self.tell(f"partition {partition} of {topic} keeps {kept} records")
                self.changed = Change(topic, partition, kept)

    def _raised(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, ProcessEnded | asyncio.CancelledError | None):
            self.unhandled.append(error)

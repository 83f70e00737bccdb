"""Rounds: batches of several partitions that are worked on together.

A cycle of load, fold, produce, acknowledge and save costs about a millisecond of this process however few events
it holds. So whatever waits when a round begins, of whichever partitions, takes part in it: one pass of the job,
one request to the broker, one transaction. At a low rate that keeps the worker idle enough to answer at once; at a
high rate a round is one full batch.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, Final, ParamSpec, TypeVar

from features.store.customer_store import CustomerStore, Due, DueRequest, Loaded, Save
from stream.ownership.job import Job
from stream.ownership.loading import Found, in_calls
from stream.ownership.partition_batch import PartitionBatch
from stream.ownership.promises import Promises
from stream.ownership.saving import Saving
from stream.ownership.steps import Steps
from stream.ownership.timers import due_customers
from stream.running import outages
from stream.tracing.trace import BeginTrace, untraced

logger = logging.getLogger(__name__)

# A round may begin beside another if it holds at least this part of a full one.
_LARGE: Final = 4
# A small round waits so long for partitions that publish what the last save has promised, to have them with it:
# otherwise partitions fall into two groups whose rounds wait for each other. No longer: one may hang.
_HOLD_SECONDS: Final = 0.01

P = ParamSpec("P")
T = TypeVar("T")


class Rounds:
    """Runs rounds, a few at the same time.

    Parameters
    ----------
    job
        The work.
    store, executor
        Where states are, and the threads in which it is asked.
    round_max
        Records after which a round takes no further batch.
    at_once
        Rounds under way at the same time, at most: while some wait for the broker or the store, another computes.
        Small ones follow each other, since two would cost twice as much and answer no sooner.
    begin_trace
        Begins the trace of each.

    Attributes
    ----------
    scored
        How many batches were done and saved, those of poison aside: whether anything is scored at all.
    steps
        What rounds are at.
    cached, uncached
        States that were found in a cache, and that had to be asked for.
    """

    def __init__(
        self,
        job: Job[Any, Any],
        store: CustomerStore,
        executor: Executor,
        *,
        round_max: int,
        at_once: int,
        begin_trace: BeginTrace = untraced,
    ) -> None:
        self._job = job
        self._store = store
        self._executor = executor
        self._round_max = round_max
        self._at_once = at_once
        self._begin_trace = begin_trace
        self._waiting: deque[PartitionBatch] = deque()
        self._records = 0  # that wait
        self._scheduled = False
        self._acting = 0  # partitions that publish what was promised
        self._held_until = 0.0
        self._running: set[asyncio.Task[None]] = set()
        self.scored = 0
        self.steps = Steps()
        self._promises = Promises(job, self.steps)
        self.cached = self.uncached = 0

    async def take(self, part: PartitionBatch) -> bool:
        """Work on a batch and save what came of it; return whether it was done (``False``: dropped before).

        Raises
        ------
        StoreError
            The save failed, or was not answered; ``part.intended`` was to be saved.
        Exception
            The job failed.
        """
        self._waiting.append(part)
        self._records += len(part.batch.records)
        self._schedule()
        return await part.ended

    def _schedule(self) -> None:
        large = self._records >= self._round_max // _LARGE
        if not large and self._acting and time.monotonic() < self._held_until:
            return
        if self._waiting and not self._scheduled and len(self._running) < (self._at_once if large else 1):
            self._scheduled = True
            # Not at once: whoever comes in this iteration of the event loop takes part.
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        self._scheduled = False
        parts: list[PartitionBatch] = []
        records = 0
        while self._waiting and (
            not parts or records + len(self._waiting[0].batch.records) <= self._round_max
        ):
            part = self._waiting.popleft()
            self._records -= len(part.batch.records)
            if not part.skipped():
                parts.append(part)
                records += len(part.batch.records)
        if parts:
            task = asyncio.create_task(self._round(parts), name="round")
            self._running.add(task)
            task.add_done_callback(self._end)
            for part in parts:
                part.ended.add_done_callback(lambda ended: _stop_if_given_up(task, parts, ended))
        self._schedule()

    def _end(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a round failed", exc_info=error)
        self._schedule()

    async def _round(self, parts: Sequence[PartitionBatch]) -> None:
        """Work on batches so that whoever waits for one learns what became of it, whatever happens."""
        try:
            await self._work(parts)
        except Exception as error:
            for part in parts:
                part.fail(error)
        finally:
            for part in parts:
                part.fail(RuntimeError("the round was stopped"))  # most have ended, and stay as they are

    async def _work(self, parts: Sequence[PartitionBatch]) -> None:
        """Load, score, publish, save, mark: all that happens to batches; empty ones move their partitions on too."""
        job, batches = self._job, [part.batch for part in parts]
        trace = self._begin_trace(batches)
        published = False
        with self.steps.round([batch.partition for batch in batches], trace) as step:
            try:
                step("read")
                batch = job.read(batches, [part.watermark for part in parts])
                step("load")
                due = await due_customers(parts, batch.reached, self._ask_due)
                loaded = await self.load(parts, batch.customers, due, items=batch.with_items)
                step("score")
                result = job.score(batch, loaded)
                trace.note(result)
                changed = zip(parts, result.changes, strict=True)
                saves = [(part, part.intend(changes)) for part, changes in changed if part.awaited]
                async with Saving(self._store, self._executor, [save for _, save in saves]) as saving:
                    step("publish")
                    await job.publish(result)  # returns once the broker has acknowledged everything
                    published = True
                    step("save")
                    step.over(await self._save(saving, saves))
            except Exception as error:
                step.over(error)
                if published:  # nothing is published again; whoever still waits is told of the error
                    raise
                await self._retry(parts, error)

    async def _retry(self, parts: Sequence[PartitionBatch], error: Exception) -> None:
        """Run each batch of a failed round alone, so that only those fail that cannot do otherwise."""
        if len(parts) == 1 or getattr(error, "retriable", False):  # an outage meets them all
            for part in parts:
                part.fail(error)
            return
        for part in parts:
            if part.awaited:
                await self._round([part])

    async def _save(self, saving: Saving, saves: Sequence[tuple[PartitionBatch, Save]]) -> Exception | None:
        """Save what is still awaited, and mark it; return what is wrong with any. States and record are one."""
        awaited = [(part, save) for part, save in saves if part.awaited]
        for part, save in awaited:
            part.intended = save.new
        faults = await saving.commit({save.partition for _, save in awaited})
        if awaited and not faults:
            outages.REDIS.answered()
        for part, save in awaited:
            fault = faults.get(save.partition)
            part.mark(save, fault)
            self.scored += fault is None and not part.batch.poison and bool(part.batch.records)
        return next(iter(faults.values()), None)

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the store in a thread."""
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, lambda: function(*args, **kwargs)
        )

    async def load(
        self,
        parts: Sequence[PartitionBatch],
        customers: Sequence[Sequence[str]],
        due: Sequence[Sequence[str]] | None = None,
        *,
        items: bool = False,
    ) -> list[Loaded]:
        """Return states from the caches, and from the store what is not there; items always from the store.

        Parameters
        ----------
        due
            Of each partition batch the customers whose timers are due, in it or not.
        """
        due = [()] * len(parts) if due is None else due
        found = [Found.of(*one) for one in zip(parts, customers, due, strict=True)]
        missing = sum(len(one.missing) for one in found)
        self.uncached += missing
        self.cached += sum(len(one.states) for one in found) - missing
        loads = [one.loads(items=items) for one in found]
        loaded: list[Loaded] = []
        for together in in_calls([load for own in loads for load in own]):
            loaded += await self.call(self._store.load_many, together)
        answers = iter(loaded)
        return [one.with_stored([next(answers) for _ in own]) for one, own in zip(found, loads, strict=True)]

    async def _ask_due(self, requests: Sequence[DueRequest]) -> list[Due]:
        return await self.call(self._store.due_many, requests)

    async def act(self, partition: int, outbox: bytes) -> None:
        """Publish what a save of a partition has promised."""
        loop = asyncio.get_running_loop()
        if not self._acting:
            self._held_until = time.monotonic() + _HOLD_SECONDS
            loop.call_later(_HOLD_SECONDS, self._schedule)
        self._acting += 1
        try:
            await self._promises.keep(partition, outbox)
        finally:
            self._acting -= 1
            if not self._acting:
                loop.call_soon(self._schedule)


def _stop_if_given_up(
    task: asyncio.Task[None], parts: Sequence[PartitionBatch], ended: asyncio.Future[bool]
) -> None:
    """Stop a round as soon as all of its partitions have been given up: nobody is to publish or save any more."""
    if ended.cancelled() and not any(part.awaited for part in parts):
        task.cancel()

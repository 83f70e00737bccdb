"""Rounds: batches of several partitions that are worked on together.

A cycle of load, fold, produce, acknowledge and save costs about a millisecond of this process however few events
it holds. So whatever waits when a round begins, of whichever partitions, takes part in it: one pass of the job,
one request to the broker, one transaction. At a low rate that keeps the worker idle enough to answer at once; at a
high rate a round is one full batch.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Final, NamedTuple, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from features.state import States
from features.store.customer_store import CustomerStore, Loaded, LoadRequest, PartitionRecord, Save
from stream.kafka.batches import RecordBatch
from stream.ownership.cache import StateCache
from stream.ownership.job import Job

# A round may begin beside another if it holds at least this part of a full one.
_LARGE: Final = 4

P = ParamSpec("P")
T = TypeVar("T")


class Turn:
    """One partition's part in a round.

    Attributes
    ----------
    batch
        The records.
    record
        The partition's record before them.
    intended
        The record that is, or was to be, saved; ``None`` as long as the job has not ended.
    """

    def __init__(self, batch: RecordBatch, record: PartitionRecord, cache: StateCache) -> None:
        self.batch = batch
        self.record = record
        self.cache = cache
        self.intended: PartitionRecord | None = None
        self.ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._dropped = False

    @property
    def watermark(self) -> int:
        """See `stream.ownership.job.Turn.watermark`."""
        return self.record.watermark

    def drop(self) -> None:
        """Take no part, unless the round has begun."""
        self._dropped = True

    def skipped(self) -> bool:
        """Whether nobody waits for the turn any more."""
        if self._dropped and not self.ended.done():
            self.ended.set_result(False)
        return self.ended.done()


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
    """

    def __init__(
        self, job: Job, store: CustomerStore, executor: Executor, *, round_max: int, at_once: int
    ) -> None:
        self._job = job
        self._store = store
        self._executor = executor
        self._round_max = round_max
        self._at_once = at_once
        self._waiting: deque[Turn] = deque()
        self._records = 0  # that wait
        self._scheduled = False
        self._running: set[asyncio.Task[None]] = set()

    async def take(self, turn: Turn) -> bool:
        """Work on a batch and save what came of it; return whether it was done (``False``: dropped before).

        Raises
        ------
        StoreError
            The save failed, or was not answered; ``turn.intended`` was to be saved.
        Exception
            The job failed.
        """
        self._waiting.append(turn)
        self._records += len(turn.batch.records)
        self._schedule()
        return await turn.ended

    def _schedule(self) -> None:
        large = self._records >= self._round_max // _LARGE
        if self._waiting and not self._scheduled and len(self._running) < (self._at_once if large else 1):
            self._scheduled = True
            # Not at once: whoever comes in this turn of the loop takes part.
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        self._scheduled = False
        turns: list[Turn] = []
        records = 0
        while self._waiting and (
            not turns or records + len(self._waiting[0].batch.records) <= self._round_max
        ):
            turn = self._waiting.popleft()
            self._records -= len(turn.batch.records)
            if not turn.skipped():
                turns.append(turn)
                records += len(turn.batch.records)
        if turns:
            task = asyncio.create_task(self._round(turns), name="round")
            self._running.add(task)
            task.add_done_callback(self._end)
        self._schedule()

    def _end(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        task.result()
        self._schedule()

    async def _round(self, turns: Sequence[Turn]) -> None:
        try:
            # Batches without records take part: the job may have to say that it has seen the stretch.
            folded = await self._job.run(turns, partial(self.load, turns))
        except Exception as error:
            if len(turns) == 1:
                _fail(turns[0], error)
                return
            for turn in turns:  # one by one, so that only those fail that cannot do otherwise
                await self._round([turn])
            return
        saves = []
        for turn, made in zip(turns, folded, strict=True):
            if not turn.ended.done():
                new = turn.record._replace(next_offset=turn.batch.stop, watermark=made.watermark)
                turn.intended = new
                save = Save(turn.batch.partition, turn.record, new, made.customers, made.states, made.erased)
                saves.append((turn, save))
        if saves:
            await self._save(saves)

    async def _save(self, saves: Sequence[tuple[Turn, Save]]) -> None:
        try:
            errors = await self.call(self._store.save_many, [save for _, save in saves])
        except Exception as error:
            for turn, _ in saves:
                _fail(turn, error)
            return
        for (turn, save), fault in zip(saves, errors, strict=True):
            if fault is not None:
                _fail(turn, fault)
            elif not turn.ended.done():
                turn.cache.put(save.customers, save.states)
                turn.ended.set_result(True)

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the store in a thread."""
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, lambda: function(*args, **kwargs)
        )

    async def load(
        self, turns: Sequence[Turn], customers: Sequence[Sequence[str]], *, items: bool = False
    ) -> list[Loaded]:
        """Return states from the caches, and from the store what is not there; items always from the store."""
        found = [_Found(turn, own, *turn.cache.get(own)) for turn, own in zip(turns, customers, strict=True)]
        loads = [one.load(items=items) for one in found]
        wanted = [load for load in loads if load.customers or load.items_of]
        loaded = iter(await self.call(self._store.load_many, wanted) if wanted else ())
        return [
            one.with_stored(next(loaded)) if load.customers or load.items_of else Loaded(one.states, ())
            for one, load in zip(found, loads, strict=True)
        ]


class _Found(NamedTuple):
    """What the cache of a turn's partition has: states, and the positions of those that it has not."""

    turn: Turn
    customers: Sequence[str]
    states: States
    missing: NDArray[np.intp]

    def load(self, *, items: bool) -> LoadRequest:
        """Return what is to be asked for."""
        unknown = [self.customers[at] for at in self.missing]
        return LoadRequest(
            self.turn.batch.partition, unknown, self.turn.record, self.customers if items else ()
        )

    def with_stored(self, stored: Loaded) -> Loaded:
        """Return everything together."""
        self.states[self.missing] = stored.states
        return Loaded(self.states, stored.items)


def _fail(turn: Turn, error: Exception) -> None:
    if not turn.ended.done():
        turn.ended.set_exception(error)

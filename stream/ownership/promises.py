"""Publishing what saves have promised: what several partitions have promised at the same time goes out together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from stream.ownership.job import Job
from stream.ownership.steps import Steps


class _Promise(NamedTuple):
    partition: int
    outbox: bytes
    kept: asyncio.Future[None]


class Promises:
    """Keeps promises by one call of the job for all that were given in one iteration of the event loop.

    The partitions of a round have been saved together, so they publish together: a request to the broker costs the
    same for one action as for hundreds.

    Parameters
    ----------
    job
        Publishes.
    steps
        Notes what is under way.
    """

    def __init__(self, job: Job[Any, Any], steps: Steps) -> None:
        self._job = job
        self._steps = steps
        self._waiting: list[_Promise] = []
        self._running: set[asyncio.Task[None]] = set()

    async def keep(self, partition: int, outbox: bytes) -> None:
        """Publish what a save has promised, and return once the broker has acknowledged it.

        Raises
        ------
        Exception
            The job failed with this promise alone, or nobody knows with which.
        """
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._begin)
        self._waiting.append(promise := _Promise(partition, outbox, loop.create_future()))
        await promise.kept

    def _begin(self) -> None:
        given, self._waiting = self._waiting, []
        given = [promise for promise in given if not promise.kept.done()]
        if not given:
            return
        task = asyncio.create_task(self._keep(given), name="promises")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        for promise in given:
            promise.kept.add_done_callback(lambda _: _stop_if_given_up(task, given))

    async def _keep(self, given: Sequence[_Promise]) -> None:
        """Publish, so that whoever waits learns what became of it, whatever happens."""
        try:
            with self._steps.round([promise.partition for promise in given]) as step:
                step("act")
                await self._job.act([(promise.partition, promise.outbox) for promise in given])
        except Exception as error:
            if len(given) == 1 or getattr(error, "retriable", False):  # an outage meets them all
                _tell(given, error)
                return
            for promise in given:
                if not promise.kept.done():
                    await self._keep([promise])
        else:
            _tell(given, None)
        finally:
            _tell(
                given, RuntimeError("the publication was stopped")
            )  # most have been told, and stay as they are


def _tell(given: Sequence[_Promise], error: Exception | None) -> None:
    """Tell those who still wait what became of their promises."""
    for promise in given:
        if promise.kept.done():
            continue
        if error is None:
            promise.kept.set_result(None)
        else:
            promise.kept.set_exception(error)


def _stop_if_given_up(task: asyncio.Task[None], given: Sequence[_Promise]) -> None:
    """Stop as soon as nobody waits any more: the partitions have been given up."""
    if all(promise.kept.cancelled() for promise in given):
        task.cancel()

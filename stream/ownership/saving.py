"""A save in two halves: it is prepared while the broker is waited for, and written once that has acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from types import TracebackType
from typing import TypeVar

from features.store.customer_store import CustomerStore, PreparedSaves, Save

P = TypeVar("P")
T = TypeVar("T")


class Saving:
    """The save of a round, within a block; what is not committed in it is not written.

    Preparing is half of a save. It begins as soon as whoever publishes in the block has to wait, and not before: it
    would take processor time from that.

    Parameters
    ----------
    store, executor
        Where states are, and the threads in which it is asked.
    saves
        One of each partition.
    """

    def __init__(self, store: CustomerStore, executor: Executor, saves: Sequence[Save]) -> None:
        self._store = store
        self._executor = executor
        self._saves = saves
        self._later: asyncio.Handle | None = None
        self._preparing: asyncio.Future[PreparedSaves] | None = None
        self._committed = False

    async def __aenter__(self) -> Saving:
        if self._saves:
            self._later = asyncio.get_running_loop().call_soon(self._prepare)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._later is not None:
            self._later.cancel()
        if self._preparing is not None and not self._committed:
            self._preparing.add_done_callback(_release)

    async def commit(self, partitions: Collection[int]) -> Mapping[int, Exception]:
        """Write the saves of some partitions; return by partition why one failed, or was not answered."""
        if not partitions:
            return {}
        try:
            # Who is cancelled here leaves the threads to their work: what they hold is let go at its end.
            prepared = await asyncio.shield(self._prepare())
            committing = self._in_a_thread(prepared.commit, partitions)
            self._committed = True
            return await asyncio.shield(committing)
        except Exception as error:
            return dict.fromkeys(partitions, error)

    def _prepare(self) -> asyncio.Future[PreparedSaves]:
        if self._preparing is None:
            self._preparing = self._in_a_thread(self._store.prepare, self._saves)
        return self._preparing

    def _in_a_thread(self, function: Callable[[P], T], given: P) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._executor, function, given)


def _release(prepared: asyncio.Future[PreparedSaves]) -> None:
    if not prepared.cancelled() and prepared.exception() is None:
        prepared.result().release()

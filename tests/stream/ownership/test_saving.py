"""A save is prepared while the broker is waited for, and what is not committed leaves nothing behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from features.exceptions import StoreError, StoreUnavailable
from features.state import empty
from features.store.customer_store import PreparedSaves, Save
from features.store.memory_store import MemoryStore
from features.store.partition_record import NO_WATERMARK, PartitionRecord
from stream.ownership.saving import Saving

MINE = PartitionRecord(1, bytes(16), 0, NO_WATERMARK, 2)
NEW = MINE._replace(next_offset=5)


class Store(MemoryStore):
    """Tells what is prepared, committed and released; waits with it where it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.story: list[object] = []
        self.open = threading.Event()
        self.open.set()
        self.failure: StoreError | None = None
        for partition in (0, 1):
            self.claim(partition, None, MINE)

    def prepare(self, saves: Sequence[Save]) -> PreparedSaves:
        self.story.append("prepare")
        assert self.open.wait(10)
        if self.failure is not None:
            raise self.failure
        return Prepared(super().prepare(saves), self)


class Prepared:
    def __init__(self, prepared: PreparedSaves, store: Store) -> None:
        self._prepared = prepared
        self._store = store

    def commit(self, partitions: Collection[int]) -> Mapping[int, StoreError]:
        self._store.story.append(("commit", *sorted(partitions)))
        assert self._store.open.wait(10)
        return self._prepared.commit(partitions)

    def release(self) -> None:
        self._store.story.append("release")
        self._prepared.release()


def within(work: Callable[[Store, Saving], Coroutine[Any, Any, None]]) -> Store:
    """Return the store after a block of saving."""
    store = Store()
    saves = [Save(partition, MINE, NEW, (), empty(0)) for partition in (0, 1)]

    async def inner(executor: ThreadPoolExecutor) -> None:
        await work(store, Saving(store, executor, saves))

    with ThreadPoolExecutor(2) as executor:
        asyncio.run(inner(executor))
    return store


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def test_a_save_is_prepared_while_the_broker_is_waited_for_and_no_earlier() -> None:
    async def work(store: Store, saving: Saving) -> None:
        async with saving:
            assert store.story == []
            await until(lambda: store.story == ["prepare"])  # as the broker does its part
            assert store.record(0) == MINE
            assert await saving.commit({0, 1}) == {}

    store = within(work)
    assert store.story == ["prepare", ("commit", 0, 1)]
    assert (store.record(0), store.record(1)) == (NEW, NEW)


def test_who_waits_for_nothing_saves_all_the_same() -> None:
    async def work(store: Store, saving: Saving) -> None:
        async with saving:
            assert await saving.commit({1}) == {}

    store = within(work)
    assert store.story == ["prepare", ("commit", 1)]
    assert (store.record(0), store.record(1)) == (MINE, NEW)


@pytest.mark.parametrize("early", [True, False])
def test_what_is_not_committed_is_released(early: bool) -> None:
    async def work(store: Store, saving: Saving) -> None:
        with pytest.raises(TimeoutError, match="no answer"):
            async with saving:
                store.open.clear() if early else None
                await until(lambda: "prepare" in store.story)
                raise TimeoutError("no answer")
        store.open.set()
        await until(lambda: "release" in store.story)

    store = within(work)
    assert store.story == ["prepare", "release"]
    assert store.record(0) == MINE


def test_where_all_partitions_are_given_up_nothing_is_written() -> None:
    async def work(store: Store, saving: Saving) -> None:
        async with saving:
            await until(lambda: "prepare" in store.story)
            assert await saving.commit(()) == {}
        await until(lambda: "release" in store.story)

    assert within(work).story == ["prepare", "release"]


def test_who_is_cancelled_while_it_is_prepared_leaves_nothing_behind() -> None:
    async def work(store: Store, saving: Saving) -> None:
        store.open.clear()

        async def committed() -> None:
            async with saving:
                await saving.commit({0})

        task = asyncio.create_task(committed())
        await until(lambda: store.story == ["prepare"])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        store.open.set()
        await until(lambda: "release" in store.story)

    store = within(work)
    assert store.story == ["prepare", "release"]
    assert store.record(0) == MINE


def test_who_is_cancelled_during_the_commit_leaves_it_to_end() -> None:
    async def work(store: Store, saving: Saving) -> None:
        async def committed() -> None:
            async with saving:
                await until(lambda: store.story == ["prepare"])
                store.open.clear()
                await saving.commit({0})

        task = asyncio.create_task(committed())
        await until(lambda: ("commit", 0) in store.story)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        store.open.set()
        await until(lambda: store.record(0) == NEW)

    assert within(work).story == ["prepare", ("commit", 0)]


def test_what_fails_in_preparing_is_the_fault_of_all() -> None:
    async def work(store: Store, saving: Saving) -> None:
        store.failure = StoreUnavailable("Redis hangs")
        async with saving:
            assert await saving.commit({0, 1}) == {0: store.failure, 1: store.failure}

    assert within(work).record(0) == MINE

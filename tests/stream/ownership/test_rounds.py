"""Rounds: what is asked of the store, and what is saved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from features import state
from features.state import STATE_VERSION, States
from features.store.customer_store import NO_WATERMARK, Load, Loaded, MemoryStore, PartitionRecord
from stream.ownership.cache import StateCache
from stream.ownership.job import Folded, Job, Turn
from stream.ownership.job import Load as LoadStates
from stream.ownership.rounds import Rounds
from stream.ownership.rounds import Turn as RoundTurn
from tests.stream.records import batch, record


class CountingStore(MemoryStore):
    """A store that takes note of what is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[list[Load]] = []

    def load_many(self, loads: Sequence[Load]) -> list[Loaded]:
        self.loads.append(list(loads))
        return super().load_many(loads)


class Erasing:
    """A job in which every customer is erased, comes back, and has a state of one event."""

    async def run(self, turns: Sequence[Turn], load: LoadStates) -> list[Folded]:
        return [Folded(["ada"], states(1), NO_WATERMARK, ["ada"]) for _ in turns]


def states(*counts: int) -> States:
    rows = state.empty(len(counts))
    rows["version"], rows["events"] = STATE_VERSION, counts
    return rows


class Bench:
    """Two partitions: the first has ada and grace (cached) with items, the second joan."""

    def __init__(self) -> None:
        self.store = CountingStore()
        self.turns: list[RoundTurn] = []

    async def prepare(self) -> None:
        for partition, customers in ((0, ["ada", "grace"]), (1, ["joan"])):
            mine = PartitionRecord(1, bytes(16), 0, NO_WATERMARK, 2)
            self.store.claim(partition, None, mine)
            self.store.save(partition, mine, mine, customers, states(*range(2, len(customers) + 2)))
            self.store.write_items(partition, {name: name.encode() for name in customers})
            one = batch(record(0, b"{}", partition=partition))
            self.turns.append(RoundTurn(one, mine, StateCache(10)))
        self.turns[0].cache.put(["ada"], states(2))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def within(bench: Bench, work: Callable[[Rounds], Coroutine[Any, Any, Any]], job: Job | None = None) -> Any:
    """Return what ``work`` returns."""

    async def inner() -> Any:
        await bench.prepare()
        with ThreadPoolExecutor(1) as executor:
            return await work(Rounds(job or Erasing(), bench.store, executor, round_max=10, at_once=1))

    return asyncio.run(inner())


def test_states_and_items_come_in_one_go_and_only_items_where_all_states_are_cached(bench: Bench) -> None:
    async def load(rounds: Rounds) -> list[Loaded]:
        return await rounds.load(bench.turns, [["ada"], ["joan", "nobody"]], items=True)

    first, second = within(bench, load)
    assert (first.states["events"].tolist(), list(first.items)) == ([2], [b"ada"])
    assert (second.states["events"].tolist(), list(second.items)) == ([2, 0], [b"joan", None])
    [loads] = bench.store.loads
    assert [(one.partition, list(one.customers), list(one.items_of)) for one in loads] == [
        (0, [], ["ada"]),
        (1, ["joan", "nobody"], ["joan", "nobody"]),
    ]


def test_without_items_only_unknown_states_are_asked_for(bench: Bench) -> None:
    async def load(rounds: Rounds) -> list[Loaded]:
        cached = await rounds.load(bench.turns, [["ada"], []])
        assert bench.store.loads == []
        return cached + await rounds.load(bench.turns, [["grace", "ada"], []])

    cached, _, found, nobody = within(bench, load)
    assert cached.states["events"].tolist() == [2]
    assert found.states["events"].tolist() == [3, 2]
    assert len(nobody.states) == 0
    [[one]] = bench.store.loads
    assert (one.partition, list(one.customers), list(one.items_of)) == (0, ["grace"], [])


def test_the_items_of_the_erased_are_deleted_with_the_save(bench: Bench) -> None:
    async def take(rounds: Rounds) -> bool:
        return await rounds.take(bench.turns[0])

    assert within(bench, take)
    (found,) = bench.store.load_many([Load(0, ["ada"], items_of=["ada", "grace"])])
    assert found.states["events"].tolist() == [1]
    assert list(found.items) == [None, b"grace"]

"""Rounds: what is asked of the store, and what is saved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from features import state
from features.exceptions import StoreError
from features.state import STATE_VERSION, States
from features.store.customer_store import Loaded, LoadRequest, Save
from features.store.memory_store import MemoryStore
from features.store.partition_record import NO_WATERMARK, PartitionRecord
from stream.kafka.batches import RecordBatch
from stream.ownership.cache import StateCache
from stream.ownership.job import Job, StateChanges
from stream.ownership.partition_batch import PartitionBatch
from stream.ownership.rounds import Rounds
from tests.stream.fakes import Counted, Read
from tests.stream.records import batch, record


class CountingStore(MemoryStore):
    """A store that takes note of what is loaded and saved."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[list[LoadRequest]] = []
        self.story: list[str] = []

    def load_many(self, loads: Sequence[LoadRequest]) -> list[Loaded]:
        self.loads.append(list(loads))
        self.story.append("load")
        return super().load_many(loads)

    def save_many(self, saves: Sequence[Save]) -> list[StoreError | None]:
        self.story.append("save")
        return super().save_many(saves)


class Erasing:
    """A job in which every customer is erased, comes back, and has a state of one event."""

    def read(self, batches: Sequence[RecordBatch], watermarks: Sequence[int]) -> Read:
        return Read(batches, watermarks, [["ada"] for _ in batches], reached=[NO_WATERMARK] * len(batches))

    def score(self, read: Read, loaded: Sequence[Loaded]) -> Counted:
        erased = StateChanges(["ada"], states(1), NO_WATERMARK, ["ada"])
        return Counted(read.batches, [erased for _ in read.batches])

    async def publish(self, counted: Counted) -> None:
        """Nothing is published."""

    async def act(self, promised: Sequence[tuple[int, bytes]]) -> None:
        """Nothing is promised."""
        raise NotImplementedError


def states(*counts: int) -> States:
    rows = state.empty(len(counts))
    rows["version"], rows["events"] = STATE_VERSION, counts
    return rows


class Telling(Erasing):
    """Tells what it does; the broker acknowledges as it is told."""

    def __init__(self, story: list[str], failures: Sequence[Exception] = ()) -> None:
        self.story = story
        self.failures = list(failures)

    def read(self, batches: Sequence[RecordBatch], watermarks: Sequence[int]) -> Read:
        self.story.append(f"read {len(batches)}")
        return super().read(batches, watermarks)

    def score(self, read: Read, loaded: Sequence[Loaded]) -> Counted:
        self.story.append("score")
        return super().score(read, loaded)

    async def publish(self, counted: Counted) -> None:
        self.story.append("publish")
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        self.story.append("acknowledged")


class Bench:
    """Two partitions: the first has ada and grace (cached) with items, the second joan."""

    def __init__(self) -> None:
        self.store = CountingStore()
        self.parts: list[PartitionBatch] = []

    async def prepare(self) -> None:
        for partition, customers in ((0, ["ada", "grace"]), (1, ["joan"])):
            mine = PartitionRecord(1, bytes(16), 0, NO_WATERMARK, 2)
            self.store.claim(partition, None, mine)
            self.store.save(partition, mine, mine, customers, states(*range(2, len(customers) + 2)))
            self.store.write_items(partition, {name: name.encode() for name in customers})
            one = batch(record(0, b"{}", partition=partition))
            self.parts.append(PartitionBatch(one, mine, StateCache(10)))
        self.parts[0].cache.put(["ada"], states(2))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def within(
    bench: Bench, work: Callable[[Rounds], Coroutine[Any, Any, Any]], job: Job[Any, Any] | None = None
) -> Any:
    """Return what ``work`` returns."""

    async def inner() -> Any:
        await bench.prepare()
        with ThreadPoolExecutor(1) as executor:
            return await work(Rounds(job or Erasing(), bench.store, executor, round_max=10, at_once=1))

    return asyncio.run(inner())


def test_states_and_items_come_in_one_go_and_only_items_where_all_states_are_cached(bench: Bench) -> None:
    async def load(rounds: Rounds) -> list[Loaded]:
        return await rounds.load(bench.parts, [["ada"], ["joan", "nobody"]], items=True)

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
        cached = await rounds.load(bench.parts, [["ada"], []])
        assert bench.store.loads == []
        return cached + await rounds.load(bench.parts, [["grace", "ada"], []])

    cached, _, found, nobody = within(bench, load)
    assert cached.states["events"].tolist() == [2]
    assert found.states["events"].tolist() == [3, 2]
    assert len(nobody.states) == 0
    [[one]] = bench.store.loads
    assert (one.partition, list(one.customers), list(one.items_of)) == (0, ["grace"], [])


def test_links_are_asked_for_only_where_somebody_was_linked_and_then_once(bench: Bench) -> None:
    async def load(rounds: Rounds) -> list[Loaded]:
        await rounds.load(bench.parts, [["ada"], ["joan"]])
        part = bench.parts[0]
        linked = part.record._replace(links=True)
        bench.store.save(0, part.record, linked, (), state.empty(0), links={"ada": b"a link"})
        part.record = linked
        return [
            *await rounds.load([part], [["ada", "grace"]]),
            *await rounds.load([part], [["grace", "ada"]]),
        ]

    first, again = within(bench, load)
    assert (list(first.links), list(again.links)) == ([b"a link", None], [None, b"a link"])
    asked = [(one.partition, list(one.links_of)) for loads in bench.store.loads for one in loads]
    assert asked == [(1, []), (0, ["ada", "grace"]), (0, [])], "the last for a state that is not cached"


def test_the_items_of_the_erased_are_deleted_with_the_save(bench: Bench) -> None:
    async def take(rounds: Rounds) -> bool:
        return await rounds.take(bench.parts[0])

    assert within(bench, take)
    (found,) = bench.store.load_many([LoadRequest(0, ["ada"], items_of=["ada", "grace"])])
    assert found.states["events"].tolist() == [1]
    assert list(found.items) == [None, b"grace"]


def test_states_are_saved_only_when_the_broker_has_acknowledged(bench: Bench) -> None:
    story = bench.store.story

    async def take(rounds: Rounds) -> tuple[bool, int]:
        done = await rounds.take(bench.parts[1])
        return done, int(bench.parts[1].cache.get(["ada"])[0]["events"][0])

    assert within(bench, take, Telling(story)) == (True, 1)
    assert story == ["read 1", "load", "score", "publish", "acknowledged", "save"]


def test_what_fails_after_the_save_has_nothing_published_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = bench.store.story

    def full(self: StateCache, customers: object, states: object) -> None:
        raise MemoryError("no room")

    async def take(rounds: Rounds) -> list[object]:
        monkeypatch.setattr(StateCache, "put", full)
        return await asyncio.gather(*(rounds.take(part) for part in bench.parts), return_exceptions=True)

    found = within(bench, take, Telling(story))
    assert [str(one) for one in found] == ["no room", "no room"]
    assert (story.count("publish"), story.count("save")) == (1, 1)
    assert [bench.store.record(at) for at in (0, 1)] == [part.intended for part in bench.parts]


def test_without_an_acknowledgement_nothing_is_saved_or_cached(bench: Bench) -> None:
    story = bench.store.story

    async def take(rounds: Rounds) -> list[int]:
        with pytest.raises(TimeoutError, match="no answer"):
            await rounds.take(bench.parts[1])
        assert bench.parts[1].intended is None, "no save was tried"
        return bench.parts[1].cache.get(["ada"])[1].tolist()

    assert within(bench, take, Telling(story, [TimeoutError("no answer")])) == [0]
    assert story == ["read 1", "load", "score", "publish"]


def test_batches_of_a_failed_round_are_run_one_by_one(bench: Bench) -> None:
    story = bench.store.story

    async def take(rounds: Rounds) -> list[bool | BaseException]:
        return await asyncio.gather(*map(rounds.take, bench.parts), return_exceptions=True)

    first, second = within(bench, take, Telling(story, [ValueError("together"), ValueError("alone")]))
    assert (str(first), second) == ("alone", True)
    assert [step for step in story if step.startswith(("read", "save"))] == [
        "read 2",
        "read 1",
        "read 1",
        "save",
    ]


def test_a_round_that_nobody_waits_for_any_more_stops(bench: Bench) -> None:
    story = bench.store.story

    class Waiting(Telling):
        async def publish(self, counted: Counted) -> None:
            if not story.count("publish"):
                story.append("publish")
                await asyncio.sleep(3600)
            story.append("acknowledged")

    async def give_up(rounds: Rounds) -> None:
        takes = [asyncio.create_task(rounds.take(part)) for part in bench.parts]
        while "publish" not in story:
            await asyncio.sleep(0)
        takes[0].cancel()
        following = PartitionBatch(bench.parts[0].batch, bench.parts[0].record, bench.parts[0].cache)
        waits = asyncio.create_task(rounds.take(following))
        await asyncio.sleep(0.01)
        assert story[-1] == "publish", "the other partition still waits"
        takes[1].cancel()
        async with asyncio.timeout(5):
            assert await waits, "the next round begins at once"

    within(bench, give_up, Waiting(story))
    assert story == ["read 2", "load", "score", "publish", "read 1", "score", "acknowledged", "save"]


class Wrong(Erasing):
    """A job that forgets the changes of the last batch."""

    def score(self, read: Read, loaded: Sequence[Loaded]) -> Counted:
        return super().score(read, loaded)._replace(changes=[])


def test_whatever_goes_wrong_behind_the_acknowledgement_everybody_learns_of_it(bench: Bench) -> None:
    async def take(rounds: Rounds) -> list[bool | BaseException]:
        async with asyncio.timeout(5):
            return await asyncio.gather(*map(rounds.take, bench.parts), return_exceptions=True)

    assert [type(one) for one in within(bench, take, Wrong())] == [ValueError, ValueError]
    assert "save" not in bench.store.story


def test_a_round_that_is_stopped_from_outside_says_so(bench: Bench) -> None:
    class Cancelled(Erasing):
        async def publish(self, counted: Counted) -> None:
            raise asyncio.CancelledError

    async def take(rounds: Rounds) -> None:
        async with asyncio.timeout(5):
            with pytest.raises(RuntimeError, match="stopped"):
                await rounds.take(bench.parts[0])

    within(bench, take, Cancelled())


class Acting(Telling):
    """Publishes what was promised once it may."""

    def __init__(self, story: list[str]) -> None:
        super().__init__(story)
        self.goes_on = asyncio.Event()

    async def act(self, promised: Sequence[tuple[int, bytes]]) -> None:
        self.story.append("act")
        await self.goes_on.wait()


async def begun(bench: Bench, job: Acting, executor: ThreadPoolExecutor) -> tuple[Rounds, asyncio.Task[bool]]:
    """Return rounds, and the owner of the first partition, who keeps a promise and takes part again then."""
    await bench.prepare()
    rounds = Rounds(job, bench.store, executor, round_max=100, at_once=1)

    async def owner() -> bool:
        await rounds.act(0, b"promised")
        return await rounds.take(bench.parts[0])

    owning = asyncio.create_task(owner())
    while "act" not in job.story:
        await asyncio.sleep(0)
    return rounds, owning


def test_a_small_round_waits_for_a_partition_that_keeps_its_promise(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.ownership.rounds._HOLD_SECONDS", 60.0)

    async def scenario() -> None:
        job = Acting(bench.store.story)
        with ThreadPoolExecutor(1) as executor:
            rounds, first = await begun(bench, job, executor)
            second = asyncio.create_task(rounds.take(bench.parts[1]))
            for _ in range(10):
                await asyncio.sleep(0)
            assert job.story == ["act"]
            job.goes_on.set()
            assert await asyncio.gather(first, second) == [True, True]
        assert "read 2" in job.story

    asyncio.run(scenario())


def test_a_promise_that_hangs_holds_up_no_other_partition(bench: Bench) -> None:
    async def scenario() -> None:
        job = Acting(bench.store.story)
        with ThreadPoolExecutor(1) as executor:
            rounds, first = await begun(bench, job, executor)
            assert await rounds.take(bench.parts[1])
            assert "read 1" in job.story
            job.goes_on.set()
            assert await first

    asyncio.run(scenario())

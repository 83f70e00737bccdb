"""What several partitions have promised at the same time is published together, and fails alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from stream.kafka.producing import Unacknowledged
from stream.ownership.promises import Promises
from stream.ownership.steps import Steps
from tests.stream.fakes import Counting


class Publishing(Counting):
    """A job that notes what it publishes, and refuses some of it."""

    def __init__(
        self, refused: Callable[[Sequence[tuple[int, bytes]]], Exception | None] = lambda _: None
    ) -> None:
        super().__init__()
        self.calls: list[list[tuple[int, bytes]]] = []
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self._refused = refused

    async def act(self, promised: Sequence[tuple[int, bytes]]) -> None:
        self.calls.append(list(promised))
        await self.goes_on.wait()
        if (error := self._refused(promised)) is not None:
            raise error


async def kept(job: Publishing, *partitions: int) -> list[Any]:
    promises = Promises(job, Steps())
    keeping = (promises.keep(partition, b"p%d" % partition) for partition in partitions)
    return await asyncio.gather(*keeping, return_exceptions=True)


def test_what_is_promised_at_the_same_time_goes_out_in_one_call() -> None:
    async def scenario() -> None:
        job = Publishing()
        assert await kept(job, 2, 0, 1) == [None] * 3
        assert job.calls == [[(2, b"p2"), (0, b"p0"), (1, b"p1")]]

    asyncio.run(scenario())


def test_what_is_refused_fails_alone() -> None:
    async def scenario() -> None:
        job = Publishing(lambda promised: ValueError("1 is bad") if (1, b"p1") in promised else None)
        first, guilty, last = await kept(job, 0, 1, 2)
        assert first is last is None
        assert isinstance(guilty, ValueError)
        assert [len(call) for call in job.calls] == [3, 1, 1, 1]

    asyncio.run(scenario())


def test_an_outage_meets_all_and_is_not_tried_for_each() -> None:
    async def scenario() -> None:
        job = Publishing(lambda _: Unacknowledged("silence"))
        assert [type(found) for found in await kept(job, 0, 1)] == [Unacknowledged] * 2
        assert len(job.calls) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("gone", [1, 2])
def test_a_publication_is_stopped_when_nobody_waits_for_it_any_more(gone: int) -> None:
    async def scenario() -> None:
        job, steps = Publishing(), Steps()
        job.goes_on.clear()
        promises = Promises(job, steps)
        owners = [asyncio.create_task(promises.keep(partition, b"x")) for partition in range(2)]
        while not job.calls:
            await asyncio.sleep(0)
        for owner in owners[:gone]:
            owner.cancel()
        await asyncio.wait(owners[:gone])
        for _ in range(3):
            await asyncio.sleep(0)
        assert bool(steps.under_way) == (gone == 1)
        job.goes_on.set()
        ended = await asyncio.gather(*owners, return_exceptions=True)
        assert [type(end) for end in ended] == [asyncio.CancelledError] * gone + [type(None)] * (2 - gone)

    asyncio.run(scenario())

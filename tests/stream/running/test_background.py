"""Work beside the main one is restarted when it fails, and what failed is known until it has mended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from stream.running.background import Background


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not fact():
            await asyncio.sleep(0.001)


def test_work_that_fails_is_logged_shown_and_started_again(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> tuple[bool, str]:
        background = Background(pauses=(0.01, 0.02), mended_seconds=0.2)
        starts: list[int] = []

        async def look() -> None:
            starts.append(len(starts))
            if len(starts) < 3:
                raise ValueError("no offer")
            await asyncio.sleep(60)

        async with background.beside("following offers", look):
            await until(lambda: bool(background.troubles))
            shown = background.ready, background.trouble
            await until(lambda: len(starts) == 3)
            await until(lambda: background.ready)
        return shown

    assert asyncio.run(main()) == (False, "following offers failed: no offer")
    assert [record.getMessage() for record in caplog.records] == [
        "following offers failed, starting it again in 0.01 s",
        "following offers failed, starting it again in 0.02 s",
    ]


def test_work_ends_with_its_block() -> None:
    async def main() -> list[str]:
        ended: list[str] = []

        async def look() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                ended.append("look")

        async with Background().beside("looking", look):
            await asyncio.sleep(0)
        return ended

    assert asyncio.run(main()) == ["look"]

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace
from typing import cast

import pytest

from stream.serving.live import reader
from stream.serving.live.masks import Masks
from stream.settings import Settings


def test_a_timer_that_rings_early_sends_no_frame_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timers of uvloop may ring early; here the clock is a little behind all of them."""
    began = time.monotonic()

    def slow() -> float:
        return 1_700_000_000.5 + (time.monotonic() - began) * 0.995

    clock = SimpleNamespace(time=slow, time_ns=lambda: int(slow() * 1e9), monotonic=time.monotonic)
    monkeypatch.setattr(reader, "time", clock)
    live = reader.LiveReader(Settings(_env_file=None), 1, cast("reader.Records", None), Masks(None))
    live._opened.set()

    async def frames() -> list[int]:
        found = []
        async for sent in live.follow(frozenset()):
            if sent.startswith(b"event: live"):
                found.append(json.loads(sent.partition(b"data: ")[2])["now"]["at"] // 1000)
            if len(found) == 4:
                break
        return found

    first, *later = asyncio.run(frames())
    assert later == [first + 1, first + 2, first + 3]

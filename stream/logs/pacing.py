"""The pace of a replay: events are sent when they are due by event time, in real time or a multiple of it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Final, Protocol

import numpy as np

from features.exceptions import IntentError
from stream.logs.rows import Encoded

# A paced replay sends what is due this often: about the pause within which a shop's events would come anyway.
_TICK_SECONDS: Final = 0.02

_SPEED: Final = re.compile(r"(\d+(?:\.\d+)?)x")


class Clock(Protocol):
    """Time for a paced replay; `WallClock`, or one that tests advance."""

    def now(self) -> float:
        """Return seconds since any fixed moment."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Sender(Protocol):
    """Takes records."""

    async def send(self, encoded: Encoded, start: int, stop: int) -> None:
        """Send the rows from ``start`` to ``stop``."""
        ...

    async def flush(self) -> None:
        """Wait until all that was sent is in the topic."""
        ...


class WallClock:
    """The real clock."""

    def now(self) -> float:
        """See `Clock.now`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        await asyncio.sleep(seconds)


def parse_speed(text: str) -> float | None:
    """Return how many seconds of event time pass in a second; ``None`` stands for no pacing at all.

    Examples
    --------
    >>> parse_speed("max"), parse_speed("real"), parse_speed("60x")
    (None, 1.0, 60.0)
    """
    if text in ("max", "real"):
        return None if text == "max" else 1.0
    match = _SPEED.fullmatch(text)
    if match is None or float(match[1]) <= 0:
        raise IntentError(f"invalid speed {text!r}: use max, real, or a multiple such as 60x")
    return float(match[1])


class Pace:
    """Sends events when they are due: event time since the log's first event, divided by ``factor``."""

    def __init__(self, factor: float, clock: Clock) -> None:
        self._factor = factor
        self._clock = clock
        self._first_ms: int | None = None
        self._latest_ms = 0
        self._began = 0.0

    async def send(
        self, sender: Sender, encoded: Encoded, on_sent: Callable[[int, int], None] | None = None
    ) -> None:
        """Send the next rows, each no earlier than it is due.

        Parameters
        ----------
        on_sent
            Called with how many of them are sent, and the event time that was reached, epoch ms.
        """
        if not len(encoded.due_ms):
            return
        if self._first_ms is None:
            self._first_ms = self._latest_ms = int(encoded.due_ms[0])
            self._began = self._clock.now()
        # A late event is due when it arrives: with the events that it comes after.
        due = np.maximum(np.maximum.accumulate(encoded.due_ms), self._latest_ms)
        self._latest_ms = int(due[-1])
        seconds = (due - self._first_ms) / 1000 / self._factor
        sent = 0
        while sent < len(seconds):
            passed = self._clock.now() - self._began
            ready = int(np.searchsorted(seconds, passed, side="right"))
            if ready > sent:
                await sender.send(encoded, sent, ready)
                sent = ready
                if on_sent is not None:
                    on_sent(sent, int(due[sent - 1]))
            else:
                await self._clock.sleep(max(float(seconds[sent]) - passed, _TICK_SECONDS))

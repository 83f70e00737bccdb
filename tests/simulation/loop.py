"""An event loop without waiting: its clock jumps to the next timer, so that minutes of faults take milliseconds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any

from tests.simulation.process import current, tagged


class Stuck(AssertionError):
    """Everybody waits for somebody else, and no timer is left."""


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop. Work that a program hands to threads travels as its process says.

    Attributes
    ----------
    now
        Virtual seconds since the beginning.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._number = count()
        self.set_task_factory(tagged)

    def time(self) -> float:
        """Return `now`."""
        return self.now

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        """Call in the next step."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        """Call at a virtual time."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heappush(self._timers, (when, next(self._number), timer))
        return timer

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        """Call after some virtual seconds."""
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        """Do as `call_soon`: there are no threads."""
        return self.call_soon(callback, *args, context=context)

    def _run_once(self) -> None:
        """Call all that is ready; where nothing is, move the clock on to the next timer."""
        ready, timers = self._ready, self._timers
        while not ready:
            if not timers:
                raise Stuck("no task can go on")
            when, _, timer = heappop(timers)
            if not timer.cancelled():
                self.now = max(self.now, when)
                ready.append(timer)
        while timers and timers[0][0] <= self.now:
            ready.append(heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """Leave the function to the process that asks."""
        process = current.get()
        assert process is not None
        return process.ask((lambda: func(*args)) if args else func)

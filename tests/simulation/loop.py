"""An event loop without waiting: its clock jumps to the next timer, so that minutes of faults take milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any


class Stuck(AssertionError):
    """Everybody waits for somebody else, and no timer is left."""


class _Jump(selectors.SelectSelector):
    """A selector that finds nothing ready, and moves the loop's clock instead of waiting."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("no task can go on")
        self.loop.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop.

    Parameters
    ----------
    call
        What becomes of work that the program hands to threads: it gets the executor and the function.

    Attributes
    ----------
    now
        Virtual seconds since the beginning.
    """

    def __init__(self, call: Callable[[Executor | None, Callable[[], Any]], Awaitable[Any]]) -> None:
        self.now = 0.0
        self._call = call
        jump = _Jump()
        jump.loop = self
        super().__init__(jump)

    def time(self) -> float:
        """Return `now`."""
        return self.now

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        """Do as `call_soon`: there are no threads."""
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """Leave the function to ``call``."""
        return asyncio.ensure_future(self._call(executor, lambda: func(*args)), loop=self)

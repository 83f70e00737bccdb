"""A process of the simulation: what it asks of others travels, and nothing arrives while it is frozen or dead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import partial
from random import Random
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

#: Whose task it is that runs.
current: ContextVar[Process | None] = ContextVar("process", default=None)


class ProcessEnded(Exception):
    """The process that asked is dead."""


class Process:
    """Tasks that stand still together and die together.

    Parameters
    ----------
    name
        For the story.
    loop, chance
        Of the world.
    slow
        How often a way to a server or back takes long.

    Attributes
    ----------
    dead
        Whether it was killed, or has ended.
    frozen
        Whether it stands still at the moment.
    evicted
        Whether its group has given it up while it was frozen, and it does not know yet.
    """

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop, chance: Random, slow: float) -> None:
        self.dead = self.frozen = self.evicted = False
        self._name = name
        self._loop = loop
        self._chance = chance
        self._slow = slow
        self._tasks: set[asyncio.Task[Any]] = set()
        self._held_up: list[Callable[[], None]] = []

    def __str__(self) -> str:
        return self._name

    def start(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin a task of this process; the tasks that it begins are of this process too."""
        return self.act(self._loop.create_task, coroutine)

    def act(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call something as this process."""
        token = current.set(self)
        try:
            return function(*args, **kwargs)
        finally:
            current.reset(token)

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Take a task that begins; the loop calls this."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def travel(self) -> None:
        """Take the time of one way to a server or back; never arrive where the process is frozen or dead."""
        await asyncio.sleep(self._way())
        await self.thawed()
        if self.dead:
            raise ProcessEnded

    def ask(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """Carry a call to a server, and its answer back."""
        answered: asyncio.Future[T] = self._loop.create_future()
        self._loop.call_later(self._way(), self._arrive, function, answered)
        return answered

    def freeze(self, seconds: float) -> None:
        """Stand still."""
        self.frozen = True
        self._loop.call_later(seconds, self.thaw)

    async def thawed(self) -> None:
        """Wait until it goes on."""
        while self.frozen:
            going_on = self._loop.create_future()
            self._held_up.append(partial(_settle, going_on, None))
            await going_on

    def thaw(self) -> None:
        """Go on."""
        self.frozen = False
        held_up, self._held_up = self._held_up, []
        for go_on in held_up:
            self._loop.call_soon(go_on)

    def die(self) -> None:
        """End at once."""
        self.dead = True
        self.thaw()
        for task in list(self._tasks):
            task.cancel()

    def _way(self) -> float:
        chance = self._chance
        return chance.uniform(0.1, 2.0) if chance.random() < self._slow else chance.random() * 0.003

    def _arrive(self, function: Callable[[], T], answered: asyncio.Future[T]) -> None:
        if self.frozen:
            self._held_up.append(lambda: self._arrive(function, answered))
            return
        if self.dead:
            answered.cancel()
            return
        try:
            answer, error = function(), None
        except Exception as raised:
            answer, error = None, raised
        self._loop.call_later(self._way(), self._answer, answered, answer, error)

    def _answer(self, answered: asyncio.Future[Any], answer: Any, error: Exception | None) -> None:
        if self.frozen:
            self._held_up.append(lambda: self._answer(answered, answer, error))
        elif self.dead:
            answered.cancel()
        else:
            _settle(answered, answer, error)


def _settle(future: asyncio.Future[Any], answer: Any, error: Exception | None = None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(answer)
    else:
        future.set_exception(error)


def tagged(loop: Any, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    """Make a task that dies with the process it belongs to."""
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
    process = current.get()
    if process is not None:
        process.adopt(task)
    return task

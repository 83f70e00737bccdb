"""Several processes that answer on one port: the first one listens, the others are its children and take turns.

A child that crashes is started again, with pauses. Where a child refuses to start, all end: the next would refuse, too.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import socket
from collections.abc import Callable
from multiprocessing.context import SpawnProcess
from tempfile import TemporaryDirectory
from typing import Final

from stream.exceptions import ServiceError
from stream.running.ending import CUT_OFF, END_SECONDS
from stream.serving.metrics import FOLDER
from stream.settings import Settings

logger = logging.getLogger(__name__)

# Pause before a child that has crashed is started again.
_PAUSE_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.2
# What children need to end, and a little more for the process itself.
_END_SECONDS: Final = END_SECONDS - 1.0

Child = Callable[[Settings, socket.socket], None]


async def supervise(
    child: Child, settings: Settings, listener: socket.socket, count: int, stop: asyncio.Event
) -> None:
    """Run ``count`` children until ``stop`` is set.

    Parameters
    ----------
    child
        What a child does; it must be importable, for it runs in a new process.

    Raises
    ------
    ServiceError
        A child refused to start.
    """
    context = multiprocessing.get_context("spawn")

    def start() -> SpawnProcess:
        process = context.Process(target=child, args=(settings, listener), daemon=True)
        process.start()
        return process

    with TemporaryDirectory(prefix="intent-serve-") as folder:
        os.environ[FOLDER] = folder  # children inherit it
        try:
            children = [start() for _ in range(count)]
            while not stop.is_set():
                for at, process in enumerate(children):
                    if process.exitcode is not None:
                        children[at] = await _again(process, start, stop)
                await _wait(stop, _LOOK_SECONDS)
        finally:
            del os.environ[FOLDER]
            await _end(children)


async def _again(
    process: SpawnProcess, start: Callable[[], SpawnProcess], stop: asyncio.Event
) -> SpawnProcess:
    """Start a child again that has crashed."""
    code = process.exitcode
    if code in (1, 2):
        raise ServiceError("a process refused to start: its line above says why")
    if stop.is_set() or code == 0:
        return process
    logger.error("process %s ended with %s: starting another one", process.pid, code)
    await _wait(stop, _PAUSE_SECONDS)
    return process if stop.is_set() else start()


async def _end(children: list[SpawnProcess]) -> None:
    """Ask all children to end, and see to it that they do."""
    for process in children:
        if process.exitcode is None:
            process.terminate()
    deadline = asyncio.get_running_loop().time() + _END_SECONDS
    while any(process.exitcode is None for process in children):
        if asyncio.get_running_loop().time() > deadline:
            for process in children:
                process.kill()
            raise ServiceError(f"a process did not end within {_END_SECONDS:.0f} s")
        await asyncio.sleep(_LOOK_SECONDS / 4)
    late = [process.pid for process in children if process.exitcode == CUT_OFF]
    if late:
        logger.warning("processes %s were cut off", late)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass

"""Several processes that answer on one port: the first one listens, the others are its children and take turns.

A child that crashes is started again, after a pause. Where a child refuses to start, all end: the next would, too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from asyncio.subprocess import Process
from contextlib import suppress
from tempfile import TemporaryDirectory
from typing import Final

from stream.exceptions import ServiceError
from stream.running.ending import CUT_OFF, END_SECONDS
from stream.serving.metrics import FOLDER
from stream.settings import Settings

logger = logging.getLogger(__name__)

_CHILD: Final = "from stream.cli.serve import one_of_several; one_of_several({}, {})"

# Pause before a child that has crashed is started again.
_PAUSE_SECONDS: Final = 1.0
# How often a child looks whether its parent is there.
_LOOK_SECONDS: Final = 1.0
# Within those of this process.
_END_SECONDS: Final = END_SECONDS - 1.0
_REFUSED: Final = (1, 2)


async def supervise(settings: Settings, listener: socket.socket, count: int, stop: asyncio.Event) -> None:
    """Run ``count`` children until ``stop`` is set.

    Raises
    ------
    ServiceError
        A child refused to start.
    """
    with TemporaryDirectory(prefix="intent-serve-") as folder:
        environment = os.environ | {FOLDER: folder, "INTENT_BUNDLE": str(settings.bundle)}
        ending = asyncio.create_task(stop.wait())
        children = [asyncio.create_task(_keep(listener, environment, stop)) for _ in range(count)]
        try:
            await asyncio.wait({ending, *children}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.set()
            done, late = await asyncio.wait(children, timeout=_END_SECONDS)
            for child in late:
                child.cancel()
            ending.cancel()
        for child in done:
            child.result()


def end_with(parent: int) -> None:
    """End this process, in order, once the process that started it is gone: nobody else would end it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_SECONDS)
        logger.error("the first process is gone: ending")
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


async def _keep(listener: socket.socket, environment: dict[str, str], stop: asyncio.Event) -> None:
    """Run one child, again where it crashes."""
    while not stop.is_set():
        command = [sys.executable, "-c", _CHILD.format(listener.fileno(), os.getpid())]
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, pass_fds=[listener.fileno()]
        )
        ended = asyncio.create_task(process.wait())
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                await _end(process)
                return
        finally:
            stopped.cancel()
            if process.returncode is None:
                process.kill()
        if process.returncode in _REFUSED:
            raise ServiceError("a process refused to start: its line above says why")
        logger.error("process %s ended with %s: starting another one", process.pid, process.returncode)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _PAUSE_SECONDS)


async def _end(process: Process) -> None:
    """Ask a child to end, and wait until it has."""
    with suppress(ProcessLookupError):
        process.terminate()
    if await process.wait() == CUT_OFF:
        logger.warning("process %s was cut off", process.pid)

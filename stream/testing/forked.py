"""``intent`` in a process that is forked from one which has already imported the libraries.

Importing them is more than half of the CPU time that a worker takes to start, and tests start hundreds. What runs is
the same: `stream.cli.main`, with an environment, a folder and signals of its own. Where the command itself is tested
(its end, its first moments, `docker compose`, the blocks of the documents), it is started as people start it.

The process ends when the one ends that has started it, however that ends.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from multiprocessing import connection, forkserver
from pathlib import Path
from typing import Final

# None of them has started a thread of its own when it is imported: only the forking thread lives on in a child. What is
# not installed is passed over.
_LIBRARIES: Final = (
    "aiokafka",
    "fastapi",
    "faust.app",
    "faust.serializers",
    "kafka.admin",
    "msgspec",
    "numba",
    "pandas",
    "pydantic_settings",
    "redis.asyncio",
    "rich.console",
    "river.compose",
    "river.drift",
    "river.linear_model",
    "river.optim",
    "river.preprocessing",
    "typer",
    "uvicorn",
    "yaml",
)

_CONTEXT: Final = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(list(_LIBRARIES))


def prepare() -> None:
    """Start importing the libraries now, in the process that later ones are forked from."""
    forkserver.ensure_running()


class Forked:
    """A command, with the methods of `subprocess.Popen` that tests use.

    Parameters
    ----------
    arguments
        What follows ``intent`` on the command line.
    environment
        All of the command's environment.
    folder
        Where it runs.
    log
        The file that takes all that it prints.
    """

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path
    ) -> None:
        self._process = _CONTEXT.Process(
            target=_run, args=(list(arguments), dict(environment), folder, log), daemon=True
        )
        self._process.start()
        self.pid = self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        """The exit code, that of a signal as a negative number; ``None`` while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return the exit code, or ``None``."""
        return self._process.exitcode

    def wait(self, seconds: float) -> int:
        """Wait for the end and return the exit code."""
        self._process.join(seconds)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("intent", seconds)
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def _run(arguments: list[str], environment: dict[str, str], folder: Path, log: Path) -> None:
    """Be ``intent`` from here on."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(folder)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for standard in (1, 2):
        os.dup2(output, standard)
    os.close(output)
    sys.argv = ["intent", *arguments]

    importlib.import_module("stream.cli").main()  # by its name: this room lies below the command line


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGKILL)

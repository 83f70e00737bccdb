"""A contender's process, and the processor time that it takes."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

_STOP_SECONDS: Final = 15.0


class ContenderFailed(RuntimeError):
    """A contender ended, or went silent, before it had scored enough."""


class Program:
    """A contender's process, with a log, ended at the end of the ``with`` block.

    Parameters
    ----------
    command
        What starts it.
    environment
        Added to this process's own.
    log
        Where its output goes.
    """

    def __init__(self, command: Sequence[str], environment: dict[str, str], log: Path) -> None:
        self._command, self._log = command, log
        root = str(Path(__file__).resolve().parent.parent)
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        self._environment = os.environ | {"PYTHONPATH": path} | environment

    def __enter__(self) -> Program:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=self._log.parent,  # no .env of the project's
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def end(self, sent: signal.Signals | None = signal.SIGTERM, *, within: float = _STOP_SECONDS) -> None:
        """Send a signal, if one is given, and wait for the end."""
        if sent is not None:
            self._process.send_signal(sent)
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise self.failure(f"has not ended within {within:g} s") from None

    def processor_seconds(self) -> float:
        """Return how much processor time the process and its children have taken."""
        return processor_seconds(self._process.pid)

    def check(self) -> None:
        """Raise `ContenderFailed` if the process has ended."""
        if self._process.poll() is not None:
            raise self.failure(f"ended with exit code {self._process.returncode}")

    def failure(self, what: str) -> ContenderFailed:
        """Return the error with the end of the log."""
        tail = " | ".join(self._log.read_text(errors="replace").strip().splitlines()[-4:])[-800:]
        return ContenderFailed(f"{self._log.stem} {what}: {tail or 'its log is empty'}")


def processor_seconds(pid: int) -> float:
    """Return how much processor time a process and its living descendants have taken."""
    process, spent = psutil.Process(pid), 0.0
    for member in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # ended since it was listed
            times = member.cpu_times()
            spent += times.user + times.system
    return spent

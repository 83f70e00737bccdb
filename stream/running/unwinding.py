"""SIGTERM and SIGHUP end a command as Ctrl-C does: in order, so that what it has opened is closed and deleted.

By default they would end the process at once, and leave its temporary folders and the processes that it has started.
`stream.running.ending.run` takes over in the commands that run for long.
"""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Final

__all__ = ["asked", "stops", "unwind_when_asked"]

# What asks a process to end, beside an interrupt: a supervisor, or a terminal that is closed.
_STOPS: Final = (signal.SIGTERM, signal.SIGHUP)

_asked: signal.Signals = signal.SIGINT
_process = 0


def stops() -> list[signal.Signals]:
    """Return the signals that ask a process to end: SIGHUP is none where it is ignored, as with ``nohup``."""
    hears_hangups = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hears_hangups else [])]


def unwind_when_asked() -> None:
    """Have the signals raise `KeyboardInterrupt` once; those that are ignored (``nohup``) stay so."""
    global _process  # noqa: PLW0603  (signals belong to a process)
    _process = os.getpid()
    for number in _STOPS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _unwind)


def asked() -> signal.Signals:
    """Return which signal has interrupted the command: ``SIGINT`` if none of the others came."""
    return _asked


def _unwind(number: int, frame: FrameType | None) -> None:
    if os.getpid() != _process:  # a process that was forked has nothing of its own to close
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    global _asked  # noqa: PLW0603
    _asked = signal.Signals(number)
    for each in _STOPS:  # they may come twice, to this process and to its group
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt

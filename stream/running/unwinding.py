"""SIGTERM and SIGHUP end a command as Ctrl-C does: in order, so that what it has opened is closed and deleted.

By default they would end the process at once, and leave its temporary folders and the processes that it has started.
`stream.running.ending.run` takes over in the commands that run for long.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Final

__all__ = ["asked", "stops", "unwind_when_asked"]

# What asks a process to end, beside an interrupt: a supervisor, or a terminal that is closed.
_STOPS: Final = (signal.SIGTERM, signal.SIGHUP)
# They may come twice, to this process and to its group: so soon nobody asks for a second thing.
_SAME_SECONDS: Final = 1.0
_AGAIN_SECONDS: Final = 0.1

_asked: signal.Signals = signal.SIGINT
_process = 0
_asked_at = -_SAME_SECONDS


def stops() -> list[signal.Signals]:
    """Return the signals that ask a process to end: SIGHUP is none where it is ignored, as with ``nohup``."""
    hears_hangups = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hears_hangups else [])]


def unwind_when_asked(*, interrupts: bool = False) -> None:
    """Have the signals raise `KeyboardInterrupt`; those that are ignored (``nohup``) stay so.

    Where an interrupt is raised in a callback from C or in a destructor, Python prints it and goes on. Then it comes
    again a moment later.

    Parameters
    ----------
    interrupts
        Whether SIGINT is one of the signals, also where a shell has it ignored (a job in the background).
    """
    global _process  # noqa: PLW0603  (signals belong to a process)
    _process = os.getpid()
    for number in _STOPS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _unwind)
    if interrupts:
        signal.signal(signal.SIGINT, _unwind)
    sys.unraisablehook = _unraisable


def asked() -> signal.Signals:
    """Return which signal has interrupted the command: ``SIGINT`` if none of the others came."""
    return _asked


def _unwind(number: int, frame: FrameType | None) -> None:
    if os.getpid() != _process:  # a process that was forked has nothing of its own to close
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    global _asked, _asked_at  # noqa: PLW0603
    now = time.monotonic()
    if now - _asked_at < _SAME_SECONDS:
        return
    _asked, _asked_at = signal.Signals(number), now
    raise KeyboardInterrupt


def _unraisable(found: sys.UnraisableHookArgs) -> None:
    if not isinstance(found.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(found)
        return
    again = threading.Timer(_AGAIN_SECONDS, _ask_again)
    again.daemon = True
    again.start()


def _ask_again() -> None:
    global _asked_at  # noqa: PLW0603
    _asked_at = -_SAME_SECONDS
    os.kill(os.getpid(), _asked)

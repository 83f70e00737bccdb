"""The end of a process that has not begun: a signal that comes while the program is still being imported.

Importing it takes a second or more. Without this, a signal in that time would end the process as one that knows no
signals, and whoever started it would see a failure. `stream.running.ending.run` takes over from here.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from types import FrameType
from typing import Final

from stream.running.unwinding import stops

_LASTING: Final = ("worker", "learner", "serve")


def end_when_asked(arguments: Sequence[str]) -> None:
    """Have the signals of `stops` end the command with code 0 until it has begun, if it is one that runs for long.

    Parameters
    ----------
    arguments
        Of the command line.
    """
    if arguments and arguments[0] in _LASTING:
        for number in stops():
            signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> None:
    """End at once: nothing has been opened yet, and an exception in the middle of an import might be caught."""
    os._exit(0)

"""Locks between processes, by a file: the system gives one back when its process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

_DIGITS = 20


class Locked(Exception):
    """Another process has the lock.

    Attributes
    ----------
    holder
        Its id, or "unknown".
    """

    def __init__(self, holder: str) -> None:
        super().__init__(f"locked by process {holder}")
        self.holder = holder


class FileLock:
    """A lock that this process holds until `release`.

    Parameters
    ----------
    path
        Made if it is not there, and never removed: a lock on a removed file locks nobody out.

    Raises
    ------
    Locked
        Another process has it.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._file, _DIGITS).decode(errors="replace").strip()
            os.close(self._file)
            raise Locked(holder or "unknown") from None
        except OSError:  # the file system knows no locks
            os.close(self._file)
            raise
        os.truncate(self._file, 0)
        os.write(self._file, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Let others have it."""
        os.close(self._file)

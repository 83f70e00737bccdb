"""One process at a time in a folder: two brokers on the same files would destroy each other's log."""

import fcntl
import os
from pathlib import Path

from stream.exceptions import ServiceError

__all__ = ["FolderLock"]


class FolderLock:
    """Keeps a folder for this process until `release`, or until it ends, however it ends.

    Parameters
    ----------
    folder
        Made if it is not there.

    Raises
    ------
    ServiceError
        Another process has it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(folder / "in-use", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            other = os.read(self._file, 20).decode(errors="replace").strip()
            os.close(self._file)
            raise ServiceError(
                f"{folder} is in use by process {other or 'unknown'}: stop it, or choose another --directory"
            ) from None
        os.truncate(self._file, 0)
        os.write(self._file, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Let others have the folder."""
        os.close(self._file)

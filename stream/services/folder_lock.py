"""One process at a time in a folder: two brokers on the same files would destroy each other's log."""

from pathlib import Path

from features.file_lock import FileLock, Locked
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
        try:
            self._lock = FileLock(folder / "in-use")
        except Locked as locked:
            raise ServiceError(
                f"{folder} is in use by process {locked.holder}: stop it, or choose another --directory"
            ) from None

    def release(self) -> None:
        """Let others have the folder."""
        self._lock.release()

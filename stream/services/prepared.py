"""What every new broker would do again, kept: Java's cache of the classes it loads, and formatted storage.

Without them a start takes three times as long. Java takes a cache file [1]_ only for the same Java and the same jars,
so both are a part of the folder's name; what it cannot use it passes over.

.. [1] JEP 483, *Ahead-of-Time Class Loading & Linking* (Java 24).
"""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from features.caches import user_caches

__all__ = ["PreparedBroker"]

#: What formatting writes; a broker that has run has more beside.
STORAGE: Final = "storage"
_CLASSES: Final = "classes.aot"


class PreparedBroker:
    """A folder in the user's cache for one Java and one set of jars.

    Parameters
    ----------
    folder
        Where it is, or will be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, program: str, jars: Sequence[Path]) -> Self | None:
        """Return the one for a Java program and Kafka's jars, which need not be there yet; ``None`` without a home."""
        try:
            caches = user_caches()
        except RuntimeError:
            return None
        digest = hashlib.sha256()
        for path in (Path(program).resolve(), *jars):
            found = path.stat()
            digest.update(f"{path} {found.st_size} {found.st_mtime_ns}\n".encode())
        return cls(caches / f"broker-{digest.hexdigest()[:16]}")

    @property
    def there(self) -> bool:
        """Whether it has been prepared."""
        return self.folder.is_dir()

    @property
    def classes(self) -> Path:
        """Java's cache of loaded classes."""
        return self.folder / _CLASSES

    def java_options(self) -> list[str]:
        """Return the options with which Java takes its cache; none while it is not there."""
        return [f"-XX:AOTCache={self.classes}"] if self.classes.is_file() else []

    def format(self, data: Path) -> bool:
        """Format new storage; return whether that could be done."""
        kept = self.folder / STORAGE
        if not kept.is_dir():
            return False
        shutil.copytree(kept, data, dirs_exist_ok=True)
        return True

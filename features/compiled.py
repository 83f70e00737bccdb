"""numba, with a cache folder of its own for every version of the sources: kernels take `njit` from here.

numba checks whether the file of a function has changed, but not the files of the functions that it calls, and then runs
machine code of another layout on today's arrays. So the hash of the sources is part of the folder's name. Importing
this module sets the folder; a program that only reads or writes events never imports it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

import numba
from numba import njit

__all__ = ["cache_folder", "njit"]

_PACKAGES: Final = ("features", "offline", "stream")
_HASH_LENGTH: Final = 16


def cache_folder(root: Path, base: Path) -> Path:
    """Return the folder below ``base`` for the sources that lie in the packages below ``root``."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for source in sorted((root / package).rglob("*.py")):
            digest.update(source.relative_to(root).as_posix().encode() + b"\0" + source.read_bytes())
    name = digest.hexdigest()[:_HASH_LENGTH]
    return base if base.name == name else base / name  # a child process inherits the folder itself


def _use_own_cache() -> None:
    given = os.environ.get("NUMBA_CACHE_DIR")
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache_folder(Path(__file__).parent.parent, Path(given) if given else caches / "purchase-intent")
    # numba has read the variable when it was imported, and reads it again whenever it has changed.
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]


_use_own_cache()  # before anything is compiled

"""numba, with a cache folder of its own for every version of the sources: kernels take `njit` from here.

numba checks whether the file of a function has changed, but not the files of the functions that it calls, and then runs
machine code of another layout on today's arrays. So the hash of the sources is part of the folder's name, and nothing
of where they lie: a wheel runs what a clone of the same sources has compiled. Where neither ``NUMBA_CACHE_DIR`` nor the
user's own folder can be written, a temporary one serves, after one line that says so. Importing this module sets the
folder; a program that only reads or writes events never imports it.
"""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile, mkdtemp
from typing import Any, Final, TypeVar

import numba
from numba import njit
from numba.core import caching, event

from features.caches import user_caches
from features.compiling import tell

__all__ = ["cache_folder", "inlined", "kernel", "njit", "vectorised"]

logger = logging.getLogger(__name__)

_KEEP: Final = "set NUMBA_CACHE_DIR to a folder that can be written, or each start compiles again"

_Function = TypeVar("_Function", bound=Callable[..., Any])

_ROOT: Final = Path(__file__).parent.parent
_PACKAGES: Final = ("features", "offline", "stream")
_HASH_LENGTH: Final = 16

# numba before 0.62 has these two under private names.
_Cache: Any = getattr(caching, "CacheImpl", getattr(caching, "_CacheImpl", None))
_Locator: Any = getattr(
    caching, "UserProvidedCacheLocator", getattr(caching, "_UserProvidedCacheLocator", None)
)


def cache_folder(root: Path, base: Path) -> Path:
    """Return the folder below ``base`` for the sources that lie in the packages below ``root``."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for source in sorted((root / package).rglob("*.py")):
            digest.update(source.relative_to(root).as_posix().encode() + b"\0" + source.read_bytes())
    name = digest.hexdigest()[:_HASH_LENGTH]
    return base if base.name == name else base / name  # a child process inherits the folder itself


class OwnSources(_Locator):  # type: ignore[misc]
    """Where numba keeps what it compiles of these packages: by the place of a source below their root."""

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> Any:
        """Return the place of a function, ``None`` if it is none of ours."""
        ours = any(Path(py_file).is_relative_to(_ROOT / package) for package in _PACKAGES)
        return super().from_function(py_func, py_file) if ours else None

    @classmethod
    def get_suitable_cache_subpath(cls, py_file: str) -> str:
        """Return the folder below that of all sources."""
        return ".".join(Path(py_file).relative_to(_ROOT).parent.parts)


class _Compiling(event.Listener):
    """Tells that numba compiles; what a function calls is compiled within it."""

    def __init__(self) -> None:
        self._depth = 0

    def on_start(self, event: Any) -> None:
        self._depth += 1
        if self._depth == 1:
            tell(True)

    def on_end(self, event: Any) -> None:
        self._depth -= 1
        if self._depth == 0:
            tell(False)


event.register("numba:compile", _Compiling())  # type: ignore[no-untyped-call]


def _use_own_cache() -> bool:
    """Have numba keep what it compiles in a folder of these sources; return whether there is one that takes it."""
    folder = _writable_folder(_ROOT)
    if folder is None:
        return False
    # numba has read the variable when it was imported, and reads it again whenever it has changed.
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
    _Cache._locator_classes.insert(0, OwnSources)
    return True


def _writable_folder(root: Path) -> Path | None:
    """Return the folder for the sources below ``root``: the one that was set, the user's, or a temporary one."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    try:
        folder = cache_folder(root, Path(given) if given else user_caches())
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError) as error:  # without a home that is known, pathlib raises a RuntimeError
        reason = getattr(error, "strerror", None) or str(error)
    try:
        temporary = Path(mkdtemp(prefix="intent-numba-"))
    except OSError:
        logger.warning("nothing that is compiled can be kept (%s): %s", reason, _KEEP)
        return None
    atexit.register(_remove, temporary, os.getpid())
    logger.warning("what is compiled is kept in %s until the end (%s): %s", temporary, reason, _KEEP)
    return cache_folder(root, temporary)


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked child leaves it to its parent
        shutil.rmtree(folder, ignore_errors=True)


def _njit_without_cache(*functions: Any, **options: Any) -> Any:
    return numba.njit(*functions, **{**options, "cache": False})


def kernel(function: _Function) -> _Function:
    """Compile a function that makes no array, and only reads and fills those that it is given.

    numba then counts no references to them. In a reader of many small functions that is most of the time: a call takes
    some nanoseconds, and so does each reference that it counts.
    """
    return _uncounted(function)


def inlined(function: _Function) -> _Function:
    """Compile a small function into each `kernel` that calls it."""
    return _uncounted(function, forceinline=True)


def vectorised(function: _Function) -> _Function:
    """Compile a small function into each `kernel` that calls it, so that a loop works on several numbers at a time.

    For that, sums are added in the order that suits the machine, the same each time, and nobody looks whether a divisor
    is zero.
    """
    return _uncounted(function, forceinline=True, error_model="numpy", fastmath={"reassoc"})


def _uncounted(function: _Function, **options: Any) -> _Function:
    options |= {"_nrt": False}
    compiled: Any = njit(cache=True, nogil=True, **options)(function)
    return compiled  # type: ignore[no-any-return]


if not _use_own_cache():  # before anything is compiled
    njit = _njit_without_cache

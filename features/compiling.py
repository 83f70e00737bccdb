"""Whether machine code is being made: that takes up to a minute, once on a machine, and whoever shows progress says so.

`features.compiled` tells it. This module imports nothing, so that commands without kernels can show progress, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["CompilationWatcher", "tell", "watched"]

#: Called with true where compiling begins, and with false where it ends.
CompilationWatcher = Callable[[bool], None]

_watchers: list[CompilationWatcher] = []


@contextmanager
def watched(watcher: CompilationWatcher) -> Iterator[None]:
    """Tell a watcher while the block runs.

    Examples
    --------
    >>> with watched(print):
    ...     tell(True)
    True
    """
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


def tell(begun: bool) -> None:
    """Tell all watchers that compiling begins or ends."""
    for watcher in list(_watchers):
        watcher(begun)

"""How far long work has come, told to whoever wants to show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

OnProgress = Callable[[int, int], None]
#: Opens a step of long work by its description and yields where to report what is done and in all.
Progress = Callable[[str], AbstractContextManager[OnProgress]]


@contextmanager
def silent(description: str) -> Iterator[OnProgress]:
    """Show no progress."""
    yield lambda done, total: None

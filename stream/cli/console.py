"""What commands print with: progress and remarks on standard error, results on standard output."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["errors", "output", "print_json", "progress"]


def output() -> Console:
    """Return the console for results."""
    from rich.console import Console

    return Console(highlight=False)


def errors() -> Console:
    """Return the console for remarks, which never mix with results."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """Print a value as one line of JSON on standard output."""
    print(json.dumps(value, ensure_ascii=False, default=str), flush=True)


@contextmanager
def progress(description: str) -> Iterator[Callable[[int, int], None]]:
    """Draw a bar on the terminal's standard error while the block runs; elsewhere draw nothing.

    Yields
    ------
    Callable[[int, int], None]
        Takes what is done and what there is to do in all; a total of 0 means that nobody knows.

    Examples
    --------
    >>> with progress("Reading") as on_progress:
    ...     on_progress(1, 2)
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    console = errors()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=False) as bar:
        task = bar.add_task(description, total=None)

        def on_progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total or None)

        yield on_progress

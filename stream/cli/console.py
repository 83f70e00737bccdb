"""What commands print with: progress and remarks on standard error, results on standard output."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Bar", "errors", "output", "print_json", "progress"]


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


class Bar(Protocol):
    """What a command tells of its progress."""

    def __call__(self, done: int, total: int) -> None:
        """Take what is done and what there is to do in all; a total of 0 means that nobody knows."""
        ...

    def note(self, text: str) -> None:
        """Show a few words behind the counts."""
        ...


@contextmanager
def progress(description: str, *, lines: bool = False) -> Iterator[Bar]:
    """Draw a bar on the terminal's standard error while the block runs; elsewhere nothing, or one line as it begins.

    Yields
    ------
    Bar
        A function of what is done and what there is to do in all.

    Examples
    --------
    >>> with progress("Reading") as on_progress:
    ...     on_progress(1, 2)
    """
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    console = errors()
    if lines and not console.is_terminal:
        console.print(f"{description} ...", soft_wrap=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=False) as bar:
        task = bar.add_task(description, total=None, counts="", note="")

        class _Drawn:
            def __call__(self, done: int, total: int) -> None:
                counts = f"{done:,}/{total:,}" if total else f"{done:,}"
                bar.update(task, completed=done, total=total or None, counts=counts)

            def note(self, text: str) -> None:
                bar.update(task, note=text)

        yield _Drawn()

"""What commands print with: progress and remarks on standard error, results on standard output."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["Bar", "add_columns", "errors", "output", "print_json", "progress"]


def output() -> Console:
    """Return the console for results."""
    from rich.console import Console

    return Console(highlight=False)


def errors() -> Console:
    """Return the console for remarks, which never mix with results."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def add_columns(table: Table, folded: Collection[str], *names: str, right: Collection[str] = ()) -> None:
    """Add columns to a table so that nothing is cut where the terminal is narrow.

    Parameters
    ----------
    folded
        Columns of names and texts of any length: they give room, and go on in the next line.
    names
        All columns, in order. Those that are not folded stay as wide as what they hold.
    right
        Columns of numbers.
    """
    for name in names:
        table.add_column(
            name,
            justify="right" if name in right else "left",
            overflow="fold",
            no_wrap=name not in folded,
        )


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

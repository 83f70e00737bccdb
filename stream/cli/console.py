"""What commands print with: progress and remarks on standard error, results on standard output."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from features.compiling import CompilationWatcher, watched

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

__all__ = ["Bar", "add_columns", "bars", "errors", "output", "print_json", "progress"]

# Where no bar can be drawn, long work is not silent for longer.
_SILENT_SECONDS = 30.0
# Of a terminal; some say that they have no columns.
_NARROWEST = 20
_COMPILING = "(compiling: up to a minute, once on this machine)"


def output() -> Console:
    """Return the console for results."""
    return _console(stderr=False)


def errors() -> Console:
    """Return the console for remarks, which never mix with results."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False)
    console.width = max(console.width, _NARROWEST)
    return console


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
    """Draw a bar on the terminal's standard error while the block runs.

    Elsewhere long work prints a line every half minute, and one as it begins where ``lines`` is set.

    Yields
    ------
    Bar
        A function of what is done and what there is to do in all.

    Examples
    --------
    >>> with progress("Reading") as on_progress:
    ...     on_progress(1, 2)
    """
    console = errors()
    if lines and not console.is_terminal:
        console.print(f"{description} ...", soft_wrap=True)
    with bars(transient=False) as step, step(description) as bar:
        yield bar


@contextmanager
def bars(*, transient: bool = True) -> Iterator[Callable[[str], AbstractContextManager[Bar]]]:
    """Draw several bars below each other, one for each open step; without a terminal as `progress` does.

    Yields
    ------
    Callable
        Opens a step by its description. Steps may be opened within steps. Bars that are not ``transient`` stay when
        their step has ended.
    """
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = errors()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with ExitStack() as stack:
        drawn = stack.enter_context(
            Progress(*columns, console=console, disable=not console.is_terminal, transient=transient)
        )

        class _Step:
            def __init__(self, description: str) -> None:
                self.task = drawn.add_task(description, total=None, counts="", note="")

            def __call__(self, done: int, total: int) -> None:
                counts = f"{done:,}/{total:,}" if total else f"{done:,}"
                drawn.update(self.task, completed=done, total=total or None, counts=counts)

            def note(self, text: str) -> None:
                drawn.update(self.task, note=text)

        @contextmanager
        def step(description: str) -> Iterator[Bar]:
            opened = _Step(description)
            try:
                yield opened
            finally:
                if transient:
                    drawn.remove_task(opened.task)

        stack.enter_context(watched(_noting(drawn)))
        if not console.is_terminal:
            stack.enter_context(_told(console, drawn))
        yield step


def _noting(drawn: Progress) -> CompilationWatcher:
    """Return what notes beside the innermost step that machine code is being made."""
    before: dict[Any, str] = {}

    def note(begun: bool) -> None:
        if begun and drawn.tasks:
            task = drawn.tasks[-1]
            before[task.id] = task.fields["note"]
            drawn.update(task.id, note=_COMPILING)
        elif not begun:
            for task in drawn.tasks:
                if task.id in before and task.fields["note"] == _COMPILING:
                    drawn.update(task.id, note=before[task.id])
            before.clear()

    return note


@contextmanager
def _told(console: Console, drawn: Progress) -> Iterator[None]:
    """Print the innermost step that is open, whenever half a minute has passed."""
    from features.durations import duration_short

    began, ended = time.monotonic(), threading.Event()

    def tell() -> None:
        while not ended.wait(_SILENT_SECONDS):
            if drawn.tasks:
                task, passed = drawn.tasks[-1], duration_short(1000 * (time.monotonic() - began))
                words = " ".join(filter(None, (task.description, task.fields["counts"], task.fields["note"])))
                console.print(f"{words} ({passed})", soft_wrap=True)

    telling = threading.Thread(target=tell, name="progress", daemon=True)
    telling.start()
    try:
        yield
    finally:
        ended.set()
        telling.join()

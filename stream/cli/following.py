"""How `intent watch` follows a topic: a table that changes, or lines, until it is interrupted or nobody reads them."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from stream.clients.topic_watcher import TopicWatcher

# Nobody should wait longer without a word.
_SILENT_SECONDS = 10.0
_PER_SECOND = 4


class Place(TypedDict):
    """Where to begin and to end, as watchers have it."""

    from_beginning: bool
    limit: int | None
    group: str | None


class Shown(Protocol):
    """A table of what comes, as rich draws it."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Return what is shown."""
        ...

    def add(self, message: Any, /) -> None:
        """Take what has come."""
        ...


def follow(watcher: TopicWatcher[Any], shown: Shown | None, *, place: Place, filters: str) -> None:
    """Show what comes in a table, or print it as JSON lines where there is none.

    Parameters
    ----------
    place
        Where the watcher begins.
    filters
        The options that say what is shown.
    """
    try:
        with (
            suppress(KeyboardInterrupt),  # Ctrl-C is the way to end it
            watcher,
            _word(_silence(watcher, place, filters)) as spoken,
        ):
            _print(watcher, spoken) if shown is None else _show(watcher, shown, spoken)
    except BrokenPipeError:
        # The reader has what it wanted (`intent watch | head`). Nothing can be flushed to it any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_erased(customer: str) -> None:
    """Print whom to forget."""
    from stream.cli.console import print_json

    print_json({"customer_id": customer, "erased": True})


def _print(watcher: TopicWatcher[Any], spoken: threading.Event) -> None:
    import msgspec

    for message in watcher:
        spoken.set()
        print(msgspec.json.encode(message).decode(), flush=True)


def _show(watcher: TopicWatcher[Any], shown: Shown, spoken: threading.Event) -> None:
    from rich.live import Live

    from stream.cli.console import output

    with Live(shown, console=output(), refresh_per_second=_PER_SECOND):
        for message in watcher:
            spoken.set()
            shown.add(message)


@contextmanager
def _word(sentences: Iterator[str]) -> Iterator[threading.Event]:
    """Print sentences on standard error, one each time, until the event that is yielded is set."""
    spoken = threading.Event()

    def wait() -> None:
        while not spoken.wait(_SILENT_SECONDS):
            said = next(sentences, None)
            if said is None:
                return
            if said and not spoken.is_set():  # nothing has come while the sentence was made
                # The table gives way to what is printed on the stream that it has put in place of standard error.
                print(f"intent: {said}", file=sys.stderr, flush=True)

    waiting = threading.Thread(target=wait, name="silence", daemon=True)
    waiting.start()
    try:
        yield spoken
    finally:
        spoken.set()
        waiting.join()


def _silence(watcher: TopicWatcher[Any], place: Place, filters: str) -> Iterator[str]:
    """Yield why nothing is shown, each reason once; empty where there is no new one."""
    from stream.texts import counted

    if not watcher.messages:
        hint = "" if place["from_beginning"] else "; --from-beginning shows those of before"
        workers = watcher.workers()
        why = "does a worker run? (`intent worker`)" if workers is None else workers.sentence()
        yield f"no {watcher.kind}s yet: {why}{hint}"
    while not watcher.messages:
        yield ""
    came = counted(watcher.messages, watcher.kind)
    yield f"{came} came, but none that you asked for: see {filters}{watcher.hint()}"

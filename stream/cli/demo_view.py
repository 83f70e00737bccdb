"""What `intent demo` shows: the stream while it streams, and what came of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from stream.cli.console import add_columns, errors, output
from stream.cli.last_look import Foreseen, LastLook
from stream.cli.watch import Board, age, cells_of
from stream.texts import counted, minute

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress, TaskID

    from offline.uplift.simulated import Trial
    from stream.messages.score import Score

_HOTTEST: Final = 12
_PER_SECOND: Final = 4
# The rate is that of the last seconds: of so many looks.
_LOOKS: Final = 30
# Nobody needs to know an expected number of customers more exactly.
_LEAST_EXPECTED: Final = 0.01
# Digits behind the point tell nobody more about so large a factor.
_WHOLE_FROM: Final = 10.0

# What a newcomer cannot guess of the summary.
_SHARE: Final = (
    "share: part of the best possible AUC above .5 that was reached. It is an expected value: each event counts with "
    "its exact probability of a purchase, which the simulation knows. The two AUCs are measured on what happened, so "
    "chance is in them, and they give a slightly different share."
)


class Screen:
    """A bar with the rate, and below it the hottest of the newest scores.

    Parameters
    ----------
    bar
        Draws the progress; its tasks have the field ``rate``.
    """

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task: TaskID = bar.add_task("Streaming", total=None, counts="", rate="")
        self._board: Board | None = None
        self._looks: deque[tuple[float, int]] = deque(maxlen=_LOOKS)

    def on_progress(self, done: int, total: int) -> None:
        """Take events done and events in all."""
        self._looks.append((time.monotonic(), done))
        (began, before), (now, _) = self._looks[0], self._looks[-1]
        rate = f"{(done - before) / (now - began):,.0f} events/s" if done > before else ""
        self._bar.update(self._task, completed=done, total=total, counts=f"{done:,}/{total:,}", rate=rate)

    def on_scores(self, scores: list[Score]) -> None:
        """Take the newest scores: they replace those of before."""
        board = Board(shown=_HOTTEST, name="Hottest of the newest scores", caption="")
        for score in scores:
            board.add(score)
        self._board = board

    def __rich__(self) -> RenderableType:
        """Return what is shown."""
        from rich.console import Group

        return Group(self._bar, *([] if self._board is None else [self._board]))


@contextmanager
def streaming() -> Iterator[Screen]:
    """Draw the screen on standard error while the block runs; where that is no terminal, one line as it begins."""
    from rich.live import Live
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = errors()
    if not console.is_terminal:
        console.print("Streaming ...", soft_wrap=True)
    fields = (TextColumn(f"{{task.fields[{name}]}}") for name in ("counts", "rate"))
    bar = Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(20), *fields, TimeElapsedColumn(),
        console=console, auto_refresh=False,
    )  # fmt: skip
    screen = Screen(bar)
    if not console.is_terminal:
        yield screen
        return
    with Live(screen, console=console, refresh_per_second=_PER_SECOND, transient=True):
        yield screen


def hottest(last: LastLook) -> dict[str, Any]:
    """Return the most likely buyers for machines, and how many of them were to be expected to buy."""
    shown = last.customers[:_HOTTEST]
    return {
        "hottest": [
            {
                "customer_id": score.customer_id,
                "purchase_intent": score.purchase_intent,
                "as_of": score.as_of,
                "bought_after_seconds": None if bought_ms is None else bought_ms / 1000,
            }
            for score, bought_ms in shown
        ],
        "hottest_expected": last.expected(shown),
    }


def effects(found: Trial | None) -> dict[str, Any] | None:
    """Return the measured uplift and the true one for machines; ``None`` where nothing was compared."""
    from offline.report.plain import plain
    from offline.uplift.analysis import CONVERSION

    if found is None or found.truth is None:
        return None
    measured = found.uplift.overall[CONVERSION].at()
    return dict(plain({**measured._asdict(), "true_lift": found.truth.lift}))


def show(last: LastLook, summary: dict[str, Any], uplift: Trial | None = None) -> None:
    """Print who was about to buy and what came of it, what actions brought, the summary, and what to do next."""
    from rich import box
    from rich.table import Table

    console = output()
    for part in _foreseen(last):
        console.print(part)
    if uplift is not None:
        console.print(f"{uplift_sentences(uplift)}\n")
    rows = Table(title="Summary", show_header=False, box=box.SIMPLE, pad_edge=False)
    for name, value in summary.items():
        rows.add_row(name.replace("_", " "), _text(value))
    console.print(rows)
    if summary["share"] is not None:
        console.print(f"{_SHARE}\n")
    console.print(
        "Next, with your own data: `intent convert csv` makes a log, `intent train LOG -o bundle` trains on it, "
        "`intent services` and `intent worker --bundle bundle` score live events.",
        soft_wrap=True,
    )


def _foreseen(last: LastLook) -> Iterator[RenderableType]:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from features.durations import duration_words

    horizon = duration_words(last.horizon_ms)
    if not last.customers:
        yield f"No score was open {horizon} before the log ended: nobody can be shown whose outcome is known.\n"
        return
    table = Table(
        title=f"Most likely to buy within {horizon}, at {minute(last.at_ms)}", box=box.SIMPLE_HEAD,
        pad_edge=False, collapse_padding=True,
    )  # fmt: skip
    names = ("customer", "intent", "band", "segment", "action", "age", "bought")
    add_columns(table, ("customer", "segment"), *names, right=("intent", "age"))
    shown = last.customers[:_HOTTEST]
    for score, bought_ms in shown:
        cells = [
            *cells_of(score),
            age(last.at_ms - score.as_of),
            "no" if bought_ms is None else _after(bought_ms),
        ]
        table.add_row(*map(Text, cells))
    yield table
    bought = sum(one.bought_ms is not None for one in shown)
    yield (
        f"The moment is {horizon} before the last of these events, so it is known who bought: {bought} of these "
        f"{len(shown)}, {last.buyers:,} of all {counted(len(last.customers), 'customer')} with an open score."
    )
    yield f"{_expectation(last, shown, horizon)}\n"


def _expectation(last: LastLook, shown: list[Foreseen], horizon: str) -> str:
    """Return how many buyers were to be expected: at the customers' last events, and at the moment of the table."""
    promised, expected = sum(one.score.purchase_intent for one in shown), last.expected(shown)
    began = (
        f"An intent is of the customer's last event: at those moments, {_few(promised)} of them were to be expected to "
        f"buy within {horizon}. They have been silent since (age), and customers who are silent buy less often."
    )
    if expected is None:
        return began
    return (
        f"{began} By what such customers did earlier in this log after as long a silence, {_few(expected)} of them "
        "were still to be expected to buy."
    )


def uplift_sentences(found: Trial) -> str:
    """Return what the actions brought, and what they truly brought."""
    from features.durations import duration_words
    from offline.uplift import words

    measured, truth = words.headline(found.uplift), found.truth
    if truth is None:
        return measured
    compared = counted(len(found.uplift.outcomes.customers), "customer")
    window = duration_words(found.uplift.window_ms)
    return (
        f"{measured} The truth, which only a simulation knows: of these {compared}, {words.share(truth.treated)} buy "
        f"within {window} if they are contacted, {words.share(truth.held_out)} if not."
    )


def pace_words(factor: float) -> str:
    """Return how fast events pass that are so many times as fast as life.

    Examples
    --------
    >>> pace_words(14.98), pace_words(2.53), pace_words(1.0)
    ('15 times as fast as they were', '2.5 times as fast as they were', 'as fast as they were')
    """
    if factor <= 1:
        return "as fast as they were"
    return f"{factor:,.{0 if factor >= _WHOLE_FROM else 1}f} times as fast as they were"


def _few(count: float) -> str:
    """Return an expected number of customers, with more digits where it is small.

    Examples
    --------
    >>> _few(4.46), _few(0.8), _few(0.001)
    ('4.5', '0.80', 'less than 0.01')
    """
    if count < _LEAST_EXPECTED:
        return f"less than {_LEAST_EXPECTED}"
    return f"{count:.1f}" if count >= 1 else f"{count:.2f}"


def _after(ms: int) -> str:
    from features.durations import duration_rounded

    return f"after {duration_rounded(ms / 1000)}"


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return (
        f"{value:,.4g}"
        if isinstance(value, float) and value <= 1
        else f"{value:,.0f}"
        if isinstance(value, float)
        else (f"{value:,}" if isinstance(value, int) else str(value))
    )

"""What the commands of the offline lab share: their options, the workspace made of them, and their bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from offline.report.pages import Written
    from offline.report.section import Section
    from offline.report.workspace import Workspace

__all__ = ["bars", "run_one", "show", "stage_command", "workspace_of"]

Input = Annotated[
    Path, typer.Argument(metavar="LOG_OR_TABLE", help="An event log (Parquet), or a table (CSV, Parquet).")
]
Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the pages and figures.")
]
Target = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN", help="Table: what is to be predicted. Default: inferred.", show_default=False
    ),
]
Positive = Annotated[
    str | None,
    typer.Option(
        metavar="VALUE", help="Table: the target's positive value. Default: inferred.", show_default=False
    ),
]
Kinds = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        metavar="COLUMN=KIND",
        help="Table: a column is numeric, categorical, boolean, date or identifier. Repeatable.",
        show_default=False,
    ),
]
Leaks = Annotated[
    list[str] | None,
    typer.Option(
        "--leak", metavar="COLUMN", help="Table: a column knows the target. Repeatable.", show_default=False
    ),
]
NotLeaks = Annotated[
    list[str] | None,
    typer.Option(
        "--not-leak",
        metavar="COLUMN",
        help="Table: a column only seems to know the target. Repeatable.",
        show_default=False,
    ),
]
Drops = Annotated[
    list[str] | None,
    typer.Option(
        "--drop", metavar="COLUMN", help="Table: do not use a column. Repeatable.", show_default=False
    ),
]
Time = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Table: the column that orders rows in time (dates, names of months).",
        show_default=False,
    ),
]
Customer = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Table: the column that names the customer.", show_default=False),
]
DropDuplicates = Annotated[
    bool,
    typer.Option("--drop-duplicates", help="Table: leave out rows that equal an earlier one in everything."),
]
Horizon = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION",
        help="Log: how far the prediction looks: 30m, 12h, 30d. Default: 30m, for a log of orders only 30d.",
        show_default=False,
    ),
]
Quick = Annotated[
    bool, typer.Option("--quick", help="Fast rather than exact: fewer events, folds and trials.")
]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="Equal seeds and data give equal reports.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object.")]


def workspace_of(
    path: Path,
    output: Path,
    *,
    target: str | None = None,
    positive: str | None = None,
    kinds: list[str] | None = None,
    leaks: list[str] | None = None,
    not_leaks: list[str] | None = None,
    drops: list[str] | None = None,
    time: str | None = None,
    customer: str | None = None,
    drop_duplicates: bool = False,
    horizon: str | None = None,
    quick: bool = False,
    seed: int = 0,
    progress: Any = None,
) -> Workspace:
    """Return the workspace that the options describe."""
    from offline.exceptions import MissingExtra

    try:
        from offline.models import silent
        from offline.report.workspace import LabOptions, Workspace
        from offline.tables import TableOptions
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "a package") from None
    from stream.cli.convert import pairs
    from stream.settings import load_settings, parse_duration

    settings = load_settings()
    named = pairs(kinds or [], "--kind", "Region=categorical", last=True)
    table = TableOptions(
        target,
        positive,
        named,
        tuple(leaks or ()),
        tuple(not_leaks or ()),
        tuple(drops or ()),
        time,
        customer,
        drop_duplicates=drop_duplicates,
    )
    options = LabOptions(
        table=table,
        horizon_ms=None if horizon is None else round(parse_duration(horizon).total_seconds() * 1000),
        timezone=settings.timezone,
        currency=settings.currency,
        lateness_ms=settings.lateness_ms,
        ttl_ms=settings.state_ttl_ms,
        seed=seed,
        quick=quick,
    )
    if not path.exists():
        raise typer.BadParameter(f"there is nothing at {path}", param_hint="LOG_OR_TABLE")
    return Workspace(path, output, options, silent if progress is None else progress)


def stage_command(stage: str, text: str) -> Callable[..., None]:
    """Return the command that runs one stage with the options that all stages take; ``text`` is its help."""

    def command(  # noqa: PLR0917  (options of a command)
        path: Input,
        output: Output,
        target: Target = None,
        positive: Positive = None,
        kinds: Kinds = None,
        leaks: Leaks = None,
        not_leaks: NotLeaks = None,
        drops: Drops = None,
        time: Time = None,
        customer: Customer = None,
        drop_duplicates: DropDuplicates = False,
        horizon: Horizon = None,
        quick: Quick = False,
        seed: Seed = 0,
        as_json: AsJson = False,
    ) -> None:
        with bars() as progress:
            workspace = workspace_of(
                path, output, target=target, positive=positive, kinds=kinds, leaks=leaks, not_leaks=not_leaks,
                drops=drops, time=time, customer=customer, drop_duplicates=drop_duplicates, horizon=horizon,
                quick=quick, seed=seed, progress=progress,
            )  # fmt: skip
            section, written = run_one(stage, workspace)
        show([section], written, as_json=as_json)

    command.__doc__ = text
    return command


def run_one(key: str, workspace: Workspace) -> tuple[Section, Written]:
    """Run one stage as a command does: write its page and its figures."""
    from offline.report.pages import write_section
    from offline.report.stages import choose, run_stage

    (stage,) = choose(only=[key])
    section = run_stage(stage, workspace)
    return section, write_section(workspace.directory, section, subtitle=workspace.path.name)


def show(sections: Sequence[Section], written: Written, *, as_json: bool) -> None:
    """Print the sentences of sections, or the figures that were written."""
    if as_json:
        typer.echo(written.json.read_text(encoding="utf-8").strip())
        return
    from rich.markup import escape

    from stream.cli.console import output

    screen = output()
    for section in sections:
        screen.print(f"[bold]{escape(section.title)}[/bold]")
        for sentence in section.summary:
            screen.print(f"  {escape(sentence)}")
    screen.print(f"Page: {escape(str(written.html))}, figures: {escape(str(written.json))}", soft_wrap=True)


@contextmanager
def bars() -> Iterator[Callable[[str], AbstractContextManager[Callable[[int, int], None]]]]:
    """Draw several bars below each other, one for each step that is open; on no terminal, nothing.

    Yields
    ------
    Callable
        Opens a step by its description and yields what takes done and total, like `stream.cli.console.progress`.
        Steps may be opened within steps.
    """
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from stream.cli.console import errors

    console = errors()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as drawn:

        @contextmanager
        def step(description: str) -> Iterator[Callable[[int, int], None]]:
            task = drawn.add_task(description, total=None, counts="")

            def on_progress(done: int, total: int) -> None:
                counts = f"{done:,}/{total:,}" if total else f"{done:,}"
                drawn.update(task, completed=done, total=total or None, counts=counts)

            try:
                yield on_progress
            finally:
                drawn.remove_task(task)

        yield step

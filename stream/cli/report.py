"""`intent report`: all analyses of a log or a table on one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli import checks
from stream.cli.lab import Found, lab_command
from stream.cli.lab_options import OF_LOGS, Balance, Balanced, Cost, Effect, Margin, Value

if TYPE_CHECKING:
    from offline.chapters.workspace import Workspace
    from offline.report.section import Section

Only = Annotated[
    list[str] | None,
    typer.Option(
        metavar="STAGE", help="Run only this stage; --stages lists them. Repeatable.", show_default=False
    ),
]
Skip = Annotated[
    list[str] | None,
    typer.Option(metavar="STAGE", help="Leave out this stage. Repeatable.", show_default=False),
]
Budget = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="List the N customers to contact (budget.csv), with how many of them are expected to buy.",
        show_default=False,
        rich_help_panel=OF_LOGS,
    ),
]
Against = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        callback=checks.existing_path,
        help="Folder of an earlier report: say what changed since.",
        show_default=False,
    ),
]
Title = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="Title of the page. Default: the file's name.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add `report`."""
    app.command()(lab_command(report))


def _list_stages(wanted: bool) -> None:
    if wanted:
        from offline.chapters.stages import STAGES

        for stage in STAGES:
            typer.echo(f"{stage.key:<14} {stage.title}{'' if 'table' in stage.inputs else ' (logs only)'}")
        raise typer.Exit


Stages = Annotated[
    bool, typer.Option("--stages", callback=_list_stages, is_eager=True, help="List the stages and exit.")
]


def report(  # noqa: PLR0917  (options of a command)
    workspace: Workspace,
    only: Only = None,
    skip: Skip = None,
    title: Title = None,
    balance: Balanced = Balance.NONE,
    value: Value = None,
    margin: Margin = None,
    cost: Cost = None,
    effect: Effect = None,
    budget: Budget = None,
    against: Against = None,
    stages: Stages = False,
) -> Found:
    """Write a full report on a log or a table.

    The page (report.html) opens without a network. It has a summary in plain words, charts and tables; all figures
    are beside it as JSON, and every stage has its own page. For a log, a bundle that a worker can score with is also
    trained.

    The target, the kinds of columns and columns that leak the target are inferred and shown; options overrule them.

    Examples
    --------
    - `intent report events.parquet -o report`: report on a log
    - `intent report orders.parquet -o report --horizon 30d --skip bundle`: predict orders within 30 days; train no
      bundle
    - `intent report orders.parquet --budget 500 -o report`: also list the 500 customers to contact
    - `intent report events.parquet --against march -o april`: also say what changed since
      that report
    - `intent report sessions.csv --target Revenue --leak PageValues -o report`: report on a table of sessions
    - `intent report customers.csv --kind postcode=categorical --quick --json -o report`: take a quick first look
    """
    from features.counts import counted
    from offline.chapters.earlier.reference import REFERENCE, read_earlier, reference_of
    from offline.chapters.earlier.section import compare_with_earlier
    from offline.chapters.opening.first_screen import OPENED, first_screen
    from offline.chapters.stages import choose, run_stages
    from offline.chapters.workspace import ContactAssumptions
    from offline.report.pages import write_report, write_section

    workspace.options = workspace.options._replace(
        balance=balance.value, contacts=ContactAssumptions(value, margin, cost, effect), budget=budget
    )
    output, name = workspace.directory, workspace.path.name
    chosen = choose(only or (), skip or ())
    if budget is None and "budget" not in (only or ()):
        chosen = tuple(stage for stage in chosen if stage.key != "budget")
    earlier = None if against is None else read_earlier(against)
    note = workspace.note

    def write(section: Section) -> None:
        opening = first_screen(workspace, [section]) if section.key in OPENED else None
        write_section(output, section, opening=opening, subtitle=name, note=note)

    sections, about, subtitle = run_stages(workspace, chosen, on_section=write), dict(workspace.about()), name
    if workspace.one_outcome:  # then nothing was measured that one could compare
        subtitle += f": {counted(len(workspace.log), 'event')}."
        note += " Nothing is compared with the earlier report." if earlier is not None else ""
    else:
        about[REFERENCE] = reference = reference_of(workspace, sections)
        problem = workspace.problem
        subtitle += (
            f": {counted(len(problem), problem.unit)}; {problem.prevalence:.1%} with {problem.target_name}."
        )
        if earlier is not None:
            changes = compare_with_earlier(workspace, earlier, reference)
            write(changes)
            sections.insert(0, changes)
    opening = first_screen(workspace, sections)
    written = write_report(
        output,
        title or f"Report on {workspace.path.stem}",
        sections,
        opening=opening,
        subtitle=subtitle,
        note=note,
        about=about,
    )
    return Found(sections, written, note=note, opening=opening)

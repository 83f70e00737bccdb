"""`intent report`: from a log or a table to a page with everything that the lab finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli.lab import Found, lab_command
from stream.cli.lab_options import Balance, Balanced, Cost, Effect, Value

if TYPE_CHECKING:
    from offline.chapters.workspace import Workspace

Only = Annotated[
    list[str] | None,
    typer.Option(
        metavar="STAGE", help="Run this stage only. Repeatable; --stages lists them.", show_default=False
    ),
]
Skip = Annotated[
    list[str] | None, typer.Option(metavar="STAGE", help="Leave a stage out. Repeatable.", show_default=False)
]
Title = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Headline. Default: the file's name.", show_default=False)
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
    bool, typer.Option("--stages", callback=_list_stages, is_eager=True, help="List the stages and end.")
]


def report(  # noqa: PLR0917  (options of a command)
    workspace: Workspace,
    only: Only = None,
    skip: Skip = None,
    title: Title = None,
    balance: Balanced = Balance.NONE,
    value: Value = None,
    cost: Cost = None,
    effect: Effect = 0.1,
    stages: Stages = False,
) -> Found:
    """Look at a log or a table from all sides and write one page that opens without a network.

    The page (report.html) has pictures, tables and a summary in plain words; all figures stand beside it as JSON,
    and every stage has a page and figures of its own. A log also gets a bundle that a worker can score with.

    Kinds of columns, the target, and columns that seem to know the target are inferred and shown; options overrule it.

    **Examples**

    - `intent report events.parquet -o report`
    - `intent report orders.parquet -o report --horizon 30d --skip bundle`
    - `intent report sessions.csv --target Revenue --leak PageValues -o report`
    - `intent report customers.csv --kind postcode=categorical --quick --json -o report`
    """
    from offline.chapters.stages import choose, run_stages
    from offline.chapters.workspace import ContactAssumptions
    from offline.report.pages import write_report, write_section

    workspace.options = workspace.options._replace(
        balance=balance.value, contacts=ContactAssumptions(value, cost, effect)
    )
    output, name = workspace.directory, workspace.path.name
    chosen = choose(only or (), skip or ())
    sections = run_stages(
        workspace, chosen, on_section=lambda section: write_section(output, section, subtitle=name)
    )
    problem = workspace.problem
    written = write_report(
        output,
        title or f"Report on {workspace.path.stem}",
        sections,
        subtitle=f"{name}: {len(problem):,} {problem.unit}s; target: {problem.target_name} "
        f"({problem.prevalence:.1%} positive).",
        about=workspace.about(),
    )
    return Found(sections, written)

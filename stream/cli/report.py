"""`intent report`: from a log or a table to a page with everything that the lab finds."""

from __future__ import annotations

from typing import Annotated

import typer

from stream.cli.lab import (
    AsJson,
    Customer,
    DropDuplicates,
    Drops,
    Horizon,
    Input,
    Kinds,
    Leaks,
    NotLeaks,
    Output,
    Positive,
    Quick,
    Seed,
    Target,
    Time,
    bars,
    show,
    workspace_of,
)

Only = Annotated[
    list[str] | None,
    typer.Option(
        metavar="STAGE", help="Run just this stage. Repeatable; --stages lists them.", show_default=False
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
    app.command()(report)


def _list_stages(wanted: bool) -> None:
    if wanted:
        from offline.report.stages import STAGES

        for stage in STAGES:
            typer.echo(f"{stage.key:<14} {stage.title}{'' if 'table' in stage.inputs else ' (logs only)'}")
        raise typer.Exit


Stages = Annotated[
    bool, typer.Option("--stages", callback=_list_stages, is_eager=True, help="List the stages and end.")
]


def report(  # noqa: PLR0917  (options of a command)
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
    only: Only = None,
    skip: Skip = None,
    title: Title = None,
    quick: Quick = False,
    seed: Seed = 0,
    as_json: AsJson = False,
    stages: Stages = False,
) -> None:
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
    with bars() as progress:
        workspace = workspace_of(
            path, output, target=target, positive=positive, kinds=kinds, leaks=leaks, not_leaks=not_leaks, drops=drops,
            time=time, customer=customer, drop_duplicates=drop_duplicates, horizon=horizon, quick=quick,
            seed=seed, progress=progress,
        )  # fmt: skip
        from offline.report.pages import write_report, write_section
        from offline.report.stages import choose, run_stages

        chosen = choose(only or (), skip or ())
        sections = run_stages(
            workspace, chosen, on_section=lambda section: write_section(output, section, subtitle=path.name)
        )
        problem = workspace.problem
        written = write_report(
            output,
            title or f"Report on {path.stem}",
            sections,
            subtitle=f"{path.name}: {len(problem):,} {problem.unit}s; target: {problem.target_name} "
            f"({problem.prevalence:.1%} positive).",
            about=workspace.about(),
        )
    show(sections, written, as_json=as_json)

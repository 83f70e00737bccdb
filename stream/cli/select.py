"""`intent select`: which columns are kept and why."""

from __future__ import annotations

from typing import Annotated

import typer

from stream.cli.lab import (
    AsJson,
    Customer,
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

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="Only this model: dummy, rule, logistic, random_forest, lightgbm, xgboost, svm, network. Repeatable.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add `select`."""
    app.command()(select)


def select(  # noqa: PLR0917  (options of a command)
    path: Input,
    output: Output,
    models: Models = None,
    target: Target = None,
    positive: Positive = None,
    kinds: Kinds = None,
    leaks: Leaks = None,
    not_leaks: NotLeaks = None,
    drops: Drops = None,
    time: Time = None,
    customer: Customer = None,
    horizon: Horizon = None,
    quick: Quick = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Say for each column whether models need it and why, and what dropping the others does to every model.

    Writes selection.html, which opens without a network, and selection.json.

    **Examples**

    - `intent select sessions.csv --target Revenue -o report`
    - `intent select events.parquet --model lightgbm --model network --json -o report`
    """
    with bars() as progress:
        workspace = workspace_of(
            path, output, target=target, positive=positive, kinds=kinds, leaks=leaks, not_leaks=not_leaks, drops=drops,
            time=time, customer=customer, horizon=horizon, quick=quick, seed=seed, progress=progress,
        )  # fmt: skip
        from offline.lab.models import choose_models
        from offline.lab.selection_section import select_columns
        from offline.report.pages import write_section

        section = select_columns(workspace, choose_models(models or ()))
        written = write_section(output, section, subtitle=path.name)
    show([section], written, as_json=as_json)

"""`intent tune`: search models' settings by grid, at random, or by Optuna."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli.lab import Found, lab_command, one_page

if TYPE_CHECKING:
    from offline.chapters.workspace import Workspace

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="logistic, random_forest, lightgbm, xgboost, svm or network. Repeatable. Default: logistic and lightgbm.",
        show_default=False,
    ),
]
Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        metavar="NAME",
        help="grid, random or optuna. Repeatable. Default: all.",
        show_default=False,
    ),
]
Trials = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Trials of each search, earlier runs included. Default: 20, with --quick 5, with --minutes no limit.",
        show_default=False,
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(min=0.01, metavar="N", help="How long each search may take.", show_default=False),
]
Study = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Where trials are kept, so that a search can be resumed. Default: tuning.journal in DIR.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add `tune`."""
    app.command()(lab_command(tune))


def tune(  # noqa: PLR0917  (options of a command)
    workspace: Workspace,
    models: Models = None,
    methods: Methods = None,
    trials: Trials = None,
    minutes: Minutes = None,
    study: Study = None,
) -> Found:
    """Search models' settings within a budget, and judge the best ones on rows that the search has not seen.

    Each method searches for each model. A search goes on where an earlier one stopped, if it has the same folder
    (or --study file).

    Writes tuning.html, a page that opens offline, and tuning.json with all figures.

    **Examples**

    - `intent tune sessions.csv --target Revenue -o report`
    - `intent tune events.parquet --model lightgbm --method optuna --minutes 10 -o report`
    - `intent tune sessions.csv --model network --method random --trials 12 --json -o report`
    """
    from offline.chapters.tuning.section import QUICK_TRIALS, TRIALS, Plan, tune_models
    from offline.chapters.tuning.spaces import space_of
    from offline.chapters.tuning.studies import METHODS

    for method in methods or ():
        if method not in METHODS:
            raise typer.BadParameter(f"{method!r} is none of {', '.join(METHODS)}", param_hint="--method")
    for model in models or ():
        space_of(model)
    if trials is None and minutes is None:
        trials = QUICK_TRIALS if workspace.options.quick else TRIALS
    plan = Plan(trials=trials, minutes=minutes, study=study)
    plan = plan._replace(models=tuple(models or plan.models), methods=tuple(methods or plan.methods))  # type: ignore[arg-type]
    return one_page(workspace, tune_models(workspace, plan))

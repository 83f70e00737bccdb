"""`intent tune`: search for models' settings by grid, at random, or with Optuna."""

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
        help="Trials per search, earlier runs included. Default: 20; 5 with --quick; no limit with --minutes.",
        show_default=False,
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(min=0.01, metavar="N", help="Time limit of each search in minutes.", show_default=False),
]
Study = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="File that keeps the trials, so that a search can be resumed. Default: tuning.journal in DIR.",
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
    """Search for the best settings of models.

    Each method searches for each model, within a number of trials or minutes. The best settings are tested on rows
    that the search has not seen. A search with the same folder (or --study file) continues an earlier one.

    Writes tuning.html, a page that opens without a network, and tuning.json with all figures.

    Examples
    --------
    - `intent tune sessions.csv --target Revenue -o report`: search with all methods
    - `intent tune events.parquet --model lightgbm --method optuna --minutes 10 -o report`: search for ten minutes
    - `intent tune sessions.csv --model network --method random --trials 12 --json -o report`: try twelve random
      settings
    """
    from offline.chapters.tuning.section import QUICK_TRIALS, TRIALS, Plan, tune_models
    from offline.chapters.tuning.spaces import space_of
    from offline.chapters.tuning.studies import METHODS

    for method in methods or ():
        if method not in METHODS:
            raise typer.BadParameter(
                f"unknown method {method!r}: use {', '.join(METHODS)}", param_hint="'--method'"
            )
    for model in models or ():
        space_of(model)
    if trials is None and minutes is None:
        trials = QUICK_TRIALS if workspace.options.quick else TRIALS
    plan = Plan(trials=trials, minutes=minutes, study=study)
    plan = plan._replace(models=tuple(models or plan.models), methods=tuple(methods or plan.methods))  # type: ignore[arg-type]
    return one_page(workspace, tune_models(workspace, plan))

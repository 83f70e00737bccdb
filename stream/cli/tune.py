"""`intent tune`: search models' settings by grid, at random, or by Optuna."""

from __future__ import annotations

from pathlib import Path
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
        help="logistic, random_forest, lightgbm, xgboost, svm, network. Repeatable. Default: logistic and lightgbm.",
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
        help="Trials of each search, earlier runs included. Default: 20, with --minutes without limit.",
        show_default=False,
    ),
]
Minutes = Annotated[
    float | None, typer.Option(min=0.01, metavar="N", help="Time for each search.", show_default=False)
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
    app.command()(tune)


def tune(  # noqa: PLR0917  (options of a command)
    path: Input,
    output: Output,
    models: Models = None,
    methods: Methods = None,
    trials: Trials = None,
    minutes: Minutes = None,
    study: Study = None,
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
    """Search models' settings within a budget, and judge the best ones on rows that the search has not seen.

    The search goes on where an earlier one stopped, if it has the same folder (or --study file).
    Writes tuning.html, which opens without a network, and tuning.json.

    **Examples**

    - `intent tune sessions.csv --target Revenue -o report`
    - `intent tune events.parquet --model lightgbm --method optuna --minutes 10 -o report`
    - `intent tune sessions.csv --model network --method random --trials 12 --json -o report`
    """
    with bars() as progress:
        workspace = workspace_of(
            path, output, target=target, positive=positive, kinds=kinds, leaks=leaks, not_leaks=not_leaks, drops=drops,
            time=time, customer=customer, horizon=horizon, quick=quick, seed=seed, progress=progress,
        )  # fmt: skip
        from offline.lab.spaces import space_of
        from offline.lab.tuning import METHODS
        from offline.lab.tuning_section import TRIALS, Plan, tune_models
        from offline.report.pages import write_section

        for method in methods or ():
            if method not in METHODS:
                raise typer.BadParameter(f"{method!r} is none of {', '.join(METHODS)}", param_hint="--method")
        for model in models or ():
            space_of(model)
        plan = Plan(trials=trials if trials or minutes else TRIALS, minutes=minutes, study=study)
        plan = plan._replace(models=tuple(models or plan.models), methods=tuple(methods or plan.methods))  # type: ignore[arg-type]
        section = tune_models(workspace, plan)
        written = write_section(output, section, subtitle=path.name)
    show([section], written, as_json=as_json)

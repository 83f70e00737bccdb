"""`intent prepare`: what is missing, doubled, skewed, outlying or rare, and what is done about it."""

from __future__ import annotations

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
    run_one,
    show,
    workspace_of,
)


def register(app: typer.Typer) -> None:
    """Add `prepare`."""
    app.command()(prepare)


def prepare(  # noqa: PLR0917  (options of a command)
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
    """Show how columns are prepared for models: missing values, duplicates, outliers, skew, scale, balance of classes.

    Writes preparation.html, which opens without a network, and preparation.json.

    **Examples**

    - `intent prepare events.parquet -o report`
    - `intent prepare sessions.csv --target Revenue -o report --json`
    """
    with bars() as progress:
        workspace = workspace_of(
            path, output, target=target, positive=positive, kinds=kinds, leaks=leaks, not_leaks=not_leaks, drops=drops,
            time=time, customer=customer, drop_duplicates=drop_duplicates, horizon=horizon, quick=quick,
            seed=seed, progress=progress,
        )  # fmt: skip
        section, written = run_one("preparation", workspace)
    show([section], written, as_json=as_json)

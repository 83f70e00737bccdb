"""`intent explore`: what a log or a table looks like, without any model."""

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
    """Add `explore`."""
    app.command()(explore)


def explore(  # noqa: PLR0917  (options of a command)
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
    """Describe a log or a table: distributions, patterns in time, customers, funnel, cohorts, countries, regressions.

    Writes exploration.html, which opens without a network, and exploration.json.

    **Examples**

    - `intent explore events.parquet -o report`
    - `intent explore sessions.csv --target Revenue -o report --json`
    """
    with bars() as progress:
        workspace = workspace_of(
            path, output, target=target, positive=positive, kinds=kinds, leaks=leaks, not_leaks=not_leaks, drops=drops,
            time=time, customer=customer, drop_duplicates=drop_duplicates, horizon=horizon, quick=quick,
            seed=seed, progress=progress,
        )  # fmt: skip
        section, written = run_one("exploration", workspace)
    show([section], written, as_json=as_json)

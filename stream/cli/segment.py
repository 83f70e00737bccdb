"""`intent segment`: which groups of customers there are, what each brings, and who moves between them."""

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
    run_one,
    show,
    workspace_of,
)

Count = Annotated[
    int | None,
    typer.Option("--segments", min=2, max=12, metavar="N", help="How many. Default: chosen by the data.",
                 show_default=False),
]  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add `segment`."""
    app.command()(segment)


def segment(  # noqa: PLR0917  (options of a command)
    path: Input,
    output: Output,
    count: Count = None,
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
    """Divide customers (or a table's rows) into segments: K-means, a hierarchy and a density-based way compared.

    Writes segments.html, which opens without a network, and segments.json.

    **Examples**

    - `intent segment events.parquet -o report`
    - `intent segment orders.parquet --segments 5 -o report`
    - `intent segment sessions.csv --target Revenue -o report --json`
    """
    with bars() as progress:
        workspace = workspace_of(
            path, output, target=target, positive=positive, kinds=kinds, leaks=leaks, not_leaks=not_leaks, drops=drops,
            time=time, customer=customer, horizon=horizon, quick=quick, seed=seed, progress=progress,
        )  # fmt: skip
        from offline.segments.section import COUNT

        workspace.shared[COUNT] = count
        section, written = run_one("segments", workspace)
    show([section], written, as_json=as_json)

"""`intent insight`: what drives conversion, what a contact is worth, and what customers will still bring."""

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

Value = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        metavar="MONEY",
        help="What a purchase is worth. Default: the mean order; for a table 100.",
        show_default=False,
    ),
]
Cost = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        metavar="MONEY",
        help="What a contact costs. Default: a hundredth of the value.",
        show_default=False,
    ),
]
Effect = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=10.0,
        metavar="SHARE",
        help="Purchases that a contact adds, as a share of those that would have happened anyway.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add `insight`."""
    app.command()(insight)


def insight(  # noqa: PLR0917  (options of a command)
    path: Input,
    output: Output,
    value: Value = None,
    cost: Cost = None,
    effect: Effect = 0.1,
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
    """Explain what drives conversion, price contacts by their probability, and value customers.

    Writes insight.html, which opens without a network, and insight.json.

    **Examples**

    - `intent insight events.parquet -o report`
    - `intent insight orders.parquet --cost 2.50 --effect 0.05 -o report`
    - `intent insight sessions.csv --target Revenue --value 80 --cost 0.4 -o report --json`
    """
    with bars() as progress:
        workspace = workspace_of(
            path, output, target=target, positive=positive, kinds=kinds, leaks=leaks, not_leaks=not_leaks, drops=drops,
            time=time, customer=customer, horizon=horizon, quick=quick, seed=seed, progress=progress,
        )  # fmt: skip
        from offline.insight.section import ASSUMED, Assumed

        workspace.shared[ASSUMED] = Assumed(value, cost, effect)
        section, written = run_one("insight", workspace)
    show([section], written, as_json=as_json)

"""`intent network`: networks tried on a problem, their curves and decision boundaries."""

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

Boundary = Annotated[
    tuple[str, str] | None,
    typer.Option(
        metavar="COLUMN COLUMN",
        help="Two numeric columns for the decision boundary. Default: those that alone tell most.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add `network`."""
    app.command()(network)


def network(  # noqa: PLR0917  (options of a command)
    path: Input,
    output: Output,
    boundary: Boundary = None,
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
    """Try networks: architectures, activations, regularisation; show their curves and their decision boundaries.

    Writes network.html, which opens without a network, and network.json.

    **Examples**

    - `intent network sessions.csv --target Revenue -o report`
    - `intent network sessions.csv --boundary ExitRates ProductRelated --quick --json -o report`
    """
    with bars() as progress:
        workspace = workspace_of(
            path, output, target=target, positive=positive, kinds=kinds, leaks=leaks, not_leaks=not_leaks, drops=drops,
            time=time, customer=customer, horizon=horizon, quick=quick, seed=seed, progress=progress,
        )  # fmt: skip
        from offline.lab.networks.section import study_networks
        from offline.report.pages import write_section

        section = study_networks(workspace, boundary or ())
        written = write_section(output, section, subtitle=path.name)
    show([section], written, as_json=as_json)

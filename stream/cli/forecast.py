"""`intent forecast`: orders and revenue of the coming days and weeks, and how far to trust them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stream.cli.lab import AsJson, Output, Quick, Seed, bars, run_one, show, workspace_of

Log = Annotated[Path, typer.Argument(metavar="LOG", help="The event log (Parquet).")]
Days = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=366,
        metavar="N",
        help="How far ahead. Default: 28, less for a short log.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add `forecast`."""
    app.command()(forecast)


def forecast(
    path: Log,
    output: Output,
    days: Days = None,
    quick: Quick = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Forecast orders and revenue with intervals, tried at earlier times against the seasonal naive forecast.

    Writes forecast.html, which opens without a network, and forecast.json.

    **Examples**

    - `intent forecast events.parquet -o report`
    - `intent forecast orders.parquet --days 14 -o report --json`
    """
    with bars() as progress:
        workspace = workspace_of(path, output, quick=quick, seed=seed, progress=progress)
        from offline.forecast.section import DAYS

        workspace.shared[DAYS] = days
        section, written = run_one("forecast", workspace)
    show([section], written, as_json=as_json)

"""`intent forecast`: orders and revenue of the coming days and weeks, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli.lab import Found, lab_command, run_one
from stream.cli.lab_options import workspace_of_log

if TYPE_CHECKING:
    from offline.chapters.workspace import Workspace

Days = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=366,
        metavar="N",
        help="Days to forecast. Default: 28, fewer for a short log.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add `forecast`."""
    app.command()(lab_command(forecast, workspace_of_log))


def forecast(workspace: Workspace, days: Days = None) -> Found:
    """Forecast orders and revenue.

    The forecast has intervals and is tested on earlier periods against the seasonal naive forecast. Writes
    forecast.html, a page that opens without a network, forecast.json with all figures, and forecast.csv: all days and
    weeks with their 80% and 95% intervals.

    Examples
    --------
    - `intent forecast events.parquet -o report`: forecast the next days and weeks
    - `intent forecast orders.parquet --days 14 -o report --json`: forecast two weeks; print the figures as JSON
    """
    workspace.options = workspace.options._replace(forecast_days=days)
    return run_one("forecast", workspace)

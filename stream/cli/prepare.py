"""`intent prepare`: what is missing, doubled, skewed, outlying or rare, and what is done about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from stream.cli.lab import Found, lab_command, run_one
from stream.cli.lab_options import Balance, Balanced

if TYPE_CHECKING:
    from offline.chapters.workspace import Workspace


def register(app: typer.Typer) -> None:
    """Add `prepare`."""
    app.command()(lab_command(prepare))


def prepare(workspace: Workspace, balance: Balanced = Balance.NONE) -> Found:
    """Show how columns are cleaned and scaled for models.

    Covers missing values, duplicates, outliers, skew, scales and rare classes. Writes preparation.html, a page that
    opens without a network, and preparation.json with all figures.

    Examples
    --------
    - `intent prepare events.parquet -o report`: check the columns of a log
    - `intent prepare sessions.csv --target Revenue -o report --json`: check a table; print the figures as JSON
    """
    workspace.options = workspace.options._replace(balance=balance.value)
    return run_one("preparation", workspace)

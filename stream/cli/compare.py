"""`intent compare`: all models on the same folds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from stream.cli.lab import Found, lab_command, one_page
from stream.cli.lab_options import Balance, Balanced, Models

if TYPE_CHECKING:
    from offline.chapters.workspace import Workspace


def register(app: typer.Typer) -> None:
    """Add `compare`."""
    app.command()(lab_command(compare))


def compare(workspace: Workspace, models: Models = None, balance: Balanced = Balance.NONE) -> Found:
    """Compare models on the same folds.

    Shows figures with intervals, curves and paired tests, with and without columns that leak the target. Writes
    comparison.html, a page that opens without a network, and comparison.json with all figures.

    Examples
    --------
    - `intent compare sessions.csv --target Revenue -o report`: compare all models on a table
    - `intent compare events.parquet --model logistic --model lightgbm --quick --json -o report`: compare two models
      on a log
    - `intent compare sessions.csv --target Revenue --balance weights -o report`: give rare classes more weight
    """
    from offline.chapters.comparison.section import compare_models
    from offline.lab.models import choose_models

    workspace.options = workspace.options._replace(balance=balance.value)
    return one_page(workspace, compare_models(workspace, choose_models(models or ())))

"""`intent select`: which columns are kept and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from stream.cli.lab import Found, lab_command, one_page
from stream.cli.lab_options import Models

if TYPE_CHECKING:
    from offline.chapters.workspace import Workspace


def register(app: typer.Typer) -> None:
    """Add `select`."""
    app.command()(lab_command(select))


def select(workspace: Workspace, models: Models = None) -> Found:
    """Show which columns the models need, and why.

    Also shows how every model changes without the other columns. Writes selection.html, a page that opens without a
    network, and selection.json with all figures.

    Examples
    --------
    - `intent select sessions.csv --target Revenue -o report`: check the columns of a table
    - `intent select events.parquet --model lightgbm --model network --json -o report`: check a log with two models
    """
    from offline.chapters.selection.section import select_columns
    from offline.lab.models import choose_models

    return one_page(workspace, select_columns(workspace, choose_models(models or ())))

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
    """Say for each column whether models need it and why, and what dropping the others does to every model.

    Writes selection.html, a page that opens offline, and selection.json with all figures.

    **Examples**

    - `intent select sessions.csv --target Revenue -o report`
    - `intent select events.parquet --model lightgbm --model network --json -o report`
    """
    from offline.chapters.selection.section import select_columns
    from offline.lab.models import choose_models

    return one_page(workspace, select_columns(workspace, choose_models(models or ())))

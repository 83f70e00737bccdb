"""`intent explore`: what a log or a table looks like, without any model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from stream.cli.lab import Found, lab_command, run_one

if TYPE_CHECKING:
    from offline.chapters.workspace import Workspace


def register(app: typer.Typer) -> None:
    """Add `explore`."""
    app.command()(lab_command(explore))


def explore(workspace: Workspace) -> Found:
    """Describe the data: distributions, time, customers, funnel.

    Also cohorts, countries and regressions. Writes exploration.html, a page that opens without a network, and
    exploration.json with all figures.

    Examples
    --------
    - `intent explore events.parquet -o report`: describe a log
    - `intent explore sessions.csv --target Revenue -o report --json`: describe a table; print the figures as JSON
    """
    return run_one("exploration", workspace)

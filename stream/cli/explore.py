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
    """Describe a log or a table: distributions, patterns in time, customers, funnel, cohorts, countries, regressions.

    Writes exploration.html, a page that opens offline, and exploration.json with all figures.

    **Examples**

    - `intent explore events.parquet -o report`
    - `intent explore sessions.csv --target Revenue -o report --json`
    """
    return run_one("exploration", workspace)

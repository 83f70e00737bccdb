"""`intent explore`: what a log or a table looks like, without any model."""

from __future__ import annotations

import typer

from stream.cli.lab import stage_command

_HELP = """
Describe a log or a table: distributions, patterns in time, customers, funnel, cohorts, countries, regressions.

Writes exploration.html, which opens without a network, and exploration.json.

**Examples**

- `intent explore events.parquet -o report`
- `intent explore sessions.csv --target Revenue -o report --json`
"""


def register(app: typer.Typer) -> None:
    """Add `explore`."""
    app.command("explore")(stage_command("exploration", _HELP))

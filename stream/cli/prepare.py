"""`intent prepare`: what is missing, doubled, skewed, outlying or rare, and what is done about it."""

from __future__ import annotations

import typer

from stream.cli.lab import stage_command

_HELP = """
Show how columns are prepared for models: missing values, duplicates, outliers, skew, scale, balance of classes.

Writes preparation.html, which opens without a network, and preparation.json.

**Examples**

- `intent prepare events.parquet -o report`
- `intent prepare sessions.csv --target Revenue -o report --json`
"""


def register(app: typer.Typer) -> None:
    """Add `prepare`."""
    app.command("prepare")(stage_command("preparation", _HELP))

"""`intent insight`: what drives conversion, what a contact is worth, and what customers will still bring."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from stream.cli.lab import Found, lab_command, run_one
from stream.cli.lab_options import Cost, Effect, Value

if TYPE_CHECKING:
    from offline.chapters.workspace import Workspace


def register(app: typer.Typer) -> None:
    """Add `insight`."""
    app.command()(lab_command(insight))


def insight(workspace: Workspace, value: Value = None, cost: Cost = None, effect: Effect = 0.1) -> Found:
    """Explain what drives conversion, price contacts by their probability, and value customers.

    Writes insight.html, a page that opens offline, insight.json with all figures, reasons.csv (probability and three
    reasons for every customer; of a table, for every row that the model was tested on) and, of a log,
    lifetime_values.csv.

    **Examples**

    - `intent insight events.parquet -o report`
    - `intent insight orders.parquet --cost 2.50 --effect 0.05 -o report`
    - `intent insight sessions.csv --target Revenue --value 80 --cost 0.4 -o report --json`
    """
    from offline.chapters.workspace import ContactAssumptions

    workspace.options = workspace.options._replace(contacts=ContactAssumptions(value, cost, effect))
    return run_one("insight", workspace)

"""`intent insight`: what drives purchases, what a contact is worth, and what customers will still spend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from stream.cli.lab import Found, lab_command, run_one
from stream.cli.lab_options import Cost, Effect, Margin, Value

if TYPE_CHECKING:
    from offline.chapters.workspace import Workspace


def register(app: typer.Typer) -> None:
    """Add `insight`."""
    app.command()(lab_command(insight))


def insight(
    workspace: Workspace,
    value: Value = None,
    margin: Margin = None,
    cost: Cost = None,
    effect: Effect = None,
) -> Found:
    """Show what drives purchases and what customers are worth.

    Also shows from which probability on a contact pays off, given margin, cost and effect; the page has sliders for
    them. Writes insight.html, a page that opens without a network,
    insight.json with all figures, and reasons.csv: the probability and three reasons for each customer (for a table,
    each tested row). For a log, also writes lifetime_values.csv.

    Examples
    --------
    - `intent insight events.parquet -o report`: explain a log
    - `intent insight orders.parquet --margin 0.3 --cost 2.50 --effect 0.05 -o report`: 30% of an order is profit;
      contacts cost 2.50 and add 5% more purchases
    - `intent insight sessions.csv --target Revenue --value 80 --margin 0.4 --cost 0.4 --effect 0.1 -o report --json`: a
      purchase is worth 80
    """
    from offline.chapters.workspace import ContactAssumptions

    workspace.options = workspace.options._replace(contacts=ContactAssumptions(value, margin, cost, effect))
    return run_one("insight", workspace)

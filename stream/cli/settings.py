"""`intent settings`: the settings, with their values and meanings."""

from __future__ import annotations

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("settings")(settings)


def settings(as_json: AsJson = False) -> None:
    """Show the settings and what they mean.

    Values come from the environment, then from `.env`, then from the defaults. Those that are set are bold; passwords
    are hidden.

    Examples
    --------
    - `intent settings`: show all settings
    - `INTENT_HORIZON=2h intent settings --json`: check how a value is read
    """
    from stream.cli.console import add_columns, output, print_json
    from stream.settings import Settings, load_settings

    loaded = load_settings()
    masked = loaded.masked()
    if as_json:
        print_json(masked)
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    add_columns(table, ("Value", "Meaning"), "Variable", "Value", "Meaning")
    for name, field in Settings.model_fields.items():
        value = _text(masked[name])
        bold = "bold" if name in loaded.model_fields_set else ""
        table.add_row(f"INTENT_{name.upper()}", escape(value), escape(field.description or ""), style=bold)
    output().print(table)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "" if value is None else str(value)

"""`intent settings`: the settings, with their values and meanings."""

from __future__ import annotations

import re
import textwrap
from typing import Annotated, Final

import typer

_INDENT: Final = "    "
# Longer lines are hard to read.
_WIDEST: Final = 120

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("settings")(settings)


def settings(as_json: AsJson = False) -> None:
    """Show the settings and what they mean.

    Values come from the environment, then from `.env`, then from the defaults. Those that are set are bold; passwords
    are hidden. Each variable stands on a line with its value, and its meaning below.

    Examples
    --------
    - `intent settings`: show all settings
    - `INTENT_HORIZON=2h intent settings --json`: check how a value is read
    """
    from stream.cli.console import output, print_json
    from stream.settings import Settings, load_settings

    loaded = load_settings()
    masked = loaded.masked()
    if as_json:
        print_json(masked)
        return
    from rich.text import Text

    screen, longest = output(), max(map(len, Settings.model_fields))
    width = min(screen.width, _WIDEST)
    for name, field in Settings.model_fields.items():
        value, style = _text(masked[name]), "bold" if name in loaded.model_fields_set else ""
        line = f"INTENT_{name.upper():{longest}}  {value}".rstrip()
        lines = [line] if len(line) <= width else [f"INTENT_{name.upper()}", *_folded(value, width)]
        screen.print(Text("\n".join(lines), style), soft_wrap=True)
        meaning = textwrap.fill(
            field.description or "",
            width,
            initial_indent=_INDENT,
            subsequent_indent=_INDENT,
            break_long_words=False,
            break_on_hyphens=False,
        )
        screen.print(Text(meaning), soft_wrap=True)


def _folded(value: str, width: int) -> list[str]:
    """Return a long value as lines below its variable: it goes on behind a comma, where there is one."""
    room = width - len(_INDENT)
    lines = [""]
    for part in re.findall(r"[^,]+,?|,", value):
        for piece in (part[start : start + room] for start in range(0, len(part), room)):
            if len(lines[-1] + piece) > room:
                lines.append("")
            lines[-1] += piece
    return [_INDENT + line for line in lines]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "" if value is None else str(value)

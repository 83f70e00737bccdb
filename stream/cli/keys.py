"""`intent keys`: who may ask `intent serve`, and for what."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

_HELP = """
Make, list and remove the keys of `intent serve`.

Examples
--------
- `intent keys add crm --scope read`: make a key that may ask
- `intent keys list`: show whose keys there are
- `intent keys remove crm`: take a key away; running services refuse it within seconds
"""


class ScopeName(StrEnum):
    """What a key is good for."""

    READ = "read"
    WRITE = "write"
    ERASE = "erase"
    ADMIN = "admin"


KeysFile = Annotated[
    Path | None,
    typer.Option("--file", metavar="FILE", help="The file of keys. Default: INTENT_SERVE_KEYS."),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is, such as crm.")]
Scopes = Annotated[
    list[ScopeName],
    typer.Option(
        "--scope",
        metavar="read|write|erase|admin",
        help="What it is good for: asking, sending events, erasing customers, refused records and metrics. Repeatable.",
    ),
]
Rate = Annotated[
    float,
    typer.Option(
        min=0.001,
        max=1e6,
        metavar="N",
        help="Requests a second, in each process; a batch counts as one per hundred.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add `keys` and its subcommands."""
    keys = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help=_HELP)
    keys.command("add")(add)
    keys.command("list")(list_keys)
    keys.command("remove")(remove)
    app.add_typer(keys, name="keys")


def add(
    name: Name, scope: Scopes, rate: Rate = 1_000.0, file: KeysFile = None, as_json: AsJson = False
) -> None:
    """Make a key and print it, once: the file has only its hash.

    Examples
    --------
    - `intent keys add crm --scope read`: make a key that may ask
    - `intent keys add shop --scope read --scope write --rate 200`: make one that may also send events
    """
    import time

    from stream.cli.console import print_json
    from stream.serving.keys import add_key

    path = _file(file)
    key = add_key(path, name, [one.value for one in scope], rate, time.time_ns() // 1_000_000)
    if as_json:
        print_json({"name": name, "key": key})
    else:
        typer.echo(key)
        typer.echo(f"the key {name!r} is in {path}; nobody can print it again", err=True)


def list_keys(file: KeysFile = None, as_json: AsJson = False) -> None:
    """List keys: names, scopes and rates.

    Examples
    --------
    - `intent keys list`: show whose keys there are
    """
    from msgspec import to_builtins

    from stream.cli.console import print_json
    from stream.serving.keys import read_keys
    from stream.texts import minute

    keys = read_keys(_file(file))
    if as_json:
        print_json([{k: v for k, v in to_builtins(key).items() if k != "sha256"} for key in keys])
        return
    for key in keys:
        made = minute(key.created_at)
        typer.echo(f"{key.name}: {', '.join(key.scopes)}; {key.rate:g} requests a second; made {made}")


def remove(name: Name, file: KeysFile = None) -> None:
    """Remove a key; running services refuse it within seconds.

    Examples
    --------
    - `intent keys remove crm`: take a key away
    """
    from stream.serving.keys import remove_key

    path = _file(file)
    remove_key(path, name)
    typer.echo(f"the key {name!r} is no longer in {path}")


def _file(given: Path | None) -> Path:
    from stream.exceptions import SettingsError
    from stream.settings import load_settings

    path = given or load_settings().serve_keys
    if path is None:
        raise SettingsError("no file of keys: set INTENT_SERVE_KEYS, or name one by --file")
    return path

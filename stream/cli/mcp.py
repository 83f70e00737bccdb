"""`intent mcp`: let assistants ask."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stream.cli import checks

Url = Annotated[str, typer.Option(metavar="URL", help="Where `intent serve` answers.")]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        callback=checks.existing_path,
        help="File with a key of `intent keys add`. Default: none, for a service of this machine without keys.",
    ),
]
Personal = Annotated[
    bool,
    typer.Option("--personal-data", help="Let answers name customers, and show refused records as they are."),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("mcp")(mcp)


def mcp(url: Url = "http://127.0.0.1:8090", key_file: KeyFile = None, personal: Personal = False) -> None:
    """Let assistants ask about customers (Model Context Protocol).

    Speaks the protocol on standard input and output: name this command in the settings of your assistant. Its tools
    only read: a customer, the reasons of a score, hypothetical events, the quality of the scores, refused records. They
    ask a running `intent serve`. The assistant names customers by their ids, but answers name nobody unless
    `--personal-data` allows it.

    Examples
    --------
    - `intent mcp`: ask the service on this machine
    - `intent mcp --url https://intent.example --key-file assistant.key`: ask another one, with a key
    """
    from stream.clients.assistant import Service, assistant
    from stream.exceptions import SettingsError

    key = None
    if key_file is not None:
        try:
            key = key_file.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            raise SettingsError(f"{key_file} cannot be read as a key: name a file with one") from None
    assistant(Service(url, key), personal=personal).run("stdio")

"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stream.cli import checks

__all__ = ["BundleFolder", "LogOutput", "Partitions", "ReplaceFiles"]

LogOutput = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="LOG", callback=checks.output_log, help="The event log to write (Parquet)."
    ),
]
BundleFolder = Annotated[
    Path | None,
    typer.Option(
        "--bundle", metavar="DIR", help="The bundle to score with, or a shelf. Default: INTENT_BUNDLE."
    ),
]
Partitions = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Partitions of the topic. Default: those in the log, else INTENT_PARTITIONS.",
    ),
]
ReplaceFiles = Annotated[
    bool, typer.Option("--replace", help="Give up files that are there; without it, they are kept.")
]

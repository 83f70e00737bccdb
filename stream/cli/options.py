"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stream.cli import checks

__all__ = ["BundleFolder", "LogOutput"]

LogOutput = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="LOG", callback=checks.output_log, help="The event log to write (Parquet)."
    ),
]
BundleFolder = Annotated[
    Path | None,
    typer.Option("--bundle", metavar="DIR", help="The bundle to score with. Default: INTENT_BUNDLE."),
]

"""`intent segment`: which groups of customers there are, what each brings, and who moves between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli.lab import Found, lab_command, run_one

if TYPE_CHECKING:
    from offline.chapters.workspace import Workspace

Count = Annotated[
    int | None,
    typer.Option(
        "--segments",
        min=2,
        max=12,
        metavar="N",
        help="How many. Default: chosen by the data.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add `segment`."""
    app.command()(lab_command(segment))


def segment(workspace: Workspace, count: Count = None) -> Found:
    """Divide customers (or a table's rows) into segments: K-means, a hierarchy and a density-based way compared.

    Writes segments.html, a page that opens offline, and segments.json with all figures.

    **Examples**

    - `intent segment events.parquet -o report`
    - `intent segment orders.parquet --segments 5 -o report`
    - `intent segment sessions.csv --target Revenue -o report --json`
    """
    workspace.options = workspace.options._replace(segment_count=count)
    return run_one("segments", workspace)

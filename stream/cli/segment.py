"""`intent segment`: groups of customers, what each brings, and how customers move between them."""

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
        help="Number of clusters. Default: chosen from the data.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add `segment`."""
    app.command()(lab_command(segment))


def segment(workspace: Workspace, count: Count = None) -> Found:
    """Divide customers, or the rows of a table, into segments.

    Compares K-means, hierarchical and density-based clustering. Writes segments.html, a page that opens without a
    network, and segments.json with all figures.

    Examples
    --------
    - `intent segment events.parquet -o report`: find the segments of a log's customers
    - `intent segment orders.parquet --segments 5 -o report`: make five segments
    - `intent segment sessions.csv --target Revenue -o report --json`: divide the rows of a table
    """
    workspace.options = workspace.options._replace(segment_count=count)
    return run_one("segments", workspace)

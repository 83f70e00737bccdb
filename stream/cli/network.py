"""`intent network`: neural networks compared, with their learning curves and decision boundaries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli.lab import Found, lab_command, one_page

if TYPE_CHECKING:
    from offline.chapters.workspace import Workspace

Boundary = Annotated[
    tuple[str, str] | None,
    typer.Option(
        metavar="COLUMN COLUMN",
        help="Two columns for the decision boundary. Default: the two numeric columns that predict best.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add `network`."""
    app.command()(lab_command(network))


def network(workspace: Workspace, boundary: Boundary = None) -> Found:
    """Compare neural networks and show what they have learned.

    Tries architectures, activations and regularisation, and shows learning curves and decision boundaries. Writes
    network.html, a page that opens without a network, network.json with all figures, and demonstration.csv: a table
    of visits with two features whose exact probability of a purchase is known.

    Examples
    --------
    - `intent network sessions.csv --target Revenue -o report`: try networks on a table
    - `intent network sessions.csv --boundary ExitRates ProductRelated --quick --json -o report`: draw the boundary
      over two columns
    """
    from offline.chapters.networks.section import study_networks

    return one_page(workspace, study_networks(workspace, boundary or ()))

"""`intent network`: networks tried on a problem, their curves and decision boundaries."""

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
        help="Any two columns for the decision boundary. Default: the two numeric ones that alone tell most.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add `network`."""
    app.command()(lab_command(network))


def network(workspace: Workspace, boundary: Boundary = None) -> Found:
    """Try networks: architectures, activations, regularisation; show their curves and their decision boundaries.

    Writes network.html, a page that opens offline, network.json with all figures, and demonstration.csv: visits with
    a known probability of a purchase by duration and pages, the table of the two-feature demonstration.

    **Examples**

    - `intent network sessions.csv --target Revenue -o report`
    - `intent network sessions.csv --boundary ExitRates ProductRelated --quick --json -o report`
    """
    from offline.chapters.networks.section import study_networks

    return one_page(workspace, study_networks(workspace, boundary or ()))

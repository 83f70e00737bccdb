"""`intent doctor`: what is good, what is not, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stream.cli import checks
from stream.cli.options import BundleFolder

AsJson = Annotated[bool, typer.Option("--json", help="Print all findings as one JSON object.")]
Directory = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        callback=checks.existing_path,
        help="The folder of `intent services --directory`. Default: the temporary folder.",
    ),
]

_MARKS = {"good": "[green]good[/]", "warning": "[yellow]warning[/]", "wrong": "[red]wrong[/]"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(bundle: BundleFolder = None, directory: Directory = None, as_json: AsJson = False) -> None:
    """Look at everything that workers and the learner need.

    Settings, broker, topics, consumer groups, Redis, bundle, clocks and disk: what is good, what may not be meant so,
    and what is wrong, each with what to do. Nothing is changed. The exit code is 1 if something is wrong.

    Examples
    --------
    - `intent doctor`: look at everything
    - `intent doctor --bundle b12`: with the bundle that the worker is started with
    - `intent doctor --json | jq '.findings[] | select(.level != "good")'`: only what is not good
    """
    from rich.markup import escape
    from rich.table import Table

    from stream.checkup.checkup import checkup
    from stream.checkup.finding import Level
    from stream.cli.console import output, print_json, progress

    with progress("Looking") as bar:
        findings = []
        for finding in checkup(Path.cwd(), directory, bundle):
            findings.append(finding)
            bar.note(finding.subject)
    is_wrong = any(finding.level is Level.WRONG for finding in findings)
    if as_json:
        print_json({"wrong": is_wrong, "findings": [finding._asdict() for finding in findings]})
    else:
        table = Table(box=None, show_header=False, pad_edge=False)
        for finding in findings:
            remedy = f"\n[bold]{escape(finding.remedy)}[/]" if finding.remedy else ""
            table.add_row(_MARKS[finding.level], finding.subject, escape(finding.text) + remedy)
        output().print(table)
    if is_wrong:
        raise typer.Exit(1)

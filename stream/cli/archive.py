"""`intent archive`: the events topic as a log."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from stream.cli import checks
from stream.cli.options import LogOutput, ReplaceFiles

Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Only events that arrived since then: 2026-03-01, 2026-03-01T12:00:00Z, or 7d for the last 7 days.",
    ),
]
Actions = Annotated[
    Path | None,
    typer.Option(
        "--actions",
        metavar="FILE",
        callback=checks.actions_file,
        help="Also save the actions topic (.parquet or .jsonl).",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the counts as one JSON object.")]


def register(app: typer.Typer) -> None:
    """Add `archive`."""
    app.command()(archive)


def archive(
    output: LogOutput,
    since: Since = None,
    actions: Actions = None,
    replace: ReplaceFiles = False,
    as_json: AsJson = False,
) -> None:
    """Save the events in Kafka as an event log.

    Train on the log, score it or replay it. Of events from before a customer was erased, only the times are kept. As
    long as the topic still holds its first event and `--since` is not given, `intent score` on the log gives the same
    states as the worker.

    Examples
    --------
    - `intent archive -o events.parquet`: save all events
    - `intent archive -o events.parquet --replace`: save all events in place of an older archive
    - `intent archive -o week.parquet --since 7d`: save the events of the last seven days
    - `intent archive -o events.parquet --actions actions.parquet`: also save the actions, each once
    """
    from stream.cli.console import print_json, progress
    from stream.logs import archive as archiving
    from stream.scoring.action_log import archive_actions
    from stream.settings import load_settings
    from stream.texts import counted

    checks.new_file(output, "--output", replace=replace)
    checks.new_file(actions, "--actions", replace=replace)
    if actions is not None and actions.resolve() == output.resolve():
        raise typer.BadParameter(
            f"{actions} is the file of the events: name another one", param_hint="--actions"
        )
    since_ms = None if since is None else checks.moment_ms(since, "--since")
    settings = load_settings()
    with progress("Reading the topic") as on_progress:
        report = archiving.archive(settings, output, since_ms=since_ms, on_progress=on_progress)
    acted = None if actions is None else archive_actions(settings, actions)
    if as_json:
        print_json(asdict(report) | ({} if acted is None else {"actions": acted._asdict()}))
        return
    where = counted(report.partitions, "partition")
    typer.echo(f"{counted(report.events, 'event')} of {where} in {output}")
    if report.prices:
        typer.echo(f"{counted(report.prices, 'price')} of items, copies for other partitions included")
    if report.erased or report.erasures:
        requests, rows = counted(report.erasures, "request"), counted(report.erased, "row")
        typer.echo(f"{requests} to erase a customer; {rows} of these customers keep only their times")
    for reason, count in report.refused.items():
        typer.echo(f"left out: {count:,} ({reason})")
    if report.ignored:
        typer.echo(f"left out: {report.ignored:,} (a type in INTENT_IGNORE_TYPES, or without counterpart)")
    for name, count in report.without_counterpart.items():
        typer.echo(f"  without counterpart: {count:,} ({name})")
    for name, count in report.dropped.items():
        typer.echo(f"bad optional fields left out: {count:,} ({name})")
    if acted is not None:
        typer.echo(
            f"{counted(acted.actions, 'action')} in {actions}; {counted(acted.repeated, 'repetition')} left out"
        )
        if acted.refused:
            typer.echo(
                f"left out: {counted(acted.refused, 'record')} of the actions topic that cannot be read"
            )

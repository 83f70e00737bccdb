"""`intent archive`: the events topic into a log."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="LOG", help="The event log to write (Parquet).")
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Only events that arrived since then: 2026-03-01, 2026-03-01T12:00:00Z, or 7d ago as 7d.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the counts as one JSON object.")]


def register(app: typer.Typer) -> None:
    """Add `archive`."""
    app.command()(archive)


def archive(output: Output, since: Since = None, as_json: AsJson = False) -> None:
    """Write the events that Kafka holds to a log, to train on and to replay.

    Of what a customer did before being erased, only times are left. Without `--since`, `intent score` on the
    log gives the states that the worker has, as long as the topic still holds its first event.

    **Examples**

    - `intent archive -o events.parquet`
    - `intent archive -o week.parquet --since 7d`
    """
    from stream.cli.console import print_json, progress
    from stream.logs import archive as archiving
    from stream.settings import load_settings
    from stream.texts import counted

    since_ms = None if since is None else _moment(since)
    with progress("Reading the topic") as on_progress:
        report = archiving.archive(load_settings(), output, since_ms=since_ms, on_progress=on_progress)
    if as_json:
        print_json(asdict(report))
        return
    where = counted(report.partitions, "partition")
    typer.echo(f"{counted(report.events, 'event')} of {where} in {output}")
    if report.erased or report.erasures:
        requests, rows = counted(report.erasures, "request"), counted(report.erased, "row")
        typer.echo(f"{requests} to erase; of what these customers did before, only times are left ({rows})")
    for reason, count in report.refused.items():
        typer.echo(f"left out: {count:,} ({reason})")


def _moment(text: str) -> int:
    """Return a moment as epoch milliseconds: RFC 3339 (UTC without a zone), or a duration before now."""
    import time
    from datetime import UTC, datetime, timedelta

    from features.durations import parse_duration
    from features.exceptions import IntentError

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            return time.time_ns() // 1_000_000 - parse_duration(text) // timedelta(milliseconds=1)
        except IntentError:
            raise IntentError(
                f"--since {text!r} is no time: write 2026-03-01T12:00:00Z, 2026-03-01 or 7d"
            ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)

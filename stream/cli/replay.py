"""`intent replay`: a log into Kafka."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

Log = Annotated[Path, typer.Argument(metavar="LOG", help="An event log (Parquet).")]
Speed = Annotated[
    str, typer.Option(help="max: as fast as Kafka takes it; real: as it happened; 60x: a minute in a second.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")]


def register(app: typer.Typer) -> None:
    """Add `replay`."""
    app.command()(replay)


def replay(log: Log, speed: Speed = "max", as_json: AsJson = False) -> None:
    """Send a log's events to Kafka, each on its customer's partition and with its own arrival.

    **Examples**

    - `intent replay events.parquet`
    - `intent replay events.parquet --speed 60x`
    """
    from stream import replay as replaying
    from stream.cli.console import print_json, progress
    from stream.settings import load_settings

    with progress("Replaying") as on_progress:
        report = replaying.replay(load_settings(), log, speed=speed, on_progress=on_progress)
    if as_json:
        print_json(asdict(report) | {"events_per_second": report.events_per_second})
        return
    erased = f", {report.erased} of erased customers left out" if report.erased else ""
    typer.echo(
        f"{report.events} events in {report.seconds:.1f} s ({report.events_per_second:,.0f} events/s) "
        f"to {len(report.partitions)} partitions{erased}"
    )

"""`intent restore`: states from an archived log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from features.counts import counted
from stream.cli import checks
from stream.cli.options import BundleFolder

Log = Annotated[
    Path,
    typer.Argument(
        metavar="LOG", callback=checks.existing_log, help="A log of the topic, made by `intent archive`."
    ),
]
Partitions = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Partitions of the topic. Default: INTENT_PARTITIONS."),
]
Replace = Annotated[
    bool, typer.Option("--replace", help="Give up states that are in Redis; without it, they are kept.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")]


def register(app: typer.Typer) -> None:
    """Add `restore`."""
    app.command()(restore)


def restore(
    log: Log,
    bundle: BundleFolder = None,
    partitions: Partitions = None,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Load customers' states from an archived log, without Kafka.

    Use it when Redis has lost its data and the topic no longer holds all events. The states are those that the worker
    had after the last archived event; `intent worker` goes on from there. Stop the workers first. The log must begin
    with the first event: what it does not hold, the states do not know.

    Examples
    --------
    - `intent restore events.parquet --bundle bundle`: load the states into an empty Redis
    - `intent restore events.parquet --replace`: give up the states in Redis, and load those of the log
    """
    from contextlib import closing

    from features.bundle import Bundle
    from features.log import read_log
    from features.store.redis_store import RedisStore
    from stream.cli.console import print_json, progress
    from stream.scoring.engine import engine_of
    from stream.scoring.restoring import restore as restore_log
    from stream.settings import load_settings

    settings = load_settings()
    engine = engine_of(settings, Bundle.load(bundle or settings.bundle, key=settings.bundle_key))
    table = read_log(log, on_note=lambda text: typer.echo(f"intent: {text}", err=True), identities=True)
    with (
        closing(RedisStore(settings.redis_url, settings.redis_prefix)) as store,
        progress("Restoring") as on_progress,
    ):
        report = restore_log(
            table,
            engine,
            store,
            partitions=partitions or settings.partitions,
            replace=replace,
            on_progress=on_progress,
        )
    if as_json:
        print_json(
            {
                "events": report.events,
                "customers": report.customers,
                "left_out": report.left_out,
                "next_offsets": report.next_offsets,
            }
        )
        return
    typer.echo(f"{counted(report.events, 'event')}, {counted(report.customers, 'customer')}")
    for reason, count in report.left_out.items():
        typer.echo(f"left out: {count:,} ({reason})")
    for number, offset in report.next_offsets.items():
        typer.echo(f"partition {number}: the worker goes on from offset {offset:,}")

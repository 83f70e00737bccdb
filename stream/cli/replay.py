"""`intent replay`: a log into Kafka."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from stream.logs.overtaken import Overtaken
    from stream.settings import Settings

Log = Annotated[Path, typer.Argument(metavar="LOG", help="An event log (Parquet).")]
Speed = Annotated[
    str,
    typer.Option(
        metavar="SPEED",
        help="max: as fast as Kafka takes it; real: as it happened; 60x: a minute in a second.",
    ),
]
Close = Annotated[
    bool,
    typer.Option(
        "--close",
        help="End the topic: what waits for its label is learned as if the horizon had passed without events.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")]


def register(app: typer.Typer) -> None:
    """Add `replay`."""
    app.command()(replay)


def replay(log: Log, speed: Speed = "max", close: Close = False, as_json: AsJson = False) -> None:
    """Send a log's events to Kafka, each on its customer's partition and with its own arrival.

    Beside newer events of a partition old ones are late: a warning says so where the topic has some. Fresh
    topics and keys (`INTENT_TOPIC_PREFIX`, `INTENT_REDIS_PREFIX`) take every log.

    **Examples**

    - `intent replay events.parquet`
    - `intent replay events.parquet --speed 60x`
    - `intent replay events.parquet --close` — and let the learner learn from all of it
    """
    from stream.cli.console import print_json, progress
    from stream.logs import replay as replaying
    from stream.logs.overtaken import overtaken
    from stream.logs.pacing import parse_speed
    from stream.settings import load_settings
    from stream.texts import counted, moment

    settings = load_settings()
    parse_speed(speed)
    behind = overtaken(settings, log)
    if behind is not None:
        typer.echo(_warning(settings, behind), err=True)
    with progress("Replaying") as bar:
        report = replaying.replay(
            settings,
            log,
            speed=speed,
            on_progress=bar,
            close=close,
            on_time=lambda ms: bar.note(moment(ms // 1000 * 1000)),
        )
    if as_json:
        print_json(asdict(report) | {"events_per_second": report.events_per_second})
        return
    erased = f", {report.erased:,} of erased customers left out" if report.erased else ""
    typer.echo(
        f"{counted(report.events, 'event')} in {report.seconds:.1f} s "
        f"({report.events_per_second:,.0f} events/s) "
        f"to {counted(len(report.partitions), 'partition')}{erased}"
    )


def _warning(settings: Settings, behind: Overtaken) -> str:
    from features.durations import duration_text
    from stream.texts import moment

    return (
        f"warning: the log begins at {moment(behind.first_ms)}, but {settings.events_topic} has events up to "
        f"{moment(behind.newest_ms)}: on their partitions what is more than {duration_text(settings.lateness)} "
        "older is a late dead letter; for fresh topics set INTENT_TOPIC_PREFIX and INTENT_REDIS_PREFIX"
    )

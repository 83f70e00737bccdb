"""`intent replay`: a log into Kafka."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli import checks

if TYPE_CHECKING:
    from stream.logs.overtaken import Overtaken
    from stream.settings import Settings

Log = Annotated[
    Path, typer.Argument(metavar="LOG", callback=checks.existing_log, help="An event log (Parquet).")
]
Speed = Annotated[
    str,
    typer.Option(
        metavar="SPEED",
        help="max: as fast as possible, no faster than workers hand over logins and prices; real: as fast as it "
        "happened; 60x: one minute per second.",
    ),
]
Close = Annotated[
    bool,
    typer.Option(
        "--close",
        help="End the topic after the log: the learner labels the last events as if no event came later.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")]


def register(app: typer.Typer) -> None:
    """Add `replay`."""
    app.command()(replay)


def replay(log: Log, speed: Speed = "max", close: Close = False, as_json: AsJson = False) -> None:
    """Send the events of a log to Kafka.

    Each event goes to its customer's partition with its original arrival time. If the topic already holds newer
    events, older ones are rejected as late, and a warning says so; new topics and keys (`INTENT_TOPIC_PREFIX`,
    `INTENT_REDIS_PREFIX`) take any log.

    If the log has logins or prices, workers tell other partitions of them. At full speed the replay waits for that, so
    start `intent worker` before. If no worker reads along, it says so and goes on.

    Examples
    --------
    - `intent replay events.parquet`: send a log as fast as possible
    - `intent replay events.parquet --speed 60x`: send one minute of the log per second
    - `intent replay events.parquet --close`: let the learner learn from the last events too
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
            on_note=lambda text: typer.echo(f"intent: {text}", err=True),
        )
    if as_json:
        print_json(asdict(report) | {"events_per_second": report.events_per_second})
        return
    erased = f"; {report.erased:,} of erased customers were left out" if report.erased else ""
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
        f"{moment(behind.newest_ms)}: events on their partitions that are more than {duration_text(settings.lateness)} "
        "older will be rejected as late; for new topics set INTENT_TOPIC_PREFIX and INTENT_REDIS_PREFIX"
    )

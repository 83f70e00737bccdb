"""`intent emit`: send events to Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli import checks

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from stream.clients.emit import RefusedLine

# Names of what was passed over that are printed; --json has all.
_NAMED = 20

File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        callback=checks.existing_file_or_stdin,
        help="Events, one JSON object per line; - reads standard input.",
    ),
]
SkipInvalid = Annotated[
    bool,
    typer.Option(
        "--skip-invalid",
        help="Skip invalid lines instead of stopping at the first one. The exit code is 1 if any was skipped.",
    ),
]
FormatName = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="NAME",
        callback=checks.event_format,
        help="Form of the lines: native, ga4, segment, snowplow, shopify, cloudevents or confluent; confluent+segment "
        "where one wraps another.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the counts as one JSON object.")]


def register(app: typer.Typer) -> None:
    """Add `emit`."""
    app.command()(emit)


def emit(
    file: File = Path("-"),
    form: FormatName = "native",
    skip_invalid: SkipInvalid = False,
    as_json: AsJson = False,
) -> None:
    """Send events to Kafka.

    Each line is checked before it is sent. If a line is refused, the exit code is 1. That is so with `--skip-invalid`,
    too: a script that has lost a line must notice. The remaining lines are sent all the same. With `--format`, lines
    are messages of another system: `docs/formats.md` says what becomes of them.

    To emit from another language, write the same JSON to the topic `intent.events` with any Kafka client. The key is
    the customer id, and the partitioner must be murmur2 as in Kafka's Java client (librdkafka:
    `partitioner=murmur2_random`).

    Examples
    --------
    - `intent emit events.jsonl`: send the events of a file
    - `intent emit --format segment calls.jsonl`: send what Segment recorded; events without counterpart are counted
    - `tail -f shop.log | intent emit --skip-invalid`: follow a growing file
    - `echo '{"event_id":"e1","type":"search","customer_id":"c1","event_time":1772366400000}' | intent emit`: send one
      event
    """
    from stream.cli.console import errors, print_json
    from stream.clients.emit import EventEmitter, emit_lines
    from stream.formats.registry import format_of
    from stream.settings import load_settings
    from stream.texts import counted

    remarks = errors()

    def refused(line: RefusedLine) -> None:
        remarks.print(f"line {line.number}: {line.reason}: {line.detail}", markup=False, soft_wrap=True)

    with _lines(file) as lines, EventEmitter(load_settings()) as emitter:
        report = emit_lines(
            emitter, lines, form=format_of(form), skip_invalid=skip_invalid, on_refused=refused
        )
    passed_over = dict(report.without_counterpart.most_common())
    if as_json:
        further = {"without_counterpart": passed_over, "dropped_fields": dict(report.dropped)}
        print_json(
            {"emitted": report.emitted, "refused": report.refused} | (further if form != "native" else {})
        )
    else:
        rest = f", {report.refused:,} refused" if report.refused else ""
        stopped = (
            "; stopped there: correct the line or add --skip-invalid"
            if report.refused and not skip_invalid
            else ""
        )
        typer.echo(f"{counted(report.emitted, 'event')} emitted to {emitter.topic}{rest}{stopped}")
        for title, counts in (("no counterpart", passed_over), ("bad field left out", dict(report.dropped))):
            for name, number in list(counts.items())[:_NAMED]:
                typer.echo(f"{title}: {name} ({number:,})")
            if counts and len(counts) > _NAMED:
                others = sum(list(counts.values())[_NAMED:])
                typer.echo(f"{title}: {len(counts) - _NAMED} further names ({others:,})")
    if report.refused:
        raise typer.Exit(1)


def _lines(file: Path) -> AbstractContextManager[Iterable[bytes]]:
    import contextlib
    import sys

    from features.exceptions import IntentError

    if str(file) == "-":
        return contextlib.nullcontext(sys.stdin.buffer)
    try:
        return file.open("rb")
    except OSError as error:
        raise IntentError(f"cannot read {file}: {error.strerror}") from None

"""`intent partition`: show where partitions stand, skip records, set a watermark back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from features.store.partition_record import PartitionRecord
    from stream.ownership.interventions import Extent
    from stream.settings import Settings

Partition = Annotated[int, typer.Argument(metavar="PARTITION", min=0, help="The number of the partition.")]
Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; for the log of whoever looks into it later.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object with the original values.")]

_HELP = """
Show partitions, skip records, or set a watermark back.

A partition that cannot go on is parked: `/readyz` of its worker says at which offset and why, and the worker tries it
again by itself. Skip what stands there only if nothing else helps.

Examples
--------
- `intent partition show`: show offset, watermark, owner and lag of all partitions
- `intent partition skip 3 --to 1201 --reason "corrupt on disk"`: go on at offset 1201
"""


def register(app: typer.Typer) -> None:
    """Add `partition` and its subcommands."""
    partition = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help=_HELP)
    partition.command("show")(show)
    partition.command("skip")(skip)
    partition.command("reset-watermark")(reset_watermark)
    app.add_typer(partition, name="partition")


def show(
    partition: Annotated[
        int | None, typer.Argument(metavar="[PARTITION]", min=0, help="Only this one. Default: all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per partition.")] = False,
) -> None:
    """Show offset, watermark, owner and lag of partitions.

    The offset is that of the next record to be scored, the lag what lies between it and the end of the topic. The
    owner is the beginning of a worker's random token, and its epoch counts the claims so far.

    Examples
    --------
    - `intent partition show`: show all partitions
    - `intent partition show 3 --json | jq .lag`: print the lag of one
    """
    from stream.cli.console import output, print_json
    from stream.settings import load_settings

    settings = load_settings()
    known = _extents(settings, partition)
    records = _records(settings, list(known))
    rows = [_described(number, records[number], extent) for number, extent in known.items()]
    if as_json:
        for row in rows:
            print_json(row)
    else:
        output().print(_table(settings.events_topic, rows))
        if not any(records.values()):
            output().print(
                "Redis has no record of any partition: no worker has claimed one yet.", style="dim"
            )


def skip(
    partition: Partition,
    to: Annotated[
        int,
        typer.Option("--to", metavar="OFFSET", min=0, help="The offset of the record to go on with."),
    ],
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Have a partition go on at a later offset.

    The records before it are never scored, their events never counted; they stay in Kafka until they expire. It only
    goes forward. A worker that owns the partition drops what it has under way and goes on from there within seconds.

    Examples
    --------
    - `intent partition skip 3 --to 1201 --reason "corrupt on disk"`: leave out what lies before offset 1201
    """
    from contextlib import closing

    from features.store.redis_store import RedisStore
    from stream.cli import logs
    from stream.cli.console import print_json
    from stream.ownership import interventions
    from stream.settings import load_settings
    from stream.texts import counted

    logs.set_up(verbose=False)
    settings = load_settings()
    extent = _extents(settings, partition)[partition]
    with closing(RedisStore(settings.redis_url, settings.redis_prefix)) as store:
        before, after = interventions.skip(store, partition, to, extent, reason)
    skipped = after.next_offset - before.next_offset
    if as_json:
        print_json(
            {
                "partition": partition, "from": before.next_offset, "to": to, "skipped": skipped,
                "lag": extent.end - to, "reason": reason,
            }
        )  # fmt: skip
        return
    typer.echo(
        f"partition {partition} of {settings.events_topic} goes on at offset {to}: "
        f"skipped {counted(skipped, 'record')} at most ({before.next_offset} to {to - 1}), {extent.end - to:,} left"
    )


def reset_watermark(
    partition: Partition,
    reason: Reason,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="TIME",
            help="RFC 3339 (2026-03-01T12:00:00Z). Default: when the last scored record arrived, minus the lateness.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set a partition's watermark back.

    If an event from the future has moved the watermark of a partition, all later events are too late for it. This
    sets it back, by default to where events that arrived on time would have left it. Labels that the learner has
    released and events that became dead letters do not come back by themselves (`intent dead-letters replay --reason
    late` sends those again).

    Examples
    --------
    - `intent partition reset-watermark 3 --reason "bad clock"`: set it back to the last arrival minus the lateness
    - `intent partition reset-watermark 3 --to 2026-03-01T12:00:00Z --reason "bad clock"`: set it back to a given time
    """
    import asyncio
    from contextlib import closing

    from features.exceptions import IntentError
    from features.store.partition_record import NO_WATERMARK
    from features.store.redis_store import RedisStore
    from stream.cli import logs
    from stream.cli.console import print_json
    from stream.ownership import interventions
    from stream.settings import load_settings
    from stream.texts import moment

    logs.set_up(verbose=False)
    settings = load_settings()
    to_ms = None if to is None else _epoch_ms(to)
    _extents(settings, partition)
    with closing(RedisStore(settings.redis_url, settings.redis_prefix)) as store:
        record = store.record(partition)
        if to_ms is None and record is not None and record.watermark != NO_WATERMARK:
            offset = record.next_offset
            arrived = asyncio.run(interventions.append_time_before(settings, partition, offset))
            if arrived is None:
                raise IntentError(
                    f"partition {partition} holds no record before offset {offset} any more, whose arrival could say "
                    "how far to go back: give a time with --to"
                )
            to_ms = arrived - settings.lateness_ms
        before, after = interventions.reset_watermark(
            store, partition, to_ms or 0, reason, given=to is not None
        )
    if as_json:
        print_json(
            {
                "partition": partition, "from": _moment(before.watermark), "to": _moment(after.watermark),
                "reason": reason,
            }
        )  # fmt: skip
        return
    typer.echo(
        f"the watermark of partition {partition} of {settings.events_topic} went back from {moment(before.watermark)} "
        f"to {moment(after.watermark)}"
    )


def _extents(settings: Settings, partition: int | None) -> dict[int, Extent]:
    """Return what the partitions hold, or one of them."""
    import asyncio

    from stream.ownership.interventions import extents

    known = dict(sorted(asyncio.run(extents(settings)).items()))
    if partition is None:
        return known
    if partition not in known:
        raise typer.BadParameter(
            f"{settings.events_topic} has partitions 0 to {len(known) - 1}, not {partition}",
            param_hint="'PARTITION'",
        )
    return {partition: known[partition]}


def _records(settings: Settings, partitions: list[int]) -> dict[int, PartitionRecord | None]:
    from contextlib import closing

    from features.store.redis_store import RedisStore

    with closing(RedisStore(settings.redis_url, settings.redis_prefix)) as store:
        return {number: store.record(number) for number in partitions}


def _described(partition: int, record: PartitionRecord | None, extent: Extent) -> dict[str, Any]:
    if record is None:
        stands: dict[str, Any] = dict.fromkeys(("offset", "watermark", "epoch", "owner"))
        return {"partition": partition, **stands, "begin": extent.begin, "end": extent.end, "lag": None}
    return {
        "partition": partition,
        "offset": record.next_offset,
        "watermark": _moment(record.watermark),
        "epoch": record.epoch,
        "owner": record.token.hex()[:8],
        "begin": extent.begin,
        "end": extent.end,
        "lag": max(0, extent.end - record.next_offset),
    }


def _moment(watermark: int) -> str | None:
    from features.store.partition_record import NO_WATERMARK
    from stream.texts import moment

    return None if watermark == NO_WATERMARK else moment(watermark)


def _epoch_ms(text: str) -> int:
    from datetime import datetime

    from features.events import epoch_ms

    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is None:
            raise ValueError("no zone")
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time of the form 2026-03-01T12:00:00Z", param_hint="'--to'"
        ) from None
    return epoch_ms(time)


def _table(topic: str, rows: list[dict[str, Any]]) -> Any:
    from rich import box
    from rich.table import Table

    from stream.cli.console import add_columns

    table = Table(title=f"Partitions of {topic}", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    names = ("partition", "offset", "lag", "watermark", "epoch", "owner")
    add_columns(table, ("watermark",), *names, right=("partition", "offset", "lag", "epoch"))
    for row in rows:
        cells = [row[name] for name in names]
        table.add_row(
            *("-" if cell is None else f"{cell:,}" if type(cell) is int else str(cell) for cell in cells)
        )
    return table

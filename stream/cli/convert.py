"""`intent convert`: files of shops and public data sets to the event log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from offline.datasets import Conversion, Dataset

Source = Annotated[Path, typer.Argument(metavar="PATH", help="The file, or a folder of files.")]
Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="LOG", help="The event log to write (Parquet).")
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print the account of the conversion as one JSON object.")
]
Columns = Annotated[
    list[str],
    typer.Option(
        "--columns",
        metavar="FIELD=COLUMN,...",
        help="Column for each field: customer_id and event_time are needed, and type unless --types has a "
        "'*'. Further fields: event_id, item_id, category, price, quantity, value, currency, order_id, "
        "session_id, channel, device, country. May be repeated.",
    ),
]
Types = Annotated[
    list[str] | None,
    typer.Option(
        "--types",
        metavar="NAME=TYPE,...",
        help="Event type for each name that the file uses; names of event types pass as they are, others are "
        "dropped and counted. '*' stands for every name not given. May be repeated.",
    ),
]
Timezone = Annotated[
    str, typer.Option(metavar="ZONE", help="Zone of the times that name none, e.g. Europe/Berlin.")
]
TimeFormat = Annotated[
    str | None,
    typer.Option(
        metavar="FORMAT",
        help="Form of times that are neither ISO 8601 nor an epoch, if the order of day and month is not found "
        "out: '%d.%m.%Y %H:%M'.",
    ),
]
Encoding = Annotated[str, typer.Option(metavar="NAME", help="Encoding of the CSV file.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Stop at the first bad value instead of dropping its row.")
]


def register(app: typer.Typer) -> None:
    """Add `convert` and its subcommands."""
    convert = typer.Typer(
        no_args_is_help=True,
        help="Make an event log (Parquet) from files, and account for every row that is not in it.",
    )
    convert.command("online-retail")(online_retail)
    convert.command("retailrocket")(retailrocket)
    convert.command("rees46")(rees46)
    convert.command("csv")(csv)
    app.add_typer(convert, name="convert")


def online_retail(path: Source, output: Output, as_json: AsJson = False) -> None:
    """UCI Online Retail (xlsx, CSV or Parquet): one event per invoice.

    Cancellations become refunds, lines without a customer are dropped, times are those of London and money is
    GBP.

    **Example**

        intent convert online-retail online_retail.parquet -o retail.parquet
    """
    from offline.datasets import load_online_retail

    _convert(lambda progress: load_online_retail(path, on_progress=progress), output, as_json)


def retailrocket(path: Source, output: Output, as_json: AsJson = False) -> None:
    """RetailRocket's events.csv: views, carts, and one purchase per transaction.

    **Example**

        intent convert retailrocket events.csv -o retailrocket.parquet
    """
    from offline.datasets import load_retailrocket

    _convert(lambda progress: load_retailrocket(path, on_progress=progress), output, as_json)


def rees46(path: Source, output: Output, as_json: AsJson = False) -> None:
    """REES46 (Open CDP) logs, a month or a folder of months: views, carts, and one purchase per order.

    **Examples**

        intent convert rees46 2019-Oct.csv.gz -o october.parquet

        intent convert rees46 months/ -o log.parquet --json
    """
    from offline.datasets import load_rees46

    _convert(lambda progress: load_rees46(path, on_progress=progress), output, as_json)


def csv(  # noqa: PLR0917  (options of a command)
    path: Source,
    output: Output,
    columns: Columns,
    types: Types = None,
    timezone: Timezone = "UTC",
    time_format: TimeFormat = None,
    encoding: Encoding = "utf8",
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Any CSV or Parquet file with one row per event or order line, by naming its columns.

    Times may be ISO 8601 with or without a zone, an epoch (seconds or finer), or dates such as 03.02.2025 14:05;
    prices may have a decimal comma. How a column was read is noted in the account. Rows of one order_id become one
    purchase.

    **Examples**

        intent convert csv shop.csv -o log.parquet --columns
        customer_id=user,event_time=ts,type=event,price=amount --types cart=add_to_cart,paid=purchase

        intent convert csv orders.csv -o log.parquet --columns
        customer_id=client,event_time=date,order_id=nr,value=total --types '*=purchase' --timezone
        Europe/Berlin
    """  # noqa: E501  (a command is copied as one line)
    from offline.datasets import load_columns

    named = pairs(columns, "--columns", "customer_id=user,event_time=ts,type=event")
    # Names of a source's types are free, those of event types are not: the last "=" divides.
    events = pairs(types or [], "--types", "cart=add_to_cart,paid=purchase", last=True)
    _convert(
        lambda progress: load_columns(
            path,
            columns=named,
            types=events,
            timezone=timezone,
            time_format=time_format,
            encoding=encoding,
            strict=strict,
            on_progress=progress,
        ),
        output,
        as_json,
    )


def pairs(texts: list[str], option: str, example: str, *, last: bool = False) -> dict[str, str]:
    """Read an option of the form ``a=b,c=d``.

    Parameters
    ----------
    texts
        The option's values; it may have been given several times.
    option, example
        For the message where it is written otherwise.
    last
        Whether the last equals sign divides a pair, not the first.

    Raises
    ------
    typer.BadParameter
        If a part is not a pair, or names something twice.
    """
    found: dict[str, str] = {}
    for part in (part.strip() for text in texts for part in text.split(",")):
        left, divider, right = (p.strip() for p in (part.rpartition("=") if last else part.partition("=")))
        if not (left and divider and right):
            raise typer.BadParameter(f"{part!r} is not of the form NAME=NAME, as in {option} {example}")
        if left in found:
            raise typer.BadParameter(f"{left!r} is given twice in {option}")
        found[left] = right
    return found


def _convert(load: Callable[[Callable[[int, int], None]], Dataset], output: Path, as_json: bool) -> None:
    from stream.cli.console import print_json, progress

    with progress("Reading") as on_progress:
        dataset = load(on_progress)
    with progress("Writing") as on_progress:
        dataset.write(output, on_progress)
    if as_json:
        print_json(dataset.report.as_dict() | {"log": str(output)})
    else:
        _show(dataset.report, output)


def _show(report: Conversion, output: Path) -> None:
    from rich.markup import escape
    from rich.table import Table

    from stream.cli import console

    facts = Table(
        title=f"{report.source}: {', '.join(report.files[:3])}{', ...' if report.files[3:] else ''}"
    )
    facts.add_column("what", overflow="fold")
    facts.add_column("rows or events", justify="right")
    facts.add_column("example", overflow="fold")
    facts.add_row("rows read", f"{report.rows:,}")
    facts.add_row("events", f"{report.events:,}")
    for name, count in report.by_type.items():
        facts.add_row(f"  {name}", f"{count:,}")
    facts.add_row("rows merged into the event of their order", f"{report.merged:,}")
    facts.add_row("customers", f"{report.customers:,}")
    facts.add_row("first event", f"{report.first_time:%Y-%m-%d %H:%M:%S} UTC")
    facts.add_row("last event", f"{report.last_time:%Y-%m-%d %H:%M:%S} UTC")
    for title, counts in (("dropped rows", report.dropped), ("to be known", report.notes)):
        facts.add_section()
        facts.add_row(
            f"[bold]{title}[/bold]", f"{sum(c.rows for c in counts):,}" if title == "dropped rows" else ""
        )
        for c in counts:
            facts.add_row(f"  {escape(c.reason)}", f"{c.rows:,}", escape(c.example or ""))
    out = console.output()
    out.print(facts)
    out.print(f"Log: {escape(str(output))}", soft_wrap=True)

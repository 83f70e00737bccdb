"""`intent convert`: a shop's files and public data sets to an event log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli import checks
from stream.cli.options import LogOutput

if TYPE_CHECKING:
    from offline.datasets import Dataset
    from offline.datasets.shop_exports import Export

Source = Annotated[
    Path, typer.Argument(metavar="PATH", callback=checks.existing_path, help="A file, or a folder of files.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")]
Columns = Annotated[
    list[str],
    typer.Option(
        "--columns",
        metavar="FIELD=COLUMN,...",
        help="Which column holds which field. Required: customer_id, event_time, and type unless --types has "
        "'*'. Optional: event_id, item_id, category, price, quantity, value, currency, order_id, session_id, "
        "channel, device, country, bot. Repeatable.",
    ),
]
Types = Annotated[
    list[str] | None,
    typer.Option(
        "--types",
        metavar="NAME=TYPE,...",
        help="Event type for each name in the type column; '*' stands for all other names. Names that are event "
        "types already need no entry; rows of unknown types are dropped and counted. Repeatable.",
    ),
]
Timezone = Annotated[
    str, typer.Option(metavar="ZONE", help="Time zone of times that have none, such as Europe/Berlin.")
]
ShopZone = Annotated[
    str,
    typer.Option(
        metavar="ZONE",
        help="Time zone of the shop, such as Europe/Berlin: of hours and days, and of times in tables that have none.",
    ),
]
TimeFormat = Annotated[
    str | None,
    typer.Option(
        metavar="FORMAT",
        help="Format of all times: '%d.%m.%Y %H:%M', '%Y%m%d'. By default it is found out; needed only if the summary "
        "says another one than yours.",
    ),
]
Encoding = Annotated[
    str, typer.Option(metavar="NAME", callback=checks.encoding, help="Encoding of the CSV file.")
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Stop at the first invalid value instead of dropping its row.")
]

_HELP = """
Convert a shop's files or a public data set to an event log.

The log (Parquet) is what `intent train`, `report`, `score` and `replay` read. A summary counts every row that was
dropped or merged, and says why. For your own CSV use `intent convert csv`.

Examples
--------
- `intent convert csv shop.csv -o log.parquet --columns customer_id=user,event_time=ts,type=event`: convert your own
  file
- `intent convert ga4 events_20260301.jsonl -o log.parquet`: convert the export of GA4 to BigQuery
- `intent convert shopify orders_export.csv -o log.parquet`: convert the order export of a shop
- `intent convert rees46 2019-Oct.csv.gz -o log.parquet`: convert a public data set
"""


def register(app: typer.Typer) -> None:
    """Add `convert` and its subcommands."""
    convert = typer.Typer(
        no_args_is_help=True,
        help=_HELP,
    )
    for command in (ga4, segment, snowplow, shopify, woocommerce, olist):
        convert.command(command.__name__)(command)
    convert.command("online-retail")(online_retail)
    convert.command("online-retail-ii")(online_retail_ii)
    convert.command("retailrocket")(retailrocket)
    convert.command("rees46")(rees46)
    convert.command("csv")(csv)
    app.add_typer(convert, name="convert")


def ga4(path: Source, output: LogOutput, timezone: ShopZone = "UTC", as_json: AsJson = False) -> None:
    """Convert events of Google Analytics 4.

    Rows of the export to BigQuery (JSON lines or Parquet), or requests of the Measurement Protocol (JSON lines).
    `docs/formats.md` says what becomes of each event.

    Examples
    --------
    - `intent convert ga4 events_20260301.jsonl -o log.parquet`: convert a day of the export
    - `intent convert ga4 export/ -o log.parquet --timezone Europe/Berlin`: convert a folder of days
    """
    _convert_messages("ga4", path, output, timezone, as_json)


def segment(path: Source, output: LogOutput, timezone: ShopZone = "UTC", as_json: AsJson = False) -> None:
    """Convert calls of Segment or RudderStack (JSON lines).

    E-commerce events become events, other calls are counted. `docs/formats.md` says what becomes of each.

    Examples
    --------
    - `intent convert segment archive/ -o log.parquet`: convert a folder of archived calls
    """
    _convert_messages("segment", path, output, timezone, as_json)


def snowplow(path: Source, output: LogOutput, timezone: ShopZone = "UTC", as_json: AsJson = False) -> None:
    """Convert enriched events of Snowplow.

    Files are tab-separated text, or JSON lines of an analytics SDK. E-commerce events become events, other ones are
    counted. `docs/formats.md` says what becomes of each.

    Examples
    --------
    - `intent convert snowplow enriched.tsv.gz -o log.parquet`: convert a file of enriched events
    """
    _convert_messages("snowplow", path, output, timezone, as_json)


def shopify(path: Source, output: LogOutput, timezone: ShopZone = "UTC", as_json: AsJson = False) -> None:
    """Convert orders of Shopify.

    The order export (CSV), or webhooks (JSON). Orders that were never paid are dropped and counted.

    Examples
    --------
    - `intent convert shopify orders_export.csv -o log.parquet --timezone Europe/Berlin`: convert the export
    - `intent convert shopify webhooks.jsonl -o log.parquet`: convert recorded webhooks
    """
    from offline.datasets import SHOPIFY

    _convert_export("shopify", path, SHOPIFY, output, timezone, as_json)


def woocommerce(path: Source, output: LogOutput, timezone: ShopZone = "UTC", as_json: AsJson = False) -> None:
    """Convert orders of WooCommerce.

    The file of an export plugin (CSV), or orders of the REST API (JSON). Orders that were never paid are dropped and
    counted.

    Examples
    --------
    - `intent convert woocommerce orders.csv -o log.parquet --timezone Europe/Berlin`: convert an export
    - `intent convert woocommerce orders.json -o log.parquet`: convert what the REST API answered
    """
    from offline.datasets import WOOCOMMERCE

    _convert_export("woocommerce", path, WOOCOMMERCE, output, timezone, as_json)


def olist(path: Source, output: LogOutput, as_json: AsJson = False) -> None:
    """Convert the folder of Olist's Brazilian orders (CSV).

    One purchase per order, freight included; money is in BRL.

    Examples
    --------
    - `intent convert olist olist/ -o olist.parquet`: convert the folder
    """
    from offline.datasets import load_olist

    _convert(lambda progress: load_olist(path, on_progress=progress), output, as_json)


def online_retail_ii(path: Source, output: LogOutput, as_json: AsJson = False) -> None:
    """Convert UCI Online Retail II (xlsx, CSV or Parquet).

    As `online-retail`, which reads both. The workbook has two sheets; invoices that stand in both sheets count once.

    Examples
    --------
    - `intent convert online-retail-ii online_retail_II.xlsx -o retail.parquet`: convert the invoices of two years
    """
    online_retail(path, output, as_json)


def online_retail(path: Source, output: LogOutput, as_json: AsJson = False) -> None:
    """Convert UCI Online Retail (xlsx, CSV or Parquet).

    One event per invoice. Cancellations become refunds, and lines without a customer are dropped. Times are in London
    time, money is in GBP.

    Examples
    --------
    - `intent convert online-retail online_retail.parquet -o retail.parquet`: convert the invoices
    """
    from offline.datasets import load_online_retail

    _convert(lambda progress: load_online_retail(path, on_progress=progress), output, as_json)


def retailrocket(path: Source, output: LogOutput, as_json: AsJson = False) -> None:
    """Convert the events.csv of RetailRocket.

    Views, carts, and one purchase per transaction.

    Examples
    --------
    - `intent convert retailrocket events.csv -o retailrocket.parquet`: convert the events
    """
    from offline.datasets import load_retailrocket

    _convert(lambda progress: load_retailrocket(path, on_progress=progress), output, as_json)


def rees46(path: Source, output: LogOutput, as_json: AsJson = False) -> None:
    """Convert REES46 (Open CDP) files: one month, or a folder.

    Views, carts, and one purchase per order.

    Examples
    --------
    - `intent convert rees46 2019-Oct.csv.gz -o october.parquet`: convert one month
    - `intent convert rees46 months/ -o log.parquet --json`: convert a folder of months; print the summary as JSON
    """
    from offline.datasets import load_rees46

    _convert(lambda progress: load_rees46(path, on_progress=progress), output, as_json)


def csv(  # noqa: PLR0917  (options of a command)
    path: Source,
    output: LogOutput,
    columns: Columns,
    types: Types = None,
    timezone: Timezone = "UTC",
    time_format: TimeFormat = None,
    encoding: Encoding = "utf8",
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Convert any CSV or Parquet file by naming its columns.

    The file has one row per event or order line. Times are ISO 8601 with or without a zone, an epoch (seconds or
    finer), or dates such as 03.02.2025 14:05; prices may have a decimal comma. The summary says how each column was
    read. Rows with the same order_id become one purchase.

    Examples
    --------
    - `intent convert csv shop.csv -o log.parquet --columns customer_id=user,event_time=ts,type=event,price=amount
      --types cart=add_to_cart,paid=purchase`: convert a file of events
    - `intent convert csv orders.csv -o log.parquet --columns
      customer_id=client,event_time=date,order_id=nr,value=total --types '*=purchase' --timezone Europe/Berlin`:
      convert a file of orders, where every row is a purchase
    """
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
            raise typer.BadParameter(f"{part!r} is not of the form NAME=NAME: use {option} {example}")
        if left in found:
            raise typer.BadParameter(f"{left!r} is given twice in {option}: name it once")
        found[left] = right
    return found


def _convert_messages(name: str, path: Path, output: Path, timezone: str, as_json: bool) -> None:
    """Convert files of messages, each translated by the format of this name."""
    from offline.datasets import load_messages
    from offline.datasets.messages import Translated
    from stream.formats.contract import Message
    from stream.formats.plain import PLAIN
    from stream.formats.shopify import Shopify
    from stream.formats.woocommerce import WooCommerce

    form = {**PLAIN, "shopify": Shopify(history=True), "woocommerce": WooCommerce()}[name]

    def translate(message: bytes) -> Translated:
        found = form.translate(Message(message))
        return Translated(found.events, found.ignored, found.logins)

    _convert(
        lambda progress: load_messages(path, translate, source=name, timezone=timezone, on_progress=progress),
        output,
        as_json,
    )


def _convert_export(
    name: str, path: Path, export: Export, output: Path, timezone: str, as_json: bool
) -> None:
    """Convert a shop's order export, or, where the files are no tables, its messages."""
    from offline.datasets import load_export

    if _holds_messages(path):
        _convert_messages(name, path, output, timezone, as_json)
        return
    _convert(
        lambda progress: load_export(path, export, timezone=timezone, on_progress=progress), output, as_json
    )


def _holds_messages(path: Path) -> bool:
    """Whether a file, or the first one of a folder, is JSON by its name."""
    names = sorted(one.name for one in path.iterdir()) if path.is_dir() else [path.name]
    endings = (".json", ".jsonl", ".ndjson")
    return any(name.lower().removesuffix(".gz").removesuffix(".zip").endswith(endings) for name in names)


def _convert(load: Callable[[Callable[[int, int], None]], Dataset], output: Path, as_json: bool) -> None:
    from features.items import write_items
    from stream.cli.console import print_json, progress
    from stream.cli.convert_view import show

    with progress("Reading") as on_progress:
        dataset = load(on_progress)
    with progress("Writing") as on_progress:
        dataset.write(output, on_progress)
    items = write_items(output, dataset.items)
    if as_json:
        named = {"items": str(items)} if items else {}
        print_json(dataset.report.as_dict() | {"log": str(output)} | named)
    else:
        show(dataset.report, output, items)

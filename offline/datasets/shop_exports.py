"""Order exports of shops (CSV): Shopify's, and those of WooCommerce's export plugins.

The columns of each export are known, so that nobody has to name them; how rows are understood is what
`offline.datasets.columns` says. Orders that were never paid are dropped by their status, and counted. Exports tell
no date of a refund, so amounts paid back are noted, not converted. A customer is the e-mail address in small letters:
numbers of accounts are 0 for all guests, or are not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.items import ItemNames
from offline.datasets.columns import load_columns
from offline.datasets.conversion import Count, DatasetError, Tally
from offline.datasets.dataset import Dataset, codes, plain
from offline.datasets.numbers import as_numbers
from offline.datasets.source_files import Block, column_names, find_files, read_blocks
from offline.datasets.values import Bools, as_dictionary, as_text, mask
from offline.progress import OnProgress


@dataclass(frozen=True)
class Export:
    """The columns of an export.

    Attributes
    ----------
    name
        Of the loader.
    columns
        For each field of an event the columns that may hold it, the best first.
    types
        Event type of each status.
    item_names, refunded
        Columns of an item's name and of what was paid back.
    items
        Columns that identify an item; the first that every row fills, else the last.
    """

    name: str
    columns: Mapping[str, Sequence[str]]
    types: Mapping[str, str]
    items: Sequence[str]
    item_names: Sequence[str]
    refunded: Sequence[str]
    cancelled: Sequence[str] = ()


SHOPIFY: Final = Export(
    "shopify",
    {
        "order_id": ("Name",),
        "customer_id": ("Email",),
        "event_time": ("Created at",),
        "type": ("Financial Status",),
        "currency": ("Currency",),
        "value": ("Total",),
        "price": ("Lineitem price",),
        "quantity": ("Lineitem quantity",),
        "country": ("Shipping Country", "Billing Country"),
    },
    {
        status: "purchase"
        for status in ("paid", "partially_paid", "authorized", "partially_refunded", "refunded")
    },
    ("Lineitem sku", "Lineitem name"),
    ("Lineitem name",),
    ("Refunded Amount",),
    ("Cancelled at",),
)

WOOCOMMERCE: Final = Export(
    "woocommerce",
    {
        "order_id": ("Order Number", "order_number", "order_id", "Order ID"),
        "customer_id": ("Email (Billing)", "billing_email", "Billing Email Address", "Billing Email"),
        "event_time": ("Order Date", "order_date", "date"),
        "type": ("Order Status", "order_status", "status"),
        "currency": ("Order Currency", "order_currency", "Currency"),
        "value": ("Order Total Amount", "order_total", "Order Total"),
        "price": ("Item Cost", "item_price", "Product Item Price"),
        "quantity": ("Quantity (- Refund)", "Quantity", "item_quantity", "Product Quantity"),
        "country": ("Country Code (Shipping)", "shipping_country", "Country Code (Billing)", "billing_country"),
    },
    {status: "purchase" for paid in ("processing", "completed", "refunded")
     for status in (paid, paid.capitalize(), f"wc-{paid}")},
    ("SKU", "item_sku", "Product Id", "item_product_id", "Item Name", "item_name"),
    ("Item Name", "item_name", "Product Name"),
    ("Order Refund Amount", "refunded_total", "Total Refunded"),
)  # fmt: skip


def load_export(
    path: Path, export: Export, *, timezone: str = "UTC", on_progress: OnProgress | None = None
) -> Dataset:
    """Convert an order export.

    Parameters
    ----------
    path
        A CSV file, or a folder of such files with the same columns.
    export
        `SHOPIFY` or `WOOCOMMERCE`.
    timezone
        IANA name of the zone of times that name none.
    on_progress
        Called with bytes read and bytes in all.

    Raises
    ------
    DatasetError
        If a column is missing that an order cannot do without, or a file cannot be read.
    """
    files = find_files(Path(path))
    there = column_names(files[0])
    columns = {field: found for field, names in export.columns.items() if (found := _first(names, there))}
    if missing := [name for name in ("order_id", "customer_id", "event_time", "type") if name not in columns]:
        wanted = " or ".join(map(repr, export.columns[missing[0]]))
        raise DatasetError(
            f"{files[0]} is no order export of {export.name}: it has no column {wanted}; for other columns use "
            "`intent convert csv`"
        )
    known = _look(files, export, there)
    if known.item is not None:
        columns["item_id"] = known.item
    dataset = load_columns(
        path, columns=columns, types=export.types, timezone=timezone, on_progress=on_progress
    )
    draft = _small_letters(dataset.draft)
    report = replace(
        dataset.report,
        source=export.name,
        notes=(*dataset.report.notes, *known.notes),
        customers=len(np.unique(codes(draft["customer_id"]))),
    )
    return replace(dataset, draft=draft, report=report, items=known.names.table())


def _small_letters(draft: pa.Table) -> pa.Table:
    """Return the draft with customers, who are e-mail addresses, in small letters."""
    at = draft.column_names.index("customer_id")
    return draft.set_column(at, "customer_id", as_dictionary(pc.utf8_lower(plain(draft["customer_id"]))))


@dataclass(frozen=True)
class _Known:
    """What a first look at an export found: the column of items, their names, what is to be noted."""

    item: str | None
    names: ItemNames
    notes: tuple[Count, ...]


def _look(files: Sequence[Path], export: Export, there: Sequence[str]) -> _Known:
    candidates = [name for name in export.items if name in there]
    called, refunded, cancelled = (
        _first(names, there) for names in (export.item_names, export.refunded, export.cancelled)
    )
    wanted = list(dict.fromkeys([*candidates, *filter(None, (called, refunded, cancelled))]))
    if not wanted:
        return _Known(None, ItemNames(), ())
    ignored, notes = Tally(), Tally()
    texts: dict[str, list[pa.Array]] = {name: [] for name in wanted}
    for block in read_blocks(files, wanted, broken=ignored, notes=ignored):
        for name in wanted:
            texts[name].append(as_text(block.data.column(name)).cast(pa.string()))
        _note_undone(notes, block, refunded, cancelled)
    columns = {name: pa.concat_arrays(parts) for name, parts in texts.items()}
    full = [name for name in candidates if columns[name].null_count == 0]
    item = full[0] if full else candidates[-1] if candidates else None
    names = ItemNames()
    if item is not None and called is not None and called != item:
        names.add_rows(columns[item], columns[called])
    return _Known(item, names, notes.counts())


def _note_undone(notes: Tally, block: Block, refunded: str | None, cancelled: str | None) -> None:
    """Count orders that were paid back or cancelled: the export has no refunds of their own."""
    rows = block.data.num_rows
    back = np.zeros(rows, bool)
    if refunded is not None:
        values = block.data.column(refunded)
        back = np.nan_to_num(np.abs(as_numbers(values)[0])) > 0
        notes.add(
            "order of which money was paid back, on a day that the export does not tell: no refund",
            *_first_row(block, back, refunded),
        )
    if cancelled is not None:
        off = mask(pc.is_valid(as_text(block.data.column(cancelled)))) & ~back
        notes.add(
            "order that was cancelled, with no money paid back: kept as a purchase",
            *_first_row(block, off, cancelled),
        )


def _first_row(block: Block, marked: Bools, column: str) -> tuple[int, str]:
    row = block.first_row + int(np.argmax(marked))
    return int(marked.sum()), f"{block.file.name}, row {row}, column {column!r}"


def _first(names: Sequence[str], there: Sequence[str]) -> str | None:
    return next((name for name in names if name in there), None)

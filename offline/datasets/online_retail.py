"""UCI Online Retail: the invoice lines of a British gift shop, 2010-12 to 2011-12.

Chen, D. (2015). Online Retail. UCI Machine Learning Repository, doi 10.24432/C5BW33 (CC BY 4.0). The
successor, Online Retail II (2009-12 to 2011-12, doi 10.24432/C5CG6D), has the same lines under other column
names and is read as well.

How the source is understood:

- One ``purchase`` per invoice: value and quantity are the sums of its lines, postage and the like included,
  because the customer pays them; ``items`` lists the products only.
- An invoice ``C...`` is a cancellation or a discount: one ``refund`` with positive value and quantities. It
  does not say which invoice it belongs to, so its `order_id` is its own number.
- An invoice ``A...`` adjusts bad debt and is nobody's order: dropped.
- **Exact duplicate lines are kept.** They are not copies of records: they stand apart within their invoice
  (17 lines on average), 71% of them with quantity 1, and nearly as many lines (4,857 beside 5,192 in orders)
  repeat a product of their invoice with another quantity or price: the product was booked twice. The
  documented 397,924 lines include them. What is dropped is an invoice that comes again as a whole, elsewhere
  in the file (the two sheets of Online Retail II overlap).
- ``Description`` is no field of an event: the names of products go into the log's file of items.
- Times are minutes of the clock in London. An invoice whose lines have two minutes is dated by the later one.
"""

from __future__ import annotations

import importlib.util
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.events import MAX_ID, MAX_MONEY, MAX_QUANTITY, MAX_TEXT, PURCHASE, REFUND
from features.items import ItemNames
from offline.datasets.column_forms import note_times
from offline.datasets.conversion import DatasetError, Sieve, Tally
from offline.datasets.csv_bytes import WESTERN, detect_encoding
from offline.datasets.dataset import Dataset, codes, finish, first_marked, join, plain, repeated
from offline.datasets.numbers import as_numbers, number_signs
from offline.datasets.orders import merge, with_ids
from offline.datasets.source_files import check_columns, column_names, find_files, read_blocks
from offline.datasets.times import Times, as_times, time_signs, unfit_time, zone
from offline.datasets.values import as_dictionary, as_text, constant, mask, too_long, without_point_zero
from offline.progress import OnProgress

#: Stock codes that are no products: postage, carriage, manual entries, discounts, samples, fees, commission,
#: bad debt.
NOT_PRODUCTS = frozenset(
    {"POST", "DOT", "C2", "C3", "M", "D", "S", "B", "CRUK", "AMAZONFEE", "BANK CHARGES"}
    | {"ADJUST", "ADJUST2", "TEST001", "TEST002"}
)

_TIMEZONE = "Europe/London"
_EXCEL = (".xlsx",)
# The names in Online Retail, and in Online Retail II.
_COLUMNS = {
    "InvoiceNo": "Invoice",
    "StockCode": "StockCode",
    "Quantity": "Quantity",
    "InvoiceDate": "InvoiceDate",
    "UnitPrice": "Price",
    "CustomerID": "Customer ID",
    "Country": "Country",
}
# What a product is called, in both; copies may lack it.
_DESCRIPTION = "Description"
# CSV copies of the workbook write month first, with or without the century.
_FORMATS = ("%m/%d/%Y %H:%M", "%m/%d/%y %H:%M")


def load_online_retail(path: Path, *, on_progress: OnProgress | None = None) -> Dataset:
    """Convert Online Retail to one event per invoice.

    Parameters
    ----------
    path
        The workbook (.xlsx, needs openpyxl), or a CSV or Parquet copy of it.
    on_progress
        Called with bytes read and bytes in all.

    Raises
    ------
    DatasetError
        If the file cannot be read or lacks a column.
    """
    files = find_files(Path(path), *_EXCEL)
    if len(files) > 1:
        raise DatasetError(f"Online Retail is one file, but {path} has {len(files)} data files; name the one")
    dropped, notes = Tally(), Tally()
    table = _read(files[0], dropped, notes, on_progress)
    lines = _lines(table, files[0].name, dropped, notes)

    invoice, customer = codes(lines["order_id"]), codes(lines["customer_id"])
    order = invoice * (int(customer.max(initial=0)) + 1) + customer
    product = ~np.isin(_texts(lines["item_id"]), list(NOT_PRODUCTS))
    notes.add(
        "line that is no product (postage, fee, discount, ...): counted in value and quantity, not listed",
        int((~product).sum()),
        first_marked(lines, ~product),
    )
    _note_repetitions(lines, order, notes)
    result = merge(lines, order, dropped=dropped, notes=notes, listed=product)
    orders = with_ids(result.orders, "online-retail")
    if orders.num_rows:  # otherwise there is no value either; `finish` says that nothing is left
        free = mask(pc.equal(orders["value"], 0))
        notes.add("order of value 0: kept, the goods were free", int(free.sum()), first_marked(orders, free))
    dataset = finish(
        "online-retail",
        files,
        table.num_rows,
        orders,
        merged=result.merged,
        dropped=dropped,
        notes=notes,
        timezone=_TIMEZONE,
    )
    return replace(dataset, items=_item_names(table))


def _item_names(table: pa.Table) -> pa.Table | None:
    """Return what products are called: in lines of customers, for the others say what became of stock."""
    if _DESCRIPTION not in table.column_names:
        return None
    sold = table.filter(pc.is_valid(table["CustomerID"]))
    names = ItemNames()
    names.add_rows(
        as_text(_single(sold["StockCode"])), pc.utf8_trim_whitespace(as_text(_single(sold[_DESCRIPTION])))
    )
    return names.table()


def _read(file: Path, dropped: Tally, notes: Tally, on_progress: OnProgress | None) -> pa.Table:
    """Return the columns of interest under the names of Online Retail."""
    if file.name.lower().endswith(_EXCEL):
        table = _read_excel(file)
        names = _names(file, table.column_names)
        table = table.select(list(names))
    else:
        # Older CSV copies are Latin-1, for the pound signs in them.
        encoding = detect_encoding(file)
        encoding = "latin1" if encoding == WESTERN else encoding
        names = _names(file, column_names(file, encoding))
        blocks = read_blocks(
            [file], list(names), broken=dropped, notes=notes, encoding=encoding, on_progress=on_progress
        )
        batches = [block.data for block in blocks]
        table = pa.Table.from_batches(batches)
    return table.rename_columns([names[name] for name in table.column_names]).combine_chunks()


def _names(file: Path, there: list[str]) -> dict[str, str]:
    second = [name for name in _COLUMNS if name not in there and _COLUMNS[name] in there]
    names = {(_COLUMNS[name] if name in second else name): name for name in _COLUMNS}
    check_columns(file, list(names), there)
    return names | ({_DESCRIPTION: _DESCRIPTION} if _DESCRIPTION in there else {})


def _read_excel(file: Path) -> pa.Table:
    if importlib.util.find_spec("openpyxl") is None:
        raise DatasetError(f"reading {file} needs openpyxl: pip install openpyxl, or convert the file to CSV")
    try:
        sheets = pd.read_excel(file, sheet_name=None, dtype=object)
    except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise DatasetError(f"cannot read {file} as a workbook: {error}") from error
    frame = pd.concat(sheets.values(), ignore_index=True)
    return pa.table(
        {
            str(name): pa.array([None if pd.isna(v) else str(v) for v in frame[name]], pa.string())
            for name in frame
        }
    )


class _Fields(NamedTuple):
    """The columns of a table as they were understood, and as they stand in the file."""

    raw: dict[str, pa.Array]
    invoice: pa.Array
    customer: pa.Array
    stock: pa.Array
    country: pa.Array
    quantity: NDArray[np.float64]
    bad_quantity: NDArray[np.bool_]
    price: NDArray[np.float64]
    bad_price: NDArray[np.bool_]
    times: Times
    ordered: NDArray[np.bool_]
    cancelled: NDArray[np.bool_]


def _lines(table: pa.Table, file: str, dropped: Tally, notes: Tally) -> pa.Table:
    """Return the lines of orders and cancellations that name a customer, as a draft."""
    rows = table.num_rows
    fields = _fields(table)
    signs = time_signs(fields.raw["InvoiceDate"])
    note_times(notes, "InvoiceDate", signs, signs.form())
    sieve = Sieve(rows, dropped, file, 1)
    _sift(fields, sieve)
    keep, times = sieve.keep, fields.times
    for what, marked, column in (
        (
            "time that the clock left out in spring: read as the moment it jumped to",
            times.skipped,
            "InvoiceDate",
        ),
        ("time that the clock showed twice in autumn: read as the first", times.twice, "InvoiceDate"),
        ("line at price 0: kept", fields.price == 0, "UnitPrice"),
    ):
        notes.add(what, *sieve.first(marked & keep, column, fields.raw[column]))
    pieces = np.abs(np.nan_to_num(fields.quantity)).clip(0, MAX_QUANTITY)
    draft = pa.table(
        {
            "row": np.arange(rows, dtype=np.int64),
            "type": np.where(fields.ordered, PURCHASE, REFUND).astype(np.int8),
            "event_time": times.ms,
            "customer_id": as_dictionary(fields.customer),
            "item_id": as_dictionary(fields.stock),
            "price": pa.array(fields.price),
            "quantity": pa.array(pieces.astype(np.int64)),
            "currency": constant("GBP", rows),
            "order_id": as_dictionary(fields.invoice),
            "country": as_dictionary(fields.country),
        }
    )
    return join([draft.filter(pa.array(keep))])


def _fields(table: pa.Table) -> _Fields:
    raw = {name: _single(table[name]) for name in table.column_names}
    invoice = pc.utf8_upper(without_point_zero(as_text(raw["InvoiceNo"])))
    return _Fields(
        raw,
        invoice,
        without_point_zero(as_text(raw["CustomerID"])),
        as_text(raw["StockCode"]),
        as_text(raw["Country"]),
        *as_numbers(raw["Quantity"], number_signs(raw["Quantity"]).form()),
        *as_numbers(raw["UnitPrice"], number_signs(raw["UnitPrice"]).form()),
        as_times(raw["InvoiceDate"], zone(_TIMEZONE), _FORMATS, time_signs(raw["InvoiceDate"]).form()),
        mask(pc.match_substring_regex(invoice, r"^\d+$")),
        mask(pc.match_substring_regex(invoice, r"^C\d+$")),
    )


def _sift(fields: _Fields, sieve: Sieve) -> None:
    """Drop what is no line of an order or cancellation, and reject what cannot be read; the first reason counts."""
    raw, quantity, price = fields.raw, fields.quantity, fields.price
    sieve.drop(mask(pc.starts_with(fields.invoice, "A")), "adjustment of bad debt (invoice A...)")
    sieve.drop(mask(pc.is_null(fields.customer)), "no customer")
    unknown = ~(fields.ordered | fields.cancelled)
    sieve.reject(unknown, "invoice number of an unknown form", "InvoiceNo", raw["InvoiceNo"])
    again = _again(fields.invoice, fields.stock, quantity, price, fields.times.ms)
    sieve.drop(again, "line of an invoice that comes again as a whole")
    sieve.reject(unfit_time(fields.times), "unreadable time", "InvoiceDate", raw["InvoiceDate"])
    unfit = fields.bad_quantity | np.isnan(quantity) | (np.abs(quantity) > MAX_QUANTITY) | (quantity % 1 != 0)
    sieve.reject(unfit, "quantity is no whole number within the limits", "Quantity", raw["Quantity"])
    sieve.drop(fields.ordered & (quantity <= 0), "order line with a quantity of 0 or less")
    sieve.drop(fields.cancelled & (quantity >= 0), "cancellation line with a quantity of 0 or more")
    unfit = fields.bad_price | np.isnan(price) | (price < 0) | (price > MAX_MONEY)
    sieve.reject(unfit, "price is below 0, missing or no number", "UnitPrice", raw["UnitPrice"])
    for name, text, limit in (
        ("InvoiceNo", fields.invoice, MAX_ID // 2),
        ("CustomerID", fields.customer, MAX_ID // 4),
        ("StockCode", fields.stock, MAX_ID),
        ("Country", fields.country, MAX_TEXT),
    ):
        sieve.reject(too_long(text, limit), f"text of more than {limit} characters", name, raw[name])


def _again(
    invoice: pa.Array,
    stock: pa.Array,
    quantity: NDArray[np.float64],
    price: NDArray[np.float64],
    time: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Mark the lines of an invoice that stands in the file once more, elsewhere and with the same lines."""
    frame = pd.DataFrame({"invoice": _numbered(invoice), "stock": _numbered(stock)})
    frame["quantity"], frame["price"], frame["time"] = quantity, price, time
    prints = pd.util.hash_pandas_object(frame, index=False)
    block = (frame["invoice"] != frame["invoice"].shift()).cumsum()
    blocks = pd.DataFrame({"invoice": frame["invoice"], "print": prints}).groupby(block)
    found = blocks.agg(invoice=("invoice", "first"), print=("print", "sum"), lines=("print", "size"))
    return np.asarray(found.duplicated().reindex(block), dtype=bool)


def _note_repetitions(lines: pa.Table, order: NDArray[np.int64], notes: Tally) -> None:
    columns = (lines["price"].to_numpy(), lines["quantity"].to_numpy(), lines["event_time"].to_numpy())
    again = repeated(*columns, codes(lines["item_id"]), order)
    notes.add(
        "line equal to another of its invoice in product, quantity and price: kept, it was booked twice",
        int(again.sum()),
        first_marked(lines, again),
    )


def _single(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks != 1 else column.chunk(0)


def _texts(column: pa.ChunkedArray) -> NDArray[np.object_]:
    return np.asarray(plain(column).to_numpy(zero_copy_only=False), dtype=object)


def _numbered(text: pa.Array) -> NDArray[np.int64]:
    return codes(pa.chunked_array([as_dictionary(text)]))

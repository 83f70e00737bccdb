"""Olist: orders of Brazilian shops on one marketplace, 2016 to 2018.

"Brazilian E-Commerce Public Dataset by Olist" (Kaggle, CC BY-NC-SA 4.0): a folder of CSV files, of which orders, order
items and customers are needed; products and the translation of categories are used where they are there.

How the source is understood:

- One ``purchase`` per order, at ``order_purchase_timestamp``. Its value is what the customer paid: prices and freight.
  A row of the order items is one piece.
- ``customer_unique_id`` is the customer; ``customer_id`` is another one with every order.
- Orders that were ``canceled`` or are ``unavailable`` are dropped: nothing says when that was found out.
- Categories are in English where the translation has them. Products have no names.
- Times are those of the clock in Sao Paulo, money is in BRL.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.events import MAX_MONEY, PURCHASE
from features.items import ItemNames
from offline.datasets.conversion import DatasetError, Sieve, Tally
from offline.datasets.dataset import Dataset, codes, finish, join
from offline.datasets.numbers import as_numbers
from offline.datasets.orders import merge, with_ids
from offline.datasets.source_files import find_files, read_blocks
from offline.datasets.times import as_times, unfit_time, zone
from offline.datasets.values import as_dictionary, as_text, constant, mask
from offline.progress import OnProgress

_TIMEZONE: Final = "America/Sao_Paulo"
_NEVER_BOUGHT: Final = ("canceled", "unavailable")
_ORDERS: Final = "olist_orders_dataset"
_ITEMS: Final = "olist_order_items_dataset"
_CUSTOMERS: Final = "olist_customers_dataset"
_PRODUCTS: Final = "olist_products_dataset"
_TRANSLATION: Final = "product_category_name_translation"


def load_olist(path: Path, *, on_progress: OnProgress | None = None) -> Dataset:
    """Convert the folder of Olist's files.

    Parameters
    ----------
    path
        The folder.
    on_progress
        Called with steps done and steps in all.

    Raises
    ------
    DatasetError
        If a file is missing, cannot be read or lacks a column.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise DatasetError(f"{folder} is a file: name the folder with Olist's files")
    files = {file.name.split(".")[0]: file for file in find_files(folder)}
    for name in (_ORDERS, _ITEMS, _CUSTOMERS):
        if name not in files:
            raise DatasetError(f"{folder} has no {name}.csv: name the folder with Olist's files")
    dropped, notes = Tally(), Tally()
    lines = _table(files[_ITEMS], ("order_id", "product_id", "price", "freight_value"), dropped, notes)
    rows = lines.num_rows
    categories = _categories(files, dropped, notes)
    draft, totals = _lines(files, lines, categories, dropped, notes)
    order = codes(draft["order_id"])
    result = merge(draft, order, dropped=dropped, notes=notes, totals=totals)
    used = [files[name] for name in (_ORDERS, _ITEMS, _CUSTOMERS, _PRODUCTS) if name in files]
    if on_progress is not None:
        on_progress(1, 1)
    dataset = finish(
        "olist",
        used,
        rows,
        with_ids(result.orders, "olist"),
        merged=result.merged,
        dropped=dropped,
        notes=notes,
        timezone=_TIMEZONE,
    )
    items = ItemNames()
    for product, category in categories.items():
        items.add(product, None, category)
    return replace(dataset, items=items.table())


def _table(file: Path, columns: tuple[str, ...], dropped: Tally, notes: Tally) -> pa.Table:
    blocks = read_blocks([file], columns, broken=dropped, notes=notes)
    return pa.Table.from_batches([block.data for block in blocks]).combine_chunks()


def _texts(table: pa.Table, column: str) -> pa.Array:
    array = table[column].combine_chunks()
    return as_text(array.chunk(0) if isinstance(array, pa.ChunkedArray) else array).cast(pa.string())


def _categories(files: dict[str, Path], dropped: Tally, notes: Tally) -> dict[str, str]:
    """Return the category of each product."""
    if _PRODUCTS not in files:
        return {}
    products = _table(files[_PRODUCTS], ("product_id", "product_category_name"), dropped, notes)
    english: dict[str, str] = {}
    if _TRANSLATION in files:
        names = ("product_category_name", "product_category_name_english")
        table = _table(files[_TRANSLATION], names, dropped, notes)
        english = dict(zip(*(_texts(table, name).to_pylist() for name in names), strict=True))
    named = zip(
        _texts(products, "product_id").to_pylist(),
        _texts(products, "product_category_name").to_pylist(),
        strict=True,
    )
    return {product: english.get(category, category) for product, category in named if product and category}


def _lines(
    files: dict[str, Path], lines: pa.Table, categories: dict[str, str], dropped: Tally, notes: Tally
) -> tuple[pa.Table, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Return the lines of orders as a draft, and what each adds to the value of its order."""
    orders = _table(
        files[_ORDERS],
        ("order_id", "customer_id", "order_status", "order_purchase_timestamp"),
        dropped,
        notes,
    )
    customers = _table(files[_CUSTOMERS], ("customer_id", "customer_unique_id"), dropped, notes)
    who = dict(
        zip(
            *(_texts(customers, name).to_pylist() for name in ("customer_id", "customer_unique_id")),
            strict=True,
        )
    )
    order_ids = _texts(orders, "order_id")
    line_orders = _texts(lines, "order_id")
    at = pc.index_in(line_orders, value_set=order_ids)
    without = order_ids.filter(pc.invert(pc.is_in(order_ids, value_set=line_orders)))
    example = f"order {without[0].as_py()}" if len(without) else None
    notes.add("order without items: it was never delivered, and is not in the log", len(without), example)

    status = _texts(orders, "order_status").take(at)
    told = orders["order_purchase_timestamp"].combine_chunks().take(at)
    told = told.chunk(0) if isinstance(told, pa.ChunkedArray) else told
    customer = pa.array(
        [who.get(one) for one in _texts(orders, "customer_id").take(at).to_pylist()], pa.string()
    )
    times = as_times(told, zone(_TIMEZONE))
    raw_price, raw_freight = (lines[name].combine_chunks() for name in ("price", "freight_value"))
    price, bad = as_numbers(raw_price)
    freight, bad_freight = as_numbers(raw_freight)
    product = _texts(lines, "product_id")

    sieve = Sieve(lines.num_rows, dropped, files[_ITEMS].name, 1)
    sieve.reject(mask(pc.is_null(at)), "order that is not among the orders", "order_id", line_orders)
    for name in _NEVER_BOUGHT:
        sieve.drop(mask(pc.equal(status, name)), f"line of an order that is {name}")
    sieve.reject(mask(pc.is_null(customer)), "no customer", "order_id", line_orders)
    sieve.reject(unfit_time(times), "unreadable time", "order_purchase_timestamp", told)
    unfit = bad | np.isnan(price) | (price < 0) | (price > MAX_MONEY)
    sieve.reject(unfit, "price is below 0, missing or no number", "price", raw_price)
    draft = pa.table(
        {
            "row": np.arange(lines.num_rows, dtype=np.int64),
            "type": np.full(lines.num_rows, PURCHASE, np.int8),
            "event_time": times.ms,
            "customer_id": as_dictionary(customer),
            "item_id": as_dictionary(product),
            "category": as_dictionary(
                pa.array([categories.get(one) for one in product.to_pylist()], pa.string())
            ),
            "price": pa.array(price),
            "quantity": pa.array(np.ones(lines.num_rows, np.int64)),
            "currency": constant("BRL", lines.num_rows),
            "order_id": as_dictionary(line_orders),
            "channel": constant("web", lines.num_rows),
        }
    )
    totals = price + np.where(bad_freight, 0.0, np.nan_to_num(freight))
    return join([draft.filter(pa.array(sieve.keep))]), totals[sieve.keep]

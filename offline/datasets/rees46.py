"""REES46 (Open CDP): logs of shops with views, carts and purchases, one file a month.

Such as "eCommerce behavior data from multi category store" and "eCommerce events history in cosmetics shop"
(Kaggle).

How the source is understood:

- ``view``, ``cart``, ``remove_from_cart`` and ``purchase`` are ``view_item``, ``add_to_cart``,
  ``remove_from_cart`` and ``purchase``. Purchases can outnumber carts, because cart logging is incomplete;
  nothing is made up for that.
- An order is logged as one row for each product, in the same second. Purchase rows of one user and one
  ``user_session``, each at most a second after the one before, become one purchase with items; a later
  purchase in the same session is another order. A row is one piece. Orders get the number
  "<user_session>-<epoch seconds of the first row>".
- Rows that equal an earlier row in time, user, session, type and product are dropped. They may have been
  further pieces; nothing in the source tells them from repetitions of the log.
- ``category`` is ``category_code``, or the number ``category_id`` where the code is null. ``brand`` is not
  used.
- Prices have no currency, so they count as the shop's own. Rows with a negative price are dropped.
- Event ids are the file's name and the row's number, so they stay the same when further months are converted
  with it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.events import MAX_ID, MAX_MONEY, MAX_TEXT, PURCHASE, TYPE_CODES
from offline.datasets.conversion import Sieve, Tally
from offline.datasets.dataset import (
    Dataset,
    check_id_sources,
    codes,
    finish,
    first_marked,
    id_source,
    ints,
    join,
    plain,
    repeated,
)
from offline.datasets.numbers import as_numbers
from offline.datasets.orders import append, merge
from offline.datasets.source_files import Block, find_files, read_blocks
from offline.datasets.times import as_times, unfit_time, zone
from offline.datasets.values import as_dictionary, as_text, coded, constant, mask, too_long
from offline.progress import OnProgress

TYPES = {
    "view": "view_item",
    "cart": "add_to_cart",
    "remove_from_cart": "remove_from_cart",
    "purchase": "purchase",
}

_COLUMNS = (
    "event_time",
    "event_type",
    "product_id",
    "category_id",
    "category_code",
    "price",
    "user_id",
    "user_session",
)
# Rows of one order are logged in the same second, or on both sides of its end.
_ORDER_GAP_MS = 1000
_SESSION = MAX_ID - 16  # leaves room for the time in an order's number


def load_rees46(path: Path, *, on_progress: OnProgress | None = None) -> Dataset:
    """Convert one file of a REES46 log, or all files of a folder.

    Parameters
    ----------
    path
        A file (CSV, gzipped CSV or Parquet), or a folder of such files.
    on_progress
        Called with bytes read and bytes in all.

    Raises
    ------
    DatasetError
        If a file cannot be read or lacks a column.
    """
    files = find_files(Path(path))
    check_id_sources(files)
    dropped, notes = Tally(), Tally()
    drafts, rows = [], 0
    for block in read_blocks(files, _COLUMNS, broken=dropped, notes=notes, on_progress=on_progress):
        drafts.append(_draft(block, rows, dropped, notes))
        rows += block.data.num_rows
    events = join(drafts)
    del drafts

    kinds, customer, session = ints(events["type"]), codes(events["customer_id"]), codes(events["session_id"])
    time = ints(events["event_time"])
    again = repeated(kinds, codes(events["item_id"]), session, customer, time)
    dropped.add("duplicate row", int(again.sum()), first_marked(events, again))
    bought = (kinds == PURCHASE) & ~again
    order = _orders(customer[bought], session[bought], time[bought])
    lines = events.filter(pa.array(bought))
    result = merge(_numbered(lines, order), order, dropped=dropped, notes=notes)
    browsing = events.filter(pa.array((kinds != PURCHASE) & ~again))
    del events, lines
    log = append(browsing, result.orders)
    return finish("rees46", files, rows, log, merged=result.merged, dropped=dropped, notes=notes)


def _draft(block: Block, before: int, dropped: Tally, notes: Tally) -> pa.Table:
    raw = {name: block.data.column(name) for name in _COLUMNS}
    rows = block.data.num_rows
    user, session, product = (as_text(raw[name]) for name in ("user_id", "user_session", "product_id"))
    category = as_text(raw["category_code"])
    types = coded(as_text(raw["event_type"]), {name: TYPE_CODES[event] for name, event in TYPES.items()})
    times = as_times(raw["event_time"], zone("UTC"))
    price, bad_price = as_numbers(raw["price"])

    sieve = Sieve(rows, dropped, block.file.name, block.first_row)
    sieve.reject(types < 0, "unknown event type", "event_type", raw["event_type"])
    sieve.reject(mask(pc.is_null(user)), "no user", "user_id", raw["user_id"])
    sieve.reject(unfit_time(times), "unreadable time", "event_time", raw["event_time"])
    sieve.reject(mask(pc.is_null(product)), "no product", "product_id", raw["product_id"])
    sieve.reject(
        bad_price | (price > MAX_MONEY), "price is no number within the limits", "price", raw["price"]
    )
    sieve.reject(price < 0, "price below 0", "price", raw["price"])
    for name, text, limit in (
        ("user_id", user, _SESSION),
        ("user_session", session, _SESSION),
        ("product_id", product, MAX_ID),
        ("category_code", category, MAX_TEXT),
    ):
        sieve.reject(too_long(text, limit), f"text of more than {limit} characters", name, raw[name])
    for what, text, column in (
        ("no user_session: the event has no session", session, "user_session"),
        ("no category_code: category_id is the category", category, "category_code"),
    ):
        notes.add(what, *sieve.first(mask(pc.is_null(text)) & sieve.keep, column, raw[column]))
    draft = pa.table(
        {
            "row": np.arange(before, before + rows, dtype=np.int64),
            "source": constant(id_source(block.file), rows),
            "number": np.arange(block.first_row, block.first_row + rows, dtype=np.int64),
            "type": types,
            "event_time": times.ms,
            "customer_id": as_dictionary(user),
            "item_id": as_dictionary(product),
            "category": as_dictionary(pc.coalesce(category, as_text(raw["category_id"]))),
            "price": pa.array(price, from_pandas=True),
            "session_id": as_dictionary(session),
        }
    )
    return draft.filter(pa.array(sieve.keep))


def _orders(
    customer: NDArray[np.int64], session: NDArray[np.int64], time: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return for every purchase row the number of its order."""
    if not len(time):
        return time
    by_visit = np.lexsort((time, session, customer))
    new = np.ones(len(time), dtype=bool)
    new[1:] = np.diff(time[by_visit]) > _ORDER_GAP_MS
    for key in (customer, session):
        new[1:] |= np.diff(key[by_visit]) != 0
    order = np.empty(len(time), dtype=np.int64)
    order[by_visit] = np.cumsum(new) - 1
    return order


def _numbered(lines: pa.Table, order: NDArray[np.int64]) -> pa.Table:
    """Add order numbers: the session (or the user) and the second of the order's first row."""
    time = ints(lines["event_time"])
    first = np.full(int(order.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, order, time)
    visit = pc.coalesce(plain(lines["session_id"]), plain(lines["customer_id"]))
    seconds = pa.array(first[order] // 1000).cast(pa.string())
    ids = pc.binary_join_element_wise(visit, seconds, "-")
    return lines.append_column("order_id", as_dictionary(ids))

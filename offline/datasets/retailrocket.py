"""RetailRocket: what the visitors of a web shop viewed, put into the cart and bought, 2015-05 to 2015-09.

The file is ``events.csv`` of "Retailrocket recommender system dataset" (Kaggle, CC BY-NC-SA 4.0).

How the source is understood:

- ``view``, ``addtocart`` and ``transaction`` are ``view_item``, ``add_to_cart`` and ``purchase``.
- The rows of one ``transactionid`` are the lines of one order and become one purchase; each line is one
  piece. It is dated by its last row. The source has no prices, so a purchase has no value.
- Rows that equal an earlier row in every column are repetitions of the log and are dropped: times have
  milliseconds, and nobody views the same item twice in one of them.
- Event ids are made of the content (time, visitor, event, item), so they are the same in whatever order the
  rows come.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.events import EVENT_TYPES, MAX_ID, PURCHASE, TYPE_CODES
from offline.datasets.conversion import Sieve, Tally
from offline.datasets.dataset import (
    Dataset,
    codes,
    finish,
    first_marked,
    ints,
    join,
    plain,
    repeated,
    short_ids,
)
from offline.datasets.orders import append, merge, with_ids
from offline.datasets.source_files import Block, find_files, read_blocks
from offline.datasets.times import as_times, unfit_time, zone
from offline.datasets.values import (
    as_dictionary,
    as_text,
    coded,
    constant,
    mask,
    too_long,
    without_point_zero,
)
from offline.progress import OnProgress

TYPES = {"view": "view_item", "addtocart": "add_to_cart", "transaction": "purchase"}

_COLUMNS = ("timestamp", "visitorid", "event", "itemid", "transactionid")


def load_retailrocket(path: Path, *, on_progress: OnProgress | None = None) -> Dataset:
    """Convert RetailRocket's ``events.csv``.

    Parameters
    ----------
    path
        The file (CSV, gzipped CSV or Parquet), or the folder of the download, in which ``events.csv`` is
        taken.
    on_progress
        Called with bytes read and bytes in all.

    Raises
    ------
    DatasetError
        If the file cannot be read or lacks a column.
    """
    path = Path(path)
    files = find_files(path / "events.csv" if (path / "events.csv").is_file() else path)
    dropped, notes = Tally(), Tally()
    drafts, rows = [], 0
    for block in read_blocks(files, _COLUMNS, broken=dropped, notes=notes, on_progress=on_progress):
        drafts.append(_draft(block, rows, dropped))
        rows += block.data.num_rows
    events = join(drafts)

    kinds, customer = ints(events["type"]), codes(events["customer_id"])
    item, order = codes(events["item_id"]), codes(events["order_id"])
    again = repeated(kinds, customer, item, order, ints(events["event_time"]))
    dropped.add("duplicate row", int(again.sum()), first_marked(events, again))
    bought = (kinds == PURCHASE) & ~again
    order = order * (int(customer.max(initial=0)) + 1) + customer
    result = merge(events.filter(pa.array(bought)), order[bought], dropped=dropped, notes=notes)
    browsing = events.filter(pa.array((kinds != PURCHASE) & ~again))
    log = append(_with_ids(browsing), with_ids(result.orders, "retailrocket"))
    return finish("retailrocket", files, rows, log, merged=result.merged, dropped=dropped, notes=notes)


def _draft(block: Block, before: int, dropped: Tally) -> pa.Table:
    raw = {name: block.data.column(name) for name in _COLUMNS}
    rows = block.data.num_rows
    kind = as_text(raw["event"])
    visitor, item = without_point_zero(as_text(raw["visitorid"])), without_point_zero(as_text(raw["itemid"]))
    order = without_point_zero(as_text(raw["transactionid"]))
    times = as_times(raw["timestamp"], zone("UTC"))
    types = coded(kind, {name: TYPE_CODES[event] for name, event in TYPES.items()})

    sieve = Sieve(rows, dropped, block.file.name, block.first_row)
    sieve.reject(types < 0, "unknown event", "event", raw["event"])
    sieve.reject(mask(pc.is_null(visitor)), "no visitor", "visitorid", raw["visitorid"])
    sieve.reject(unfit_time(times), "unreadable time", "timestamp", raw["timestamp"])
    sieve.reject(mask(pc.is_null(item)), "no item", "itemid", raw["itemid"])
    lonely = (types == PURCHASE) & mask(pc.is_null(order))
    sieve.reject(lonely, "transaction without a number", "transactionid", raw["transactionid"])
    for name, text in (("visitorid", visitor), ("itemid", item), ("transactionid", order)):
        sieve.reject(too_long(text, MAX_ID), f"text of more than {MAX_ID} characters", name, raw[name])
    draft = pa.table(
        {
            "row": np.arange(before, before + rows, dtype=np.int64),
            "type": types,
            "event_time": times.ms,
            "customer_id": as_dictionary(visitor),
            "item_id": as_dictionary(item),
            "order_id": as_dictionary(order),
            "channel": constant("web", rows),
        }
    )
    return draft.filter(pa.array(sieve.keep))


def _with_ids(events: pa.Table) -> pa.Table:
    parts = (
        events["event_time"].combine_chunks().cast(pa.string()),
        plain(events["customer_id"]),
        pa.array(EVENT_TYPES).take(events["type"].combine_chunks()),
        plain(events["item_id"]),
    )
    ids = pc.binary_join_element_wise(*parts, "-")
    if mask(pc.greater(pc.utf8_length(ids), MAX_ID)).any():
        ids = pa.array(short_ids(ids.to_pylist()))
    return events.drop_columns(["order_id"]).append_column("event_id", ids.cast(pa.large_string()))

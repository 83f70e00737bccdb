"""Merging the rows of one order into one event."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.durations import duration_short
from features.events import MAX_BYTES, MAX_ITEMS, MAX_MONEY, MAX_QUANTITY
from features.log import LOG_SCHEMA
from offline.datasets.conversion import Tally
from offline.datasets.dataset import first_marked, ints, plain, short_ids

# What the items of one event may take as JSON. An item is counted as its names and numbers with the longest
# form they
# can have (a control character as \u0000), so that an event never reaches the limit.
_ITEMS_BYTES = MAX_BYTES - 8 * 1024
_ITEM_BYTES = 110
_ESCAPED = 6
#: Sums of money are rounded to this many digits, below which they hold only the errors of binary fractions.
MONEY_DIGITS = 6

_LIST = LOG_SCHEMA.field("items").type
_LINE_COLUMNS = ("item_id", "category", "price")


@dataclass(frozen=True, slots=True)
class Merged:
    """Orders made of lines.

    Attributes
    ----------
    orders
        A draft with one row per order: the first line's values, but `event_time` and `row` of the last line
        (an order is complete only then), `value` and `quantity` summed, the lines in `items`, and none of a
        single line's item, category and price.
    merged
        How many lines went into the event of another line.
    """

    orders: pa.Table
    merged: int


def merge(  # noqa: PLR0913
    lines: pa.Table,
    order: NDArray[np.int64],
    *,
    dropped: Tally,
    notes: Tally,
    listed: NDArray[np.bool_] | None = None,
    totals: NDArray[np.float64] | None = None,
) -> Merged:
    """Merge lines into orders.

    Parameters
    ----------
    lines
        A draft, one row per order line, in the order of the source; `price` and `quantity` are those of the
        line. A line without quantity is one piece; one with an amount below 0 is a discount, and no piece.
    order
        For every line, a number that its order alone has.
    dropped
        Where to count the lines of orders that no event can hold.
    notes
        Where to count items left out and orders whose lines have several times.
    listed
        Which lines are products and belong in `items`; all, if not given.
    totals
        For every line, what it adds to the value of its order (null: NaN), if that is not price times
        quantity.

    Returns
    -------
    Merged
        Orders in the order of their numbers.
    """
    time = ints(lines["event_time"])
    by_order = np.lexsort((time, order))  # stable: lines of the same time stay in the order of the source
    lines, time, order = lines.take(by_order), time[by_order], order[by_order]
    starts = np.flatnonzero(np.r_[True, order[1:] != order[:-1]]) if len(order) else np.zeros(0, np.intp)
    ends = np.r_[starts[1:], len(order)] - 1
    if not len(starts):
        return Merged(lines, 0)

    pieces = floats(lines, "quantity")
    pieces = np.where(np.isnan(pieces), 1.0, pieces)
    amounts = floats(lines, "price") * pieces
    worth = amounts if totals is None else totals[by_order]
    known = ~np.isnan(worth)
    value = np.round(np.add.reduceat(np.where(known, worth, 0.0), starts), MONEY_DIGITS)
    value_known = np.logical_or.reduceat(known, starts)
    wanted = _has_item(lines) if listed is None else _has_item(lines) & listed[by_order]
    discount = (np.where(np.isnan(amounts), worth, amounts) < 0) | (floats(lines, "price") < 0)
    wanted &= ~discount
    keep = _kept(lines, order, starts, np.where(np.isnan(amounts), worth, amounts), wanted)

    columns = {
        name: lines[name].take(pa.array(starts)) for name in lines.column_names if name not in _LINE_COLUMNS
    }
    columns["row"] = pa.chunked_array([ints(lines["row"])[ends]])
    columns["event_time"] = pa.chunked_array([time[ends]])
    quantity = np.add.reduceat(np.where(discount, 0.0, pieces), starts)
    columns["quantity"] = pa.chunked_array([np.minimum(quantity, 2.0**53).astype(np.int64)])
    columns["value"] = pa.chunked_array([pa.array(value, mask=~value_known)])
    columns["items"] = pa.chunked_array([_items(lines, starts, keep, pieces)])

    line_counts = ends - starts + 1
    fits = value >= 0
    orders = pa.table(columns)
    dropped.add(
        "line of an order whose discounts exceed its goods",
        int(line_counts[~fits].sum()),
        first_marked(orders, ~fits),
    )
    over = fits & ((quantity > MAX_QUANTITY) | (value > MAX_MONEY))
    dropped.add(
        f"line of an order beyond what an event may hold (value {MAX_MONEY:,.0f}, quantity {MAX_QUANTITY:,})",
        int(line_counts[over].sum()),
        first_marked(orders, over),
    )
    fits &= ~over
    partly = fits & value_known & ~np.logical_and.reduceat(known, starts)
    left_out = np.where(fits, np.add.reduceat((wanted & ~keep).astype(np.int64), starts), 0)
    _note(notes, orders, np.where(fits, time[ends] - time[starts], 0), partly, left_out)
    return Merged(orders.filter(pa.array(fits)), int((line_counts[fits] - 1).sum()))


def _note(
    notes: Tally,
    orders: pa.Table,
    spread: NDArray[np.int64],
    partly: NDArray[np.bool_],
    left_out: NDArray[np.int64],
) -> None:
    """Count what was changed: orders by the spread (ms) of their lines' times, by missing prices, items left out."""
    longest = duration_short(int(spread.max(initial=0)))
    notes.add(
        "order whose rows have several times: dated by the last",
        int((spread != 0).sum()),
        f"up to {longest} apart; {first_marked(orders, spread != 0)}",
    )
    notes.add(
        "order with rows that have no price: its value is that of the others",
        int(partly.sum()),
        first_marked(orders, partly),
    )
    notes.add(
        f"item beyond the {MAX_ITEMS} of largest value in its order (fewer where texts are long): counted in "
        "value and quantity, not listed",
        int(left_out.sum()),
        first_marked(orders, left_out > 0),
    )


def with_ids(orders: pa.Table, prefix: str) -> pa.Table:
    """Add event ids made of the order ids, and of the customers where an order id has several."""
    names = np.asarray(plain(orders["order_id"]).to_numpy(zero_copy_only=False), dtype=object)
    customers = np.asarray(plain(orders["customer_id"]).to_numpy(zero_copy_only=False), dtype=object)
    ids = pd.Series(prefix + "-" + names, dtype=object)
    several = ids.duplicated(keep=False).to_numpy()
    ids[several] += "-" + customers[several]
    return orders.append_column("event_id", pa.array(short_ids(ids.tolist()), pa.large_string()))


def append(events: pa.Table, orders: pa.Table) -> pa.Table:
    """Put orders behind the other events of a draft, columns that only one has as nulls."""
    schema = pa.unify_schemas([events.schema, orders.schema])
    return pa.concat_tables([_with(events, schema), _with(orders, schema)]).unify_dictionaries()


def _with(table: pa.Table, schema: pa.Schema) -> pa.Table:
    there = set(table.column_names)
    rows = table.num_rows
    return pa.table(
        [table[f.name] if f.name in there else pa.nulls(rows, f.type) for f in schema], schema=schema
    )


def floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    """Return a column of numbers, null (or a column that is not there) as NaN."""
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    return np.asarray(table[name].cast(pa.float64()).to_numpy(), dtype=np.float64)


def _has_item(lines: pa.Table) -> NDArray[np.bool_]:
    if "item_id" not in lines.column_names:
        return np.zeros(lines.num_rows, dtype=bool)
    return np.asarray(pc.is_valid(lines["item_id"]).to_numpy(), dtype=bool)


def _kept(
    lines: pa.Table,
    order: NDArray[np.int64],
    starts: NDArray[np.intp],
    amounts: NDArray[np.float64],
    wanted: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Mark the lines that `items` lists: the largest by value, as many as an event can hold."""
    size = np.full(len(order), _ITEM_BYTES, dtype=np.int64)
    for name in ("item_id", "category"):
        if name in lines.column_names:
            length = pc.fill_null(pc.binary_length(plain(lines[name])), 0)
            size += _ESCAPED * np.asarray(length.to_numpy(zero_copy_only=False), dtype=np.int64)
    size[~wanted] = 0
    largest = np.lexsort((-np.nan_to_num(amounts), ~wanted, order))
    group = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(order)]))
    rank = np.arange(len(order)) - starts[group]
    running = np.cumsum(size[largest])
    before = running[starts] - size[largest][starts]
    keep = np.zeros(len(order), dtype=bool)
    keep[largest] = (rank < MAX_ITEMS) & (running - before[group] <= _ITEMS_BYTES)
    return keep & wanted


def _items(
    lines: pa.Table,
    starts: NDArray[np.intp],
    keep: NDArray[np.bool_],
    pieces: NDArray[np.float64],
) -> pa.Array:
    kept = lines.filter(pa.array(keep))
    rows = kept.num_rows
    struct = pa.StructArray.from_arrays(
        [
            plain(kept["item_id"]) if rows else pa.array([], pa.string()),
            plain(kept["category"]) if "category" in kept.column_names else pa.nulls(rows, pa.string()),
            _one(kept["price"]) if "price" in kept.column_names else pa.nulls(rows, pa.float64()),
            pa.array(pieces[keep].astype(np.int64)),
        ],
        fields=list(_LIST.value_type),
    )
    counts = np.add.reduceat(keep.astype(np.int32), starts)
    offsets = pa.array(np.r_[0, np.cumsum(counts)].astype(np.int32))
    return pa.ListArray.from_arrays(offsets, struct, type=_LIST, mask=pa.array(counts == 0))


def _one(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)

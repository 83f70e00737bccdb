"""Repetitions and orders in sources whose rows may be events or lines of orders."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from features.events import MAX_MONEY, PURCHASE, REFUND
from offline.datasets.conversion import Tally
from offline.datasets.dataset import codes, event_ids, first_marked, ints, repeated
from offline.datasets.orders import MONEY_DIGITS, append, floats, merge
from offline.datasets.values import as_dictionary


def without_repetitions(events: pa.Table, dropped: Tally) -> pa.Table:
    """Drop rows that repeat an event id, where the source has event ids.

    The lines of one order may share an id; among them, only rows alike are repetitions.
    """
    if "event_id" not in events.column_names or not events.num_rows:
        return events
    ids = as_dictionary(event_ids(events))
    events = events.set_column(events.column_names.index("event_id"), "event_id", ids)
    keys: list[NDArray[np.int64] | NDArray[np.float64]] = [codes(events["event_id"])]
    if "order_id" in events.column_names:
        line = _is_line(events)
        # A row that is no line has the same keys as all others of its event id, so the first of them is kept.
        order = codes(events["order_id"])
        keys += [
            np.where(line, key, -2)
            for key in (order, codes(events["customer_id"]), ints(events["event_time"]))
        ]
        if "item_id" in events.column_names:
            keys.append(np.where(line, codes(events["item_id"]), -2))
        keys += [
            np.where(line, np.nan_to_num(floats(events, n), nan=-1.0), -2.0)
            for n in ("price", "quantity", "value")
        ]
    again = repeated(*keys)
    dropped.add("repeated event_id", int(again.sum()), first_marked(events, again))
    return events.filter(pa.array(~again))


def merge_orders(events: pa.Table, dropped: Tally, notes: Tally) -> tuple[pa.Table, int]:
    """Merge the lines of orders and give purchases and refunds their value.

    Returns
    -------
    tuple[pa.Table, int]
        The draft of all events, and how many rows went into other rows' events.
    """
    if "order_id" not in events.column_names:
        return _with_values(events, dropped, notes), 0
    line = _is_line(events)
    lines, singles = events.filter(pa.array(line)), events.filter(pa.array(~line))
    if not lines.num_rows:
        return _with_values(events, dropped, notes), 0
    order = _order_numbers(lines)
    result = merge(lines, order, dropped=dropped, notes=notes, totals=_worth(lines, order, notes))
    log = append(_with_values(singles, dropped, notes), result.orders)
    if "event_id" not in log.column_names:
        return log, result.merged
    # Two orders can have one event id, if it was that of a line of each.
    again = repeated(codes(log["event_id"]))
    dropped.add("repeated event_id", int(again.sum()), first_marked(log, again))
    return log.filter(pa.array(~again)), result.merged


def _is_line(events: pa.Table) -> NDArray[np.bool_]:
    return np.isin(ints(events["type"]), (PURCHASE, REFUND)) & (codes(events["order_id"]) >= 0)


def _order_numbers(lines: pa.Table) -> NDArray[np.int64]:
    kinds = ints(lines["type"])
    keys = {
        "order": codes(lines["order_id"]),
        "customer": codes(lines["customer_id"]),
        "type": kinds,
        "currency": codes(lines["currency"])
        if "currency" in lines.column_names
        else np.zeros(len(kinds), np.int64),
        # An order can be refunded in parts, each of them an event.
        "time": np.where(kinds == REFUND, ints(lines["event_time"]), 0),
    }
    return np.asarray(pd.DataFrame(keys).groupby(list(keys), sort=False).ngroup(), dtype=np.int64)


def _worth(lines: pa.Table, order: NDArray[np.int64], notes: Tally) -> NDArray[np.float64]:
    """Return what every line adds to the value of its order: the order's total only once."""
    pieces = floats(lines, "quantity")
    amounts = np.round(floats(lines, "price") * np.where(np.isnan(pieces), 1.0, pieces), MONEY_DIGITS)
    if "value" not in lines.column_names:
        return amounts
    values = pd.Series(floats(lines, "value"))
    by_order = values.groupby(order)
    highest, named = by_order.transform("max").to_numpy(), by_order.transform("count").to_numpy()
    agrees = highest == by_order.transform("min").to_numpy()
    first = ~pd.Series(order).duplicated().to_numpy()
    several = first & (named > 1)
    if int((several & agrees).sum()) * 2 < int(several.sum()):
        notes.add(
            "order whose value is the sum of those of its rows, as they differ in most orders",
            int(several.sum()),
            first_marked(lines, several),
        )
        return np.where(np.isnan(values), amounts, values)
    differ = several & ~agrees
    notes.add(
        "order whose rows repeat its value: counted once", int(several.sum()), first_marked(lines, several)
    )
    notes.add(
        "order whose rows name several values: the highest counted",
        int(differ.sum()),
        first_marked(lines, differ),
    )
    return np.where(named == 0, amounts, np.where(first, highest, 0.0))


def _with_values(events: pa.Table, dropped: Tally, notes: Tally) -> pa.Table:
    """Give purchases and refunds without a value that of their price and quantity."""
    if "price" not in events.column_names or not events.num_rows:
        return events
    value, pieces = floats(events, "value"), floats(events, "quantity")
    amounts = np.round(floats(events, "price") * np.where(np.isnan(pieces), 1.0, pieces), MONEY_DIGITS)
    made = np.isin(ints(events["type"]), (PURCHASE, REFUND)) & np.isnan(value) & ~np.isnan(amounts)
    notes.add(
        "purchase or refund without a value: it is price times quantity",
        int(made.sum()),
        first_marked(events, made),
    )
    value = np.where(made, amounts, value)
    column = pa.array(value, mask=np.isnan(value))
    if "value" in events.column_names:
        events = events.set_column(events.column_names.index("value"), "value", column)
    else:
        events = events.append_column("value", column)
    over = np.nan_to_num(value) > MAX_MONEY
    dropped.add(f"price times quantity above {MAX_MONEY:,.0f}", int(over.sum()), first_marked(events, over))
    return events.filter(pa.array(~over))

"""Lines of orders and refunds: which customer bought which item, when, how many, and for how much."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.columns import from_table
from features.log import ERASED
from offline.examples.examples import Context
from offline.exceptions import TrainingError


def order_lines(log: pa.Table, context: Context) -> pd.DataFrame:
    """Return one row for each line of a purchase or a refund that names an item.

    Returns
    -------
    DataFrame
        ``event`` (number of the purchase or refund), ``refund`` (whether it gives money back), ``customer`` (a number),
        ``item``, ``category`` (None where unknown), ``quantity`` (1 where unknown), ``money`` in the shop's currency
        (NaN where the line has no price, or another currency).

    Raises
    ------
    TrainingError
        No purchase names an item.
    """
    log = log.filter(
        pc.and_(pc.is_in(log["type"], pa.array(["purchase", "refund"])), pc.not_equal(log["type"], ERASED))
    )
    columns = from_table(log, context.currency)
    lines = log["items"].combine_chunks()
    counts = pc.fill_null(pc.list_value_length(lines), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    flat = lines.flatten()
    listed = pd.DataFrame(
        {
            "event": np.repeat(np.arange(len(log)), counts),
            **{name: flat.field(name).to_pandas() for name in ("item_id", "category", "price", "quantity")},
        }
    )
    single = np.flatnonzero((counts == 0) & pc.is_valid(log["item_id"]).to_numpy())
    plain = log.take(pa.array(single))
    alone = pd.DataFrame(
        {"event": single, **{name: plain[name].to_pandas() for name in ("item_id", "category", "price", "quantity")}}
    )  # fmt: skip
    if not len(listed) or not len(alone):
        frame = listed if len(listed) else alone
    else:
        frame = pd.concat([listed, alone], ignore_index=True)
    frame = frame.rename(columns={"item_id": "item"}).dropna(subset=["item"]).reset_index(drop=True)
    refund = pc.equal(log["type"], "refund").to_numpy(zero_copy_only=False)
    if refund[frame["event"]].all():
        raise TrainingError(
            "no purchase of the log names an item: products need item_id or items in purchases"
        )
    quantity = frame["quantity"].astype("float64").fillna(1.0)
    money = frame["price"].astype("float64") * quantity
    # The value of an order is that of its only line.
    only = ~frame["event"].duplicated(keep=False).to_numpy()
    event = frame["event"].to_numpy()
    money = money.where(money.notna() | ~only, pd.Series(columns.money[event]).replace(0.0, np.nan))
    money = money.where(~columns.foreign[event])
    customers = log["customer_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    return pd.DataFrame(
        {
            "event": event,
            "refund": refund[event],
            "customer": customers[event],
            "item": frame["item"].astype("category"),
            "category": frame["category"].astype(object),
            "quantity": quantity,
            "money": money,
        }
    )

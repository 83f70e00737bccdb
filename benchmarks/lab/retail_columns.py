"""What is known of a customer from orders so far: rhythm, recency, money and kind of goods, as columns.

Everything that changes only with an order is computed once, after each of the customer's order days, from that day and
earlier ones; a question on some day takes the latest such row, and what depends on the time since then follows from it.
So no column can see later than its question. What the models get was chosen by training on labels known before May or
mid-June 2011 and predicting the weeks after; nothing was chosen on the test's period.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmarks.learning.retail_data import CONTEXT, local_days
from features.state import DAY_MS

HORIZON_DAYS: Final = CONTEXT.horizon_ms // DAY_MS

#: Days after which an order day counts half.
_HALF_LIVES: Final = (14, 30, 60, 180)
_SPEND_HALF_LIVES: Final = (30, 90, 180)
#: Share of the newest gap in the smoothed one.
_NEWEST: Final = 0.4
#: A customer's share of gaps within the horizon is drawn to this one as by two gaps.
_USUAL_SHARE: Final = 0.4
#: Columns of `asked` that an order already changes on its day: they say when, not what, was ordered.
RHYTHM: Final = (
    "order_days", "tenure", "tenure_share", "rate", "mean_gap", "median_gap", "longest_gap", "last_gap",
    "smoothed_gap", "gap_variation", "share_within", "since_last_but_one", "order_days_trend",
    *(f"order_days_{days}d" for days in _HALF_LIVES),
)  # fmt: skip
#: The others that a question about an order takes, as they were before its day.
MONEY: Final = (
    "orders_a_day", "mean_value", "last_value", "value_trend", "mean_lines", "mean_price", "mean_pieces",
    "mean_line_value", *(f"spend_{days}d" for days in _SPEND_HALF_LIVES),
)  # fmt: skip


def order_days(log: pa.Table) -> pd.DataFrame:
    """Return one row for every customer (its number in the log's order) and day with an order.

    ``orders``, ``value`` and ``lines`` are the day's sums; ``price`` and ``pieces`` are means over its lines, of the
    price and of the logarithm of the quantity.
    """
    customers = pc.fill_null(log["customer_id"].combine_chunks(), "").dictionary_encode().indices
    purchased = pc.equal(log["type"], "purchase")
    bought = log.filter(purchased)
    lines = bought["items"].combine_chunks()
    flat = lines.flatten()
    by_line = pd.DataFrame(
        {
            "order": pc.list_parent_indices(lines).to_numpy(),
            "price": flat.field("price").to_numpy(zero_copy_only=False),
            "pieces": np.log1p(flat.field("quantity").to_numpy(zero_copy_only=False).astype(np.float64)),
        }
    ).groupby("order")
    goods = by_line.sum().assign(lines=by_line.size()).reindex(range(len(bought)), fill_value=0.0)
    orders = goods.assign(
        customer=customers.filter(purchased.combine_chunks()).to_numpy().astype(np.int64),
        day=local_days(bought["event_time"].cast(pa.int64()).to_numpy()),
        value=bought["value"].to_numpy().astype(np.float64).clip(min=0),
        orders=1.0,
    )
    days = orders.groupby(["customer", "day"], as_index=False).sum()
    lines_or_one = days["lines"].clip(lower=1)
    return days.assign(price=days["price"] / lines_or_one, pieces=days["pieces"] / lines_or_one)


def after_each_day(days: pd.DataFrame) -> pd.DataFrame:
    """Return what is known of the customer after each row of `order_days`."""
    by = days.groupby("customer")
    count = by.cumcount() + 1.0
    first = by["day"].transform("first")
    gap = by["day"].diff()
    gaps = gap.groupby(days["customer"])
    expanding = gaps.expanding()
    found = days[["customer", "day"]].assign(
        since=days["day"], first=first, order_days=count, last_gap=gap, longest_gap=gaps.cummax(),
        mean_gap=((days["day"] - first) / (count - 1)).where(count > 1),
        median_gap=expanding.median().droplevel(0), last_value=days["value"],
    )  # fmt: skip
    found["gap_variation"] = expanding.std().droplevel(0) / found["mean_gap"]
    smoothed = np.log(gap).groupby(days["customer"]).ewm(alpha=_NEWEST, adjust=False).mean()
    found["smoothed_gap"] = np.exp(smoothed.droplevel(0))
    within = (gap <= HORIZON_DAYS).groupby(days["customer"]).cumsum()
    found["share_within"] = (within + 2 * _USUAL_SHARE) / (count - 1 + 2)
    found["orders_a_day"] = by["orders"].cumsum() / count
    for name in ("value", "lines", "price", "pieces"):
        found[f"mean_{name}"] = by[name].cumsum() / count
    found["mean_line_value"] = by["value"].cumsum() / by["lines"].cumsum().clip(lower=1)
    # Sums that count older days less, times what they will be divided by when it is asked.
    start = days["day"].min()
    for prefix, amount, half_lives in (
        ("order_days", 1.0, _HALF_LIVES),
        ("spend", days["value"], _SPEND_HALF_LIVES),
    ):
        for half in half_lives:
            grown = amount * 2.0 ** ((days["day"] - start) / half)
            found[f"{prefix}_{half}d"] = grown.groupby(days["customer"]).cumsum()
    return found


def asked(
    known: pd.DataFrame, customers: NDArray[np.int64], days: NDArray[np.int64], *, before: bool
) -> pd.DataFrame:
    """Return what is known of customers on days, in the order of the questions.

    Parameters
    ----------
    known
        From `after_each_day`.
    customers, days
        Whom and when it is asked about.
    before
        Whether only what lies before the day counts; otherwise an order of the day itself does, too.
    """
    questions = pd.DataFrame({"customer": customers, "day": days, "at": np.arange(len(days))})
    found = pd.merge_asof(
        questions.sort_values("day"),
        known.sort_values("day"),
        on="day",
        by="customer",
        allow_exact_matches=not before,
    )
    found = found.sort_values("at").reset_index(drop=True)
    start = known["day"].min()
    now, count = found["day"], found["order_days"]
    found["recency"] = now - found["since"]
    found["tenure"] = now - found["first"]
    # Whoever came in the log's first days has mostly been a customer before it.
    found["tenure_share"] = found["tenure"] / (now - start).clip(lower=1)
    found["rate"] = count / (found["tenure"] + HORIZON_DAYS)
    found["overdue"] = found["recency"] / found["smoothed_gap"]
    found["since_last_but_one"] = found["recency"] + found["last_gap"]
    for name in found:
        if name.endswith("d") and name[:-1].rsplit("_", 1)[-1].isdigit():
            found[name] /= 2.0 ** ((now - start) / int(name[:-1].rsplit("_", 1)[-1]))
    found["order_days_trend"] = (found["order_days_30d"] + 0.1) / (found["order_days_180d"] + 0.3)
    found["value_trend"] = found["last_value"] / found["mean_value"].clip(lower=0.01)
    return found.drop(columns=["customer", "day", "at", "since", "first"]).astype(np.float64)

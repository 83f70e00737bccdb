"""What is known about every customer of a log at a moment, from the events before it only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from offline.training.segmentation import Facts
from offline.views.log_view import LogView
from offline.views.net_orders import net_orders

DAY: Final = pd.Timedelta(days=1)
#: Columns that segments are made from, of a log of orders and of a log with browsing.
ORDER_COLUMNS: Final = ("recency", "frequency", "monetary")
BROWSING_COLUMNS: Final = ("recency", "sessions", "events", "purchases", "monetary", "carts")
#: Names for people.
WORDS: Final = {
    "recency": "days since the last event",
    "frequency": "orders",
    "monetary": "money spent",
    "sessions": "visits",
    "events": "events",
    "purchases": "orders",
    "carts": "recent carts",
}

_SINCE_ORDER: Final = "days since the last order"
_CART_HALF_LIFE: Final = 7 * DAY


def history_at(view: LogView, moment: pd.Timestamp) -> pd.DataFrame:
    """Return one row for each customer known before a moment, indexed by the customer's number.

    Columns: ``recency`` (days since the last order, or since the last event where the log has browsing),
    ``frequency`` and ``purchases`` (orders), ``monetary`` (money spent, less refunds until then; NaN
    where all of it was in another currency), ``sessions``, ``events``, ``carts`` (additions to the cart, decayed with
    a half-life of a week), ``tenure`` (days since the first event), ``since_order`` and ``since_cart`` (days since the
    last order and the last addition to the cart; infinite where there is none).
    """
    before = (view.events["time"] < moment).to_numpy()
    events, sessions = view.events[before], view.sessions[before]
    bought = net_orders(view, moment)
    orders = bought.groupby("customer")
    if not view.browsing:
        kept = (events["type"] == "purchase").to_numpy()
        sessions, events = sessions[kept], events[kept]
    seen = (events if view.browsing else bought).groupby("customer")
    frame = pd.DataFrame({"last": seen["time"].max(), "first": seen["time"].min(), "events": seen.size()})
    frame["sessions"] = sessions.groupby(events["customer"]).nunique().reindex(frame.index)
    frame["frequency"] = orders.size().reindex(frame.index).fillna(0.0)
    frame["purchases"] = frame["frequency"]
    spent = orders["value"].sum(min_count=1).reindex(frame.index)
    frame["monetary"] = spent.where(frame["frequency"] > 0, 0.0)
    carts = events[events["type"] == "add_to_cart"]
    decayed = np.exp2(-((moment - carts["time"]) / _CART_HALF_LIFE).to_numpy(np.float64))
    by_customer = pd.Series(decayed, carts.index).groupby(carts["customer"]).sum()
    frame["carts"] = by_customer.reindex(frame.index).fillna(0.0)
    for name, times in (("since_order", orders["time"]), ("since_cart", carts.groupby("customer")["time"])):
        frame[name] = ((moment - times.max().reindex(frame.index)) / DAY).fillna(np.inf)
    frame["recency"] = (moment - frame["last"]) / DAY
    frame["tenure"] = (moment - frame["first"]) / DAY
    return frame.drop(columns=["last", "first"]).astype(np.float64)


def segment_columns(view: LogView) -> tuple[str, ...]:
    """Return the columns that segments of a log are made from."""
    return BROWSING_COLUMNS if view.browsing else ORDER_COLUMNS


def words_of(view: LogView, columns: Sequence[str]) -> list[str]:
    """Return what people call columns of the history."""
    return [_SINCE_ORDER if name == "recency" and not view.browsing else WORDS[name] for name in columns]


def facts_of(members: pd.DataFrame) -> Facts:
    """Return the facts that names of segments are chosen by."""
    mean = members.mean()
    return Facts(
        buyers=float((members["purchases"] > 0).mean()),
        purchases=float(mean["purchases"]),
        spend=float(np.nan_to_num(mean["monetary"])),
        sessions=float(mean["sessions"]),
        events=float(mean["events"]),
        carts=float(mean["carts"]),
        tenure=float(mean["tenure"]) * DAY.total_seconds(),
    )

"""A log as frames: events in the shop's local time, and purchases with their value."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.columns import from_table
from features.events import EVENT_TYPES
from features.log import ERASED
from features.state import SESSION_GAP_MS
from offline.examples.examples import Context

_DAYS_FOR_MONTHS: Final = 75
_DAYS_FOR_WEEKS: Final = 15


@dataclass(frozen=True)
class LogView:
    """A log for exploration.

    Attributes
    ----------
    events
        One row for each event in order of time: ``type``, ``customer`` (a number), ``time`` (the shop's local time),
        ``channel``, ``country``.
    orders
        The purchases: also ``value`` and ``quantity``. The value of one in another currency is unknown (NaN): it is
        an order as any other, only its money cannot be added.
    refunded
        Money given back in all.
    timezone, currency
        The shop's.
    limit
        What an order counts at most, less refunds; see `offline.views.huge_orders`.
    """

    events: pd.DataFrame
    orders: pd.DataFrame
    refunded: float
    timezone: str
    currency: str
    limit: float = float("inf")

    @classmethod
    def of(cls, log: pa.Table, context: Context) -> LogView:
        """Return the view of a log; erased events are left out."""
        log = log.filter(pc.not_equal(log["type"], ERASED))
        events = pd.DataFrame(
            {
                "type": pd.Categorical(log["type"].to_pandas(), categories=list(EVENT_TYPES)),
                "customer": log["customer_id"].combine_chunks().dictionary_encode().indices.to_numpy(),
                "time": _local(log["event_time"], context.timezone),
                "channel": log["channel"].to_pandas().astype("category"),
                "country": log["country"].to_pandas().astype("category"),
            }
        )
        money, quantity = np.zeros(len(events)), np.zeros(len(events))
        paid = np.flatnonzero(events["type"].isin(["purchase", "refund"]).to_numpy())
        columns = from_table(log.take(paid), context.currency)
        money[paid], quantity[paid] = columns.money, columns.quantity
        money[paid[columns.foreign]] = np.nan
        refunded = float(np.nansum(money[(events["type"] == "refund").to_numpy()]))
        events = events.assign(value=money, quantity=quantity)
        events = events.sort_values("time", kind="stable", ignore_index=True)
        bought = events[events["type"] == "purchase"].drop(columns="type").reset_index(drop=True)
        return cls(
            events.drop(columns=["value", "quantity"]),
            bought,
            refunded,
            context.timezone,
            context.currency,
        )

    @property
    def browsing(self) -> bool:
        """Whether the log has anything but purchases and refunds."""
        return bool((~self.events["type"].isin(["purchase", "refund"])).any())

    @cached_property
    def first(self) -> pd.Timestamp:
        """Local time of the first event."""
        return self.events["time"].iloc[0]

    @cached_property
    def last(self) -> pd.Timestamp:
        """Local time of the last event."""
        return self.events["time"].iloc[-1]

    @property
    def days(self) -> float:
        """Length of the log in days."""
        return float((self.last - self.first) / pd.Timedelta(days=1))

    @property
    def period(self) -> str:
        """The calendar unit that divides the log into enough parts: "M", "W" or "D"."""
        return "M" if self.days >= _DAYS_FOR_MONTHS else "W" if self.days >= _DAYS_FOR_WEEKS else "D"

    @cached_property
    def sessions(self) -> pd.Series:
        """Number of the session of every event: 30 minutes of silence end one, as in the stream."""
        ordered = self.events[["customer", "time"]].sort_values(["customer", "time"], kind="stable")
        pause = ordered["time"].diff() > pd.Timedelta(milliseconds=SESSION_GAP_MS)
        begins = pause | (ordered["customer"].diff() != 0)
        return begins.cumsum().reindex(self.events.index) - 1

    @cached_property
    def customers(self) -> pd.DataFrame:
        """One row for each customer who bought: recency (days), frequency (orders), monetary value, and more.

        Money is that of the orders whose value is known, and unknown (NaN) where there is none.
        """
        grouped = self.orders.groupby("customer")
        frame = grouped.agg(
            first=("time", "min"),
            last=("time", "max"),
            frequency=("time", "size"),
            mean_order=("value", "mean"),
        )
        day = pd.Timedelta(days=1)
        return frame.assign(
            recency=(self.last - frame["last"]) / day,
            monetary=grouped["value"].sum(min_count=1),
            span=(frame["last"] - frame["first"]) / day,
        )


def _local(times: pa.ChunkedArray, timezone: str) -> pd.Series:
    return pd.Series(times.to_pandas().dt.tz_convert(timezone).dt.tz_localize(None))


def period_label(period: pd.Period) -> str:
    """Return a month, or the first day of a week, in words.

    Examples
    --------
    >>> period_label(pd.Period("2024-03", "M")), period_label(pd.Period("2024-03-06", "W"))
    ('Mar 2024', '04 Mar 2024')
    """
    start = period.start_time
    return f"{start:%b %Y}" if period.freqstr.startswith("M") else f"{start:%d %b %Y}"

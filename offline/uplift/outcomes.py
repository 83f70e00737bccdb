"""What customers bought in the window after they were assigned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.columns import from_table


@dataclass(frozen=True)
class Payments:
    """All purchases and refunds, and the time in which they would have been seen.

    Attributes
    ----------
    frame
        ``customer_id``, ``time`` (epoch ms), ``money`` (negative for a refund; NaN where it is not known) and
        ``refund``.
    first, end
        Times of the first and of the last event of anybody, epoch ms.
    currency
        Of the money; None where money is not known, as in scores.
    foreign
        Purchases and refunds by another currency; a purchase counts, its money does not.
    """

    frame: pd.DataFrame
    first: int
    end: int
    currency: str | None
    foreign: Mapping[str, int]


def payments(
    log: pa.Table, currency: str, *, first: int | None = None, end: int | None = None, money: bool = True
) -> Payments:
    """Return the purchases and refunds of a log; each event id counts once.

    Parameters
    ----------
    log
        An event log, or its purchases and refunds alone.
    first, end
        Of the whole log; by default, of ``log``.
    money
        Whether ``log`` says what was paid.
    """
    times = log["event_time"].cast(pa.int64()).to_numpy()
    paid = log.filter(pc.is_in(log["type"], pa.array(["purchase", "refund"])))
    columns = from_table(paid, currency)
    refund = pc.equal(paid["type"], "refund").to_numpy()
    frame = pd.DataFrame(
        {
            "customer_id": columns.customers,
            "event_id": columns.event_ids,
            "time": columns.time,
            "money": np.where(refund, -columns.money, columns.money),
            "refund": refund,
            "currency": pd.Series(pc.utf8_upper(paid["currency"]).to_pylist(), dtype=object),
            "foreign": columns.foreign,
        }
    ).drop_duplicates(["customer_id", "event_id"], ignore_index=True)
    foreign = frame.loc[frame["foreign"], "currency"].value_counts()
    return Payments(
        frame[["customer_id", "time", "money", "refund"]],
        int(times.min() if first is None else first),
        int(times.max() if end is None else end),
        currency if money else None,
        {str(name): int(count) for name, count in foreign.items()},
    )


class Outcomes(NamedTuple):
    """What became of the customers whose window the log has seen to its end.

    Attributes
    ----------
    customers
        The rows of those customers, with ``closes_at`` (epoch ms), ``bought``, and ``revenue`` less refunds (NaN where
        money is not known), by ``closes_at``.
    open
        Customers whose window has not ended.
    unseen
        Customers who were assigned before the log begins.
    refunds, refunded
        Number and money of the refunds within windows.
    """

    customers: pd.DataFrame
    open: int
    unseen: int
    refunds: int
    refunded: float


def outcomes(customers: pd.DataFrame, paid: Payments, window_ms: int) -> Outcomes:
    """Count what each customer bought in (decided_at, decided_at + window].

    Parameters
    ----------
    customers
        `Assigned.customers`.
    window_ms
        Length of the window, milliseconds.
    """
    unseen = (customers["decided_at"] < paid.first).to_numpy()
    closes = customers["decided_at"].to_numpy() + window_ms
    closed = ~unseen & (closes <= paid.end)
    kept = customers[closed].assign(closes_at=closes[closed]).reset_index(drop=True)
    kept["row"] = np.arange(len(kept))
    found = paid.frame.merge(kept[["customer_id", "decided_at", "closes_at", "row"]], on="customer_id")
    found = found[(found["time"] > found["decided_at"]) & (found["time"] <= found["closes_at"])]
    bought = np.zeros(len(kept), bool)
    bought[found.loc[~found["refund"], "row"]] = True
    revenue = np.bincount(found["row"], found["money"].to_numpy(np.float64), len(kept))
    back = found[found["refund"]]
    kept = kept.drop(columns="row").assign(
        bought=bought, revenue=revenue if paid.currency is not None else np.nan
    )
    return Outcomes(
        kept.sort_values("closes_at", kind="stable", ignore_index=True),
        int((~unseen & ~closed).sum()),
        int(unseen.sum()),
        len(back),
        float(-back["money"].sum()),
    )

"""Online Retail as examples: every order is scored, and the question is whether another one follows within 30 days.

UCI Online Retail (Chen 2015, doi 10.24432/C5BW33, CC BY 4.0): the orders of a British gift shop, 2010-12 to 2011-12. An
order counts from the next calendar day in London on, since a fifth of "next orders" are the same basket split over
invoices.
"""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.calendar import zone
from features.state import DAY_MS
from features.vector import Vectors
from offline.datasets.online_retail import load_online_retail
from offline.examples.examples import Context, build_examples

TIMEZONE: Final = "Europe/London"
CONTEXT: Final = Context(30 * DAY_MS, "next-day", TIMEZONE, "GBP")
#: How long after its ``as_of`` a label is known.
DELAY_MS: Final = CONTEXT.horizon_ms + CONTEXT.lateness_ms

_FILE: Final = "online_retail.parquet"


class Period(NamedTuple):
    """When a bundle is trained and from when to when it is judged; days begin at midnight in London."""

    trained: int
    begin: int
    end: int


def period(trained: str, begin: str, end: str) -> Period:
    """Return a period from days; ``end`` is the first day after it."""
    return Period(*(midnight(day) for day in (trained, begin, end)))


def midnight(day: str) -> int:
    """Return the moment (epoch ms) at which a day begins in London.

    Examples
    --------
    >>> midnight("1970-01-02"), midnight("2011-09-01")
    (82800000, 1314831600000)
    """
    return round(dt.datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(TIMEZONE)).timestamp() * 1000)


#: Trained two horizons before the test: one until the first label of an order scored by this network is known, another
#: one until the first predictions of what was learned from it have been judged.
TEST: Final = period("2011-07-01", "2011-09-01", "2011-11-10")
#: Where settings were chosen: the same distances, and all its labels were known before the test began.
VALIDATION: Final = period("2011-05-01", "2011-07-01", "2011-08-01")


class Orders(NamedTuple):
    """Orders with known labels in order of their time, one element each.

    ``rows`` are positions in the log, ``days`` calendar days in London, ``order_days`` on how many days the customer
    has ordered so far, this one included; the segment column of ``vectors`` is empty.
    """

    rows: NDArray[np.int64]
    vectors: Vectors
    kinds: NDArray[np.uint8]
    as_of: NDArray[np.int64]
    days: NDArray[np.int64]
    customers: NDArray[np.int64]
    order_days: NDArray[np.int64]
    labels: NDArray[np.int8]

    def known_at(self, moment: int) -> NDArray[np.bool_]:
        """Tell which labels were known at a moment."""
        return self.as_of + DELAY_MS <= moment

    def within(self, begin: int, end: int) -> NDArray[np.bool_]:
        """Tell which orders were made in ``[begin, end)``."""
        return (self.as_of >= begin) & (self.as_of < end)


def data_file(path: Path | None = None) -> Path:
    """Return the data set's file: the given one, else the one in ``INTENT_DATA_DIR`` or in ``../shared/data``."""
    folder = Path(os.environ.get("INTENT_DATA_DIR", Path(__file__).parents[3] / "shared" / "data"))
    return folder / _FILE if path is None else path


def load_log(path: Path | None = None) -> pa.Table:
    """Return the data set as an event log."""
    return load_online_retail(data_file(path)).log()


def until(log: pa.Table, moment: int) -> pa.Table:
    """Return the part of a log before a moment."""
    return log.filter(pc.less(log["event_time"].cast(pa.int64()), moment))


def orders(log: pa.Table) -> Orders:
    """Return the orders of the log whose label is known at its end."""
    examples = build_examples(log, CONTEXT)
    rows = np.flatnonzero(examples.usable)
    rows = rows[np.argsort(examples.as_of[rows], kind="stable")]
    as_of, customers = examples.as_of[rows], examples.customers[rows]
    days = local_days(as_of)
    return Orders(
        examples.rows[rows],
        np.ascontiguousarray(examples.vectors[rows]),
        examples.kinds[rows],
        as_of,
        days,
        customers,
        days_so_far(customers, days),
        examples.labels[rows],
    )


def local_days(as_of: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the calendar day in London of every moment, counted from 1970-01-01."""
    local = zone(TIMEZONE)
    at = np.searchsorted(local.changes_ms, as_of, side="right") - 1
    return (as_of + local.offsets_ms[np.maximum(at, 0)]) // DAY_MS


def days_so_far(customers: NDArray[np.int64], days: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return on how many different days each order's customer has ordered up to it; orders are in order of time.

    Examples
    --------
    >>> days_so_far(np.array([1, 1, 2, 1]), np.array([5, 5, 6, 9])).tolist()
    [1, 1, 1, 2]
    """
    count = np.zeros(int(customers.max(initial=0)) + 1, np.int64)
    last = np.full(len(count), np.iinfo(np.int64).min)
    out = np.empty(len(customers), np.int64)
    for i, (customer, day) in enumerate(zip(customers.tolist(), days.tolist(), strict=True)):
        count[customer] += day != last[customer]
        last[customer] = day
        out[i] = count[customer]
    return out

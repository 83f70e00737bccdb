"""Every known customer at a moment, and who bought in the time after it: one row a customer, at natural prevalence."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from features.counts import counted
from offline.chapters.segments.history import history_at
from offline.exceptions import TrainingError
from offline.problems.problem import Problem
from offline.views.log_view import LogView
from offline.views.net_orders import net_orders

DAY: Final = pd.Timedelta(days=1)
#: What the model sees, in words.
WORDS: Final = {
    "since_order": "days since the last order",
    "recency": "days since the last visit",
    "frequency": "orders",
    "recent_orders": "orders in the last 90 days",
    "monetary": "money spent",
    "mean_order": "mean order value",
    "gap": "mean days between orders",
    "overdue": "days since the last order by days between orders",
    "sessions": "visits",
    "events": "events",
    "recent_events": "events in the last 7 days",
    "carts": "recent additions to the cart",
    "since_cart": "days since something was put in the cart",
    "tenure": "days since the customer first came",
}
_BROWSING: Final = frozenset(
    {"recency", "sessions", "events", "recent_events", "carts", "since_cart"}
)  # of orders alone, they say what orders say
#: Horizon in days where the log is browsed and nobody said one, and the share of the log that it is at most.
_DAYS, _SHARE = 7.0, 0.2
_RECENT_DAYS, _LATELY_DAYS = 90, 7
#: Past moments to test lists on, and earlier ones to learn from, at most.
TESTS, _LEARNED = 3, 6
_LEAST: Final = 20  # buyers and others to learn from


class Moment(NamedTuple):
    """A moment and all customers known before it.

    Attributes
    ----------
    at
        The shop's local time.
    known
        One row for each customer, by number: the columns of `WORDS`.
    bought, money
        Who placed an order in the time after it, and what for, as far as it was in the shop's currency.
    """

    at: pd.Timestamp
    known: pd.DataFrame
    bought: pd.Series
    money: pd.Series


def horizon_of(view: LogView, horizon: pd.Timedelta) -> pd.Timedelta:
    """Return how far a list looks ahead: the horizon of the report if it is days, else what the log allows."""
    if horizon >= DAY:
        return horizon
    return min(_DAYS, _SHARE * view.days) * DAY


def moment_at(view: LogView, at: pd.Timestamp, horizon: pd.Timedelta) -> Moment:
    """Return all customers at a moment, from the events before it only, and what they bought after it."""
    known = history_at(view, at)
    bought = net_orders(view, at)
    recent = bought[bought["time"] >= at - _RECENT_DAYS * DAY].groupby("customer").size()
    by_customer = bought.groupby("customer")["time"]
    span = ((by_customer.max() - by_customer.min()) / DAY).reindex(known.index)
    lately = view.events[(view.events["time"] >= at - _LATELY_DAYS * DAY) & (view.events["time"] < at)]
    known["recent_orders"] = recent.reindex(known.index).fillna(0.0)
    known["mean_order"] = bought.groupby("customer")["value"].mean().reindex(known.index)
    known["gap"] = span / (known["frequency"] - 1).where(known["frequency"] > 1)
    known["overdue"] = known["since_order"] / known["gap"].where(known["gap"] > 0)
    known["recent_events"] = lately.groupby("customer").size().reindex(known.index).fillna(0.0)
    columns = [name for name in WORDS if view.browsing or name not in _BROWSING]
    after = view.orders[(view.orders["time"] >= at) & (view.orders["time"] < at + horizon)]
    spent = after.groupby("customer")["value"].sum().reindex(known.index)
    came = pd.Series(known.index.isin(after["customer"]), known.index)
    return Moment(at, known[columns].replace(np.inf, np.nan), came, spent.fillna(0.0))


def past_moments(view: LogView, horizon: pd.Timedelta) -> list[Moment]:
    """Return moments a horizon apart whose time after them is past, the latest first.

    Raises
    ------
    TrainingError
        The log has no room for a moment to test on and one to learn from before it.
    """
    ends = [view.last - nth * horizon for nth in range(1, TESTS + _LEARNED + 1)]
    moments = [moment_at(view, at, horizon) for at in ends if at - view.first >= horizon]
    if len(moments) < 2:  # noqa: PLR2004  (one to learn from, one to test on)
        raise TrainingError(
            f"a list for {counted(horizon / DAY, 'day')} needs a log of at least "
            f"{counted(3 * horizon / DAY, 'day')}, this one has {view.days:.0f}: use a shorter --horizon"
        )
    return moments


def learned_from(moments: list[Moment]) -> Problem:
    """Return moments as a problem, the customers as groups.

    Raises
    ------
    TrainingError
        Too few bought, or too few did not.
    """
    used = moments[:_LEARNED]
    bought = np.concatenate([moment.bought.to_numpy() for moment in used])
    if min(bought.sum(), (~bought).sum()) < _LEAST:
        raise TrainingError(
            f"of {counted(len(bought), 'customer')} at past moments {int(bought.sum()):,} bought: at least {_LEAST} "
            f"who did and {_LEAST} who did not are needed to learn whom to choose"
        )
    columns = pd.concat([moment.known for moment in used])
    groups = columns.index.to_numpy(np.int64)
    columns = columns.reset_index(drop=True)
    return Problem(
        "customers", columns, dict.fromkeys(columns, "numeric"), bought, "order", "customer", groups=groups
    )

"""Huge orders: one that is far beyond all others says nothing of what is typical, and must not decide a figure alone.

Where it is counted what came in, it counts in full, and is named (`huge_words`). Where it is asked what an order is
worth or what is still to come, it counts as the limit (`capped`). The limit is one for all chapters: twenty times the
99th percentile of at least a hundred orders.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import numpy as np
import pandas as pd

from features.counts import counted
from offline.views.log_view import LogView
from offline.views.net_orders import net_orders

View = TypeVar("View", bound=LogView)

_HUGE, _ENOUGH_ORDERS = 20.0, 100
#: An order that is less of the revenue is not worth a word.
_TOLD: Final = 0.01


@dataclass(frozen=True)
class HugeOrder:
    """An order that says nothing about others: it counts as ``counted`` instead of ``value``."""

    date: dt.date
    value: float
    counted: float


def tamed(orders: pd.DataFrame) -> tuple[pd.DataFrame, tuple[HugeOrder, ...]]:
    """Return orders of which none is huge, and those that were."""
    value = orders["value"].to_numpy(np.float64)
    limit = limit_of(orders)
    beyond = np.flatnonzero(value > limit)
    huge = tuple(HugeOrder(orders["time"].iloc[at].date(), float(value[at]), limit) for at in beyond)
    return orders.assign(value=np.minimum(value, limit)) if huge else orders, huge


def limit_of(orders: pd.DataFrame) -> float:
    """Return the value beyond which an order is huge; infinite where orders are too few or free."""
    if len(orders) < _ENOUGH_ORDERS:
        return float("inf")
    value = orders["value"].dropna().to_numpy(np.float64)  # that of another currency is not known
    limit = _HUGE * float(np.quantile(value, 0.99)) if len(value) else 0.0
    return limit if limit > 0 else float("inf")


def capped(view: View) -> View:
    """Return the view with net orders of which none counts more than the limit."""
    return replace(view, limit=limit_of(view.orders))


def huge_words(view: LogView) -> list[str]:
    """Return which share of the revenue huge orders alone are, as a sentence; nothing where there are none."""
    orders = net_orders(view)
    huge = tamed(orders)[1]
    total, value = float(orders["value"].sum()), sum(one.value for one in huge)
    if not huge or value < _TOLD * total:
        return []
    if len(huge) == 1:
        return [f"One order of {value:,.0f} {view.currency} alone is {value / total:.0%} of the revenue."]
    return [
        f"{counted(len(huge), 'order')} of {min(one.value for one in huge):,.0f} {view.currency} or more alone are "
        f"{value / total:.0%} of the revenue."
    ]


def counted_words(view: LogView) -> str:
    """Return how huge orders count where it is asked what is typical; empty where there are none."""
    huge = tamed(view.orders)[1]
    if not huge:
        return ""
    if len(huge) == 1:
        return f"One order of {huge[0].value:,.0f} {view.currency} counts as {huge[0].counted:,.0f} here."
    return f"{counted(len(huge), 'order')} of more than {huge[0].counted:,.0f} {view.currency} count as so much here."

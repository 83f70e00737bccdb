"""Customer lifetime value: how often customers will still order (BG/NBD) and for how much (gamma-gamma).

BG/NBD stands in `offline.lab.bg_nbd`. Gamma-gamma [Fader and Hardie 2013, brucehardie.com/notes/025]: mean values of
orders are gamma distributed around a mean that is itself gamma distributed over customers (``p``, ``q``, ``gamma``),
and do not depend on frequency. It is fitted by maximum likelihood.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import gammaln

from offline.lab.bg_nbd import BOUND, PENALTY, Floats, require_repeaters
from offline.views.log_view import LogView
from offline.views.net_orders import net_orders


class Histories(NamedTuple):
    """One element for each customer: days with orders after the first one, days from the first to the last, age.

    ``value`` is the mean value of those later days whose money is known, ``priced`` how many they are; 0 if no such
    days follow. ``unknown``: all the customer's orders were in another currency.
    """

    customers: NDArray[np.int64]
    repeats: Floats
    recency: Floats
    age: Floats
    value: Floats
    priced: Floats
    unknown: NDArray[np.bool_]


class GammaGamma(NamedTuple):
    """Fitted parameters."""

    p: float
    q: float
    gamma: float

    def expected(self, histories: Histories) -> Floats:
        """Return the expected mean value of an order: between the customer's own mean and that of all.

        NaN for customers of whose money nothing is known.
        """
        x, value = histories.priced, np.where(histories.unknown, np.nan, histories.value)
        p, q, gamma = self
        return np.asarray(p * (gamma + x * value) / (p * x + q - 1))


def histories_at(view: LogView, moment: pd.Timestamp) -> Histories:
    """Return the histories of customers who ordered before a moment, less refunds; orders of one day count as one."""
    orders = net_orders(view, moment)
    day = orders["time"].dt.normalize()
    days = orders.groupby([orders["customer"], day])["value"].sum(min_count=1).reset_index()
    days.columns = pd.Index(["customer", "day", "value"])
    seen = days.groupby("customer")
    first, last, count = seen["day"].min(), seen["day"].max(), seen.size()
    one = pd.Timedelta(days=1)
    later = days[days["day"] > days["customer"].map(first)].groupby("customer")["value"]
    return Histories(
        count.index.to_numpy(np.int64),
        (count - 1).to_numpy(np.float64),
        ((last - first) / one).to_numpy(np.float64),
        ((moment - first) / one).to_numpy(np.float64),
        later.mean().reindex(count.index).fillna(0.0).to_numpy(np.float64),
        later.count().reindex(count.index).fillna(0.0).to_numpy(np.float64),
        (seen["value"].count() == 0).to_numpy(),
    )


def fit_gamma_gamma(histories: Histories) -> GammaGamma:
    """Fit the value of orders, on customers who ordered again for money.

    Raises
    ------
    TrainingError
        Too few of them.
    """
    require_repeaters(histories)
    paid = (histories.priced > 0) & (histories.value > 0)
    x, value = histories.priced[paid], histories.value[paid]
    start = np.array([np.log(2.0), np.log(2.0), np.log(max(float(value.mean()), 1e-6))])
    bounds = [BOUND, (-9.0, 9.0), (-9.0, 18.0)]
    found = minimize(
        _value_loss, start, (x, value), method="L-BFGS-B", bounds=bounds, options={"maxiter": 500}
    )
    p, q, gamma = np.exp(found.x)
    return GammaGamma(float(p), 1 + float(q), float(gamma))  # q above 1: the mean of all is finite


def _value_loss(logs: Floats, x: Floats, value: Floats) -> float:
    p, q, gamma = np.exp(logs[0]), 1 + np.exp(logs[1]), np.exp(logs[2])
    likelihood = (
        gammaln(p * x + q) - gammaln(p * x) - gammaln(q) + q * np.log(gamma) + (p * x - 1) * np.log(value)
        + p * x * np.log(x) - (p * x + q) * np.log(gamma + x * value)
    )  # fmt: skip
    return -float(np.mean(likelihood)) + PENALTY * float(np.square(logs[:2]).mean())

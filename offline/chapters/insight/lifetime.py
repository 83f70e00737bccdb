"""Customer lifetime value: how often and how much customers will still buy, by BG/NBD and gamma-gamma.

BG/NBD [Fader, Hardie and Lee 2005, doi 10.1287/mksc.1040.0098]: orders while alive are Poisson, with a rate that is
gamma distributed over customers (``r``, ``alpha``); after each order a customer leaves with a probability that is beta
distributed (``a``, ``b``). Gamma-gamma [Fader and Hardie 2013, brucehardie.com/notes/025]: mean values of orders are
gamma distributed around a mean that is itself gamma distributed over customers (``p``, ``q``, ``gamma``), and do not
depend on frequency. Both by maximum likelihood; the libraries for them are unmaintained or bring a
whole Bayesian stack, for seven numbers.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betaln, gammaln, hyp2f1

from offline.exceptions import TrainingError
from offline.views.log_view import LogView
from offline.views.net_orders import net_orders

Floats = NDArray[np.float64]

_LEAST_REPEATERS: Final = 30
_BOUND: Final = (-9.0, 12.0)
_PENALTY: Final = 1e-3  # on the logarithms: keeps them from running off where the data say nothing


class Histories(NamedTuple):
    """One element for each customer: days with orders after the first one, days from the first to the last, age.

    ``value`` is the mean value of those later days, 0 where there is none.
    """

    customers: NDArray[np.int64]
    repeats: Floats
    recency: Floats
    age: Floats
    value: Floats


class BgNbd(NamedTuple):
    """Fitted parameters; times are in days."""

    r: float
    alpha: float
    a: float
    b: float

    def alive(self, histories: Histories) -> Floats:
        """Return the probability that a customer has not left yet."""
        x, recency, age = histories.repeats, histories.recency, histories.age
        log_odds = np.log(self.a / (self.b + np.maximum(x, 1) - 1)) + (self.r + x) * np.log(
            (self.alpha + age) / (self.alpha + recency)
        )
        return np.asarray(np.where(x > 0, 1 / (1 + np.exp(np.minimum(log_odds, 700))), 1.0))

    def returns(self, histories: Histories, days: float) -> Floats:
        """Return the probability of at least one order within the next days.

        Customers leave right after an order or not at all, so whoever is still there orders as a Poisson process whose
        rate is gamma distributed with what is known of the customer.
        """
        x, age = histories.repeats, histories.age
        silent = ((self.alpha + age) / (self.alpha + age + days)) ** (self.r + x)
        return np.asarray(self.alive(histories) * (1 - silent))

    def expected(self, histories: Histories, days: float) -> Floats:
        """Return the expected number of days with orders within the next days (equation 10)."""
        x, recency, age = histories.repeats, histories.recency, histories.age
        r, alpha, a, b = self
        z = days / (alpha + age + days)
        grown = ((alpha + age) / (alpha + age + days)) ** (r + x) * hyp2f1(r + x, b + x, a + b + x - 1, z)
        left = a / (b + np.maximum(x, 1) - 1) * ((alpha + age) / (alpha + recency)) ** (r + x)
        found = (a + b + x - 1) / (a - 1) * (1 - grown) / (1 + np.where(x > 0, left, 0.0))
        return np.asarray(np.maximum(found, 0.0))


class GammaGamma(NamedTuple):
    """Fitted parameters."""

    p: float
    q: float
    gamma: float

    def expected(self, histories: Histories) -> Floats:
        """Return the expected mean value of an order: between the customer's own mean and that of all."""
        x, value = histories.repeats, histories.value
        p, q, gamma = self
        return np.asarray(p * (gamma + x * value) / (p * x + q - 1))


def histories_at(view: LogView, moment: pd.Timestamp) -> Histories:
    """Return the histories of customers who ordered before a moment, less refunds; orders of one day count as one."""
    orders = net_orders(view, moment)
    day = orders["time"].dt.normalize()
    days = orders.groupby([orders["customer"], day])["value"].sum().reset_index()
    days.columns = pd.Index(["customer", "day", "value"])
    seen = days.groupby("customer")
    first, last, count = seen["day"].min(), seen["day"].max(), seen.size()
    one = pd.Timedelta(days=1)
    later = days[days["day"] > days["customer"].map(first)].groupby("customer")["value"].mean()
    return Histories(
        count.index.to_numpy(np.int64),
        (count - 1).to_numpy(np.float64),
        ((last - first) / one).to_numpy(np.float64),
        ((moment - first) / one).to_numpy(np.float64),
        later.reindex(count.index).fillna(0.0).to_numpy(np.float64),
    )


def fit_bg_nbd(histories: Histories) -> BgNbd:
    """Fit the frequency.

    Raises
    ------
    TrainingError
        Too few customers ordered again.
    """
    _require_repeaters(histories)
    start = np.log([0.5, max(float(np.median(histories.age)) / 2, 1.0), 1.0, 3.0])
    found = minimize(
        _frequency_loss, start, (histories,), method="L-BFGS-B", bounds=[_BOUND] * 4, options={"maxiter": 500}
    )
    r, alpha, a, b = (float(value) for value in np.exp(found.x))
    # The expectation has a removable singularity at a = 1.
    return BgNbd(r, alpha, a if abs(a - 1) > 1e-6 else 1 + 1e-5, b)  # noqa: PLR2004


def fit_gamma_gamma(histories: Histories) -> GammaGamma:
    """Fit the value of orders, on customers who ordered again for money.

    Raises
    ------
    TrainingError
        Too few of them.
    """
    _require_repeaters(histories)
    paid = (histories.repeats > 0) & (histories.value > 0)
    x, value = histories.repeats[paid], histories.value[paid]
    start = np.array([np.log(2.0), np.log(2.0), np.log(max(float(value.mean()), 1e-6))])
    bounds = [_BOUND, (-9.0, 9.0), (-9.0, 18.0)]
    found = minimize(
        _value_loss, start, (x, value), method="L-BFGS-B", bounds=bounds, options={"maxiter": 500}
    )
    p, q, gamma = np.exp(found.x)
    return GammaGamma(float(p), 1 + float(q), float(gamma))  # q above 1: the mean of all is finite


def _require_repeaters(histories: Histories) -> None:
    repeaters = int(np.count_nonzero(histories.repeats > 0))
    if repeaters < _LEAST_REPEATERS:
        raise TrainingError(
            f"{repeaters} customers ordered on more than one day; lifetime values need at least "
            f"{_LEAST_REPEATERS}: use "
            "a longer log"
        )


def _frequency_loss(logs: Floats, histories: Histories) -> float:
    r, alpha, a, b = np.exp(logs)
    x, recency, age = histories.repeats, histories.recency, histories.age
    common = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    stayed = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + age)
    left = betaln(a + 1, b + np.maximum(x, 1) - 1) - betaln(a, b) - (r + x) * np.log(alpha + recency)
    likelihood = common + np.where(x > 0, np.logaddexp(stayed, left), stayed)
    return -float(np.mean(likelihood)) + _PENALTY * float(np.square(logs[[0, 2, 3]]).mean())


def _value_loss(logs: Floats, x: Floats, value: Floats) -> float:
    p, q, gamma = np.exp(logs[0]), 1 + np.exp(logs[1]), np.exp(logs[2])
    likelihood = (
        gammaln(p * x + q) - gammaln(p * x) - gammaln(q) + q * np.log(gamma) + (p * x - 1) * np.log(value)
        + p * x * np.log(x) - (p * x + q) * np.log(gamma + x * value)
    )  # fmt: skip
    return -float(np.mean(likelihood)) + _PENALTY * float(np.square(logs[:2]).mean())

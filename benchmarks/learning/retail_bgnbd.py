"""BG/NBD: how often a customer orders while alive, and when one has left for good.

While alive, a customer orders as a Poisson process, at a rate that is gamma distributed over customers (``r``,
``alpha``); after each order a customer leaves with a probability that is beta distributed (``a``, ``b``) [Fader, Hardie
and Lee 2005, doi 10.1287/mksc.1040.0098]. Fitted here by maximum likelihood: `lifetimes` is no longer maintained, and
`pymc-marketing` would bring thirty packages and an older numba for these four parameters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betaln, gammaln

Floats = NDArray[np.float64]


class Histories(NamedTuple):
    """A customer each: days of orders after the first one, and days from the first to the last one and until now."""

    repeats: Floats
    recency: Floats
    age: Floats


class BgNbd(NamedTuple):
    """Fitted parameters."""

    r: float
    alpha: float
    a: float
    b: float

    def within(self, histories: Histories, days: float) -> Floats:
        """Return the probability that a customer orders within the next days."""
        x, recency, age = histories
        # Odds of having left after the last order; nobody leaves before the second one.
        log_odds = np.log(self.a / (self.b + np.maximum(x, 1) - 1)) + (self.r + x) * np.log(
            (self.alpha + age) / (self.alpha + recency)
        )
        alive = np.where(x > 0, 1 / (1 + np.exp(np.minimum(log_odds, 700))), 1.0)
        silent = ((self.alpha + age) / (self.alpha + age + days)) ** (self.r + x)
        return np.asarray(alive * (1 - silent))


def fit_bg_nbd(histories: Histories) -> BgNbd:
    """Fit by maximum likelihood, on the logarithms of the parameters."""
    start = np.log([0.5, max(float(np.median(histories.age)) / 2, 1.0), 1.0, 3.0])
    found = minimize(_negative_log_likelihood, start, (histories,), method="L-BFGS-B", bounds=[(-8, 12)] * 4)
    return BgNbd(*(float(value) for value in np.exp(found.x)))


def histories_at(
    customers: NDArray[np.int64], days: NDArray[np.int64], order_days: NDArray[np.int64], now: int
) -> Histories:
    """Return the history of every customer of some orders, which are in order of time, as of the day ``now``."""
    known, first = np.unique(customers, return_index=True)
    last = len(customers) - 1 - np.unique(customers[::-1], return_index=True)[1]
    return Histories(
        (order_days[last] - 1).astype(np.float64),
        (days[last] - days[first]).astype(np.float64),
        (now - days[first]).astype(np.float64),
    )


def _negative_log_likelihood(logs: Floats, histories: Histories) -> float:
    r, alpha, a, b = np.exp(logs)
    x, recency, age = histories
    common = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    stayed = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + age)
    left = betaln(a + 1, b + np.maximum(x, 1) - 1) - betaln(a, b) - (r + x) * np.log(alpha + recency)
    return -float(np.mean(common + np.where(x > 0, np.logaddexp(stayed, left), stayed)))

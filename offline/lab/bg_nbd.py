"""BG/NBD: how often a customer orders while alive, and when a customer has left for good.

Orders while alive are Poisson, with a rate that is gamma distributed over customers (``r``, ``alpha``). After each
order a customer leaves with a probability that is beta distributed (``a``, ``b``). Fitted by maximum likelihood:
`lifetimes` is no longer maintained, and `pymc-marketing` would bring a whole Bayesian stack for four numbers.

References
----------
Fader, Hardie and Lee (2005), "Counting your customers" the easy way, doi 10.1287/mksc.1040.0098.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betaln, gammaln, hyp2f1

from features.counts import counted
from offline.exceptions import TrainingError

Floats = NDArray[np.float64]

#: Of the logarithms of parameters.
BOUND: Final = (-9.0, 12.0)
#: On the squared logarithms of parameters: keeps them from running off where the data say nothing.
PENALTY: Final = 1e-3
_LEAST_REPEATERS: Final = 30


class OrderHistories(Protocol):
    """When customers ordered, one element for each of them."""

    @property
    def repeats(self) -> Floats:
        """Days with orders after the first one."""

    @property
    def recency(self) -> Floats:
        """Days from the first to the last day with orders."""

    @property
    def age(self) -> Floats:
        """Days from the first day with orders until now."""


class BgNbd(NamedTuple):
    """Fitted parameters; times are in days."""

    r: float
    alpha: float
    a: float
    b: float

    def alive(self, histories: OrderHistories) -> Floats:
        """Return the probability that a customer has not left yet."""
        x, recency, age = histories.repeats, histories.recency, histories.age
        log_odds = np.log(self.a / (self.b + np.maximum(x, 1) - 1)) + (self.r + x) * np.log(
            (self.alpha + age) / (self.alpha + recency)
        )
        return np.asarray(np.where(x > 0, 1 / (1 + np.exp(np.minimum(log_odds, 700))), 1.0))

    def returns(self, histories: OrderHistories, days: float) -> Floats:
        """Return the probability of at least one order within the next days.

        Customers leave right after an order or not at all, so whoever is still there orders as a Poisson process whose
        rate is gamma distributed with what is known of the customer.
        """
        x, age = histories.repeats, histories.age
        silent = ((self.alpha + age) / (self.alpha + age + days)) ** (self.r + x)
        return np.asarray(self.alive(histories) * (1 - silent))

    def expected(self, histories: OrderHistories, days: float) -> Floats:
        """Return the expected number of days with orders within the next days (equation 10)."""
        x, recency, age = histories.repeats, histories.recency, histories.age
        r, alpha, a, b = self
        z = days / (alpha + age + days)
        grown = ((alpha + age) / (alpha + age + days)) ** (r + x) * hyp2f1(r + x, b + x, a + b + x - 1, z)
        left = a / (b + np.maximum(x, 1) - 1) * ((alpha + age) / (alpha + recency)) ** (r + x)
        found = (a + b + x - 1) / (a - 1) * (1 - grown) / (1 + np.where(x > 0, left, 0.0))
        return np.asarray(np.maximum(found, 0.0))


def fit_bg_nbd(histories: OrderHistories, *, penalty: float = PENALTY) -> BgNbd:
    """Fit by maximum likelihood, on the logarithms of the parameters.

    Parameters
    ----------
    penalty
        On the squared logarithms of ``r``, ``a`` and ``b``: keeps them from running off where the data say nothing.
        0 for plain maximum likelihood.

    Raises
    ------
    TrainingError
        Too few customers ordered again.
    """
    require_repeaters(histories)
    start = np.log([0.5, max(float(np.median(histories.age)) / 2, 1.0), 1.0, 3.0])
    found = minimize(
        _loss, start, (histories, penalty), method="L-BFGS-B", bounds=[BOUND] * 4, options={"maxiter": 500}
    )
    r, alpha, a, b = (float(value) for value in np.exp(found.x))
    # The expectation has a removable singularity at a = 1.
    return BgNbd(r, alpha, a if abs(a - 1) > 1e-6 else 1 + 1e-5, b)  # noqa: PLR2004


def require_repeaters(histories: OrderHistories) -> None:
    """Refuse histories with too few customers who ordered again.

    Raises
    ------
    TrainingError
        Names how many there are.
    """
    repeaters = int(np.count_nonzero(histories.repeats > 0))
    if repeaters < _LEAST_REPEATERS:
        raise TrainingError(
            f"{counted(repeaters, 'customer')} ordered on more than one day; lifetime values need at least "
            f"{_LEAST_REPEATERS}: use "
            "a longer log"
        )


def _loss(logs: Floats, histories: OrderHistories, penalty: float) -> float:
    r, alpha, a, b = np.exp(logs)
    x, recency, age = histories.repeats, histories.recency, histories.age
    common = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    stayed = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + age)
    left = betaln(a + 1, b + np.maximum(x, 1) - 1) - betaln(a, b) - (r + x) * np.log(alpha + recency)
    likelihood = common + np.where(x > 0, np.logaddexp(stayed, left), stayed)
    return -float(np.mean(likelihood)) + penalty * float(np.square(logs[[0, 2, 3]]).mean())

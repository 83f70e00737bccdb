"""What contacting customers from a probability upwards would bring, given value, effect and cost.

A contact pays where probability x effect x value exceeds its cost. The effect is what marketing must know and a log
cannot tell: by how much a contact raises the chance of a purchase that might have happened anyway. Only a comparison
with customers left alone measures it (INTENT_HOLDOUT); until then it is an assumption, and stands beside every figure.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_GRID: Final = 60
_REPLICATES: Final = 200


class Economics(NamedTuple):
    """What is assumed.

    Attributes
    ----------
    value
        Of one purchase: contribution before the contact's cost, in ``currency``.
    cost
        Of one contact.
    effect
        Purchases that a contact adds, as a share of those that would have happened anyway.
    currency
        Of both.
    """

    value: float
    cost: float
    effect: float
    currency: str

    @property
    def threshold(self) -> float:
        """The probability from which on a contact pays; above 1 it never does."""
        gain = self.value * self.effect
        return self.cost / gain if gain > 0 else float("inf")


class ProfitCurve(NamedTuple):
    """Profit by threshold on test rows.

    Attributes
    ----------
    frame
        One row for each threshold: ``threshold``, ``contacts``, ``contacted`` (share), ``expected`` (profit by the
        probabilities), ``happened`` (by what happened), ``low``, ``high`` (95 % interval of the latter over customers).
    best
        The row of the rule "contact where it pays"; chosen by economics, not by looking at the curve.
    everybody
        Profit of contacting everybody.
    """

    frame: pd.DataFrame
    best: pd.Series
    everybody: float


def profit_curve(
    probabilities: NDArray[np.float64],
    happened: NDArray[np.bool_],
    groups: NDArray[np.int64] | None,
    times: NDArray[np.int64] | None,
    economics: Economics,
    *,
    seed: int = 0,
) -> ProfitCurve:
    """Return the profit by threshold: a customer is contacted at most once, at the first row that reaches it.

    Parameters
    ----------
    groups
        Customer of each row; ``None``: every row is a customer of its own.
    times
        Order of the rows; ``None``: as they stand.
    """
    order = np.arange(len(probabilities)) if times is None else np.argsort(times, kind="stable")
    p, y = probabilities[order], happened[order].astype(np.float64)
    customers = np.arange(len(p)) if groups is None else np.unique(groups[order], return_inverse=True)[1]
    total = int(customers.max()) + 1 if len(customers) else 0
    least = min(economics.threshold, 1.0)
    grid = np.unique(np.append(np.quantile(p, np.linspace(0, 1, _GRID)), [0.0, least]))
    gain = economics.value * economics.effect
    drawn = np.random.default_rng(seed).multinomial(total, np.full(total, 1 / max(total, 1)), _REPLICATES)
    rows = []
    for threshold in grid:
        reached = np.flatnonzero(p >= threshold)
        first = reached[np.unique(customers[reached], return_index=True)[1]]
        own = gain * y[first] - economics.cost
        sums = drawn[:, customers[first]] @ own
        low, high = np.quantile(sums, [0.025, 0.975])
        rows.append(
            {
                "threshold": threshold,
                "contacts": len(first),
                "contacted": len(first) / max(total, 1),
                "expected": float((gain * p[first] - economics.cost).sum()),
                "happened": float(own.sum()),
                "low": float(low),
                "high": float(high),
            }
        )
    frame = pd.DataFrame(rows)
    best = frame.iloc[int(np.argmin(np.abs(frame["threshold"] - least)))]
    return ProfitCurve(frame, best, float(frame["happened"].iloc[0]))

"""What contacting customers from a probability upwards would have brought, given value, margin, cost and effect.

A contact pays where probability x effect x margin x value exceeds its cost. The effect is what marketing must know
and a log cannot tell: by how much a contact raises the chance of a purchase that might have happened anyway. Only a
comparison with customers left alone measures it (INTENT_HOLDOUT); until then it is an assumption, and stands beside
every figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_GRID: Final = 40
# The page's sliders compute with the same draws, so they are few enough to travel with it.
_REPLICATES: Final = 400
_ENDS: Final = (0.025, 0.975)


class Economics(NamedTuple):
    """What is assumed.

    Attributes
    ----------
    value
        Of one purchase: what the customer pays, in ``currency``.
    margin
        Share of it that remains when the goods are paid.
    cost
        Of one contact, in ``currency``.
    effect
        Purchases that a contact adds, as a share of those that would have happened anyway.
    """

    value: float
    margin: float
    cost: float
    effect: float
    currency: str

    @property
    def gain(self) -> float:
        """What a contact adds to the profit from a customer who would surely buy."""
        return self.value * self.margin * self.effect

    @property
    def threshold(self) -> float:
        """The probability from which on a contact pays; above 1 it never does."""
        return self.cost / self.gain if self.gain > 0 else float("inf")


class Contacts(NamedTuple):
    """Who would have been contacted on the test rows, by threshold, and who of them bought; no money in it yet.

    Attributes
    ----------
    frame
        One row for each threshold, the last one is reached by nobody: ``threshold``, ``contacts``, ``contacted``
        (share), ``purchases`` of the contacted, and how many the model ``promised``.
    drawn_contacts, drawn_purchases
        Of every bootstrap replicate over customers, shape ``(replicates, thresholds)``.
    """

    frame: pd.DataFrame
    drawn_contacts: NDArray[np.int64]
    drawn_purchases: NDArray[np.int64]


class Estimate(NamedTuple):
    """A sum of money with its 95% interval over customers."""

    value: float
    low: float
    high: float

    @property
    def sure(self) -> bool:
        """Whether the interval leaves 0 out: otherwise the rows don't tell a profit from a loss."""
        return self.low > 0 or self.high < 0


class Best(NamedTuple):
    """The threshold that would have brought most, found by looking back.

    Attributes
    ----------
    contacted, low, high
        Share contacted, and its interval: where the best share lies in replicates.
    profit
        What it would have brought, less what looking back flatters it by (Efron and Gong 1983, doi
        10.1080/00031305.1983.10483087).
    """

    threshold: float
    contacted: float
    low: float
    high: float
    profit: Estimate


class ProfitCurve(NamedTuple):
    """Profit by threshold on test rows.

    Attributes
    ----------
    frame
        That of `Contacts` with ``expected`` (profit by the probabilities), ``brought`` (by what the contacted did),
        ``low``, ``high`` (95% interval of the latter).
    rule
        The row of the rule "contact where it pays"; it follows from the economics, not from the curve.
    best
        What would have been best.
    everybody
        Contacting everybody.
    over_everybody
        What the rule would have brought more than that.
    """

    frame: pd.DataFrame
    rule: pd.Series
    best: Best
    everybody: Estimate
    over_everybody: Estimate

    @property
    def by_rule(self) -> Estimate:
        """What the rule would have brought."""
        return Estimate(*(float(self.rule[name]) for name in ("brought", "low", "high")))


def count_contacts(
    probabilities: Floats,
    bought: NDArray[np.bool_],
    groups: NDArray[np.int64] | None,
    times: NDArray[np.int64] | None,
    thresholds: Sequence[float] = (),
    *,
    seed: int = 0,
) -> Contacts:
    """Count contacts by threshold: a customer is contacted at most once, at the first row that reaches it.

    Parameters
    ----------
    groups
        Customer of each row; ``None``: every row is a customer of its own.
    times
        Order of the rows; ``None``: as they stand.
    thresholds
        To be counted besides a grid over all probabilities.
    """
    order = np.arange(len(probabilities)) if times is None else np.argsort(times, kind="stable")
    p, y = probabilities[order], bought[order]
    customers = np.arange(len(p)) if groups is None else np.unique(groups[order], return_inverse=True)[1]
    total = int(customers.max()) + 1 if len(customers) else 0
    grid = np.unique([*np.quantile(p, np.linspace(0, 1, _GRID)), 0.0, *(t for t in thresholds if t <= 1)])
    grid = np.append(grid[grid <= 1], np.inf)
    reached, buying = (np.zeros((total, len(grid)), np.float32) for _ in range(2))
    promised = np.zeros(len(grid))
    for at, threshold in enumerate(grid):
        rows = np.flatnonzero(p >= threshold)
        first = rows[np.unique(customers[rows], return_index=True)[1]]
        reached[customers[first], at] = 1
        buying[customers[first], at] = y[first]
        promised[at] = p[first].sum()
    rng = np.random.default_rng(seed)
    both = np.hstack([reached, buying])
    drawn = np.empty((_REPLICATES, both.shape[1]), np.int64)
    for at in range(_REPLICATES):
        counts = np.bincount(rng.integers(max(total, 1), size=total), minlength=total).astype(np.float32)
        drawn[at] = np.rint(counts @ both)
    contacts = reached.sum(axis=0, dtype=np.int64)
    frame = pd.DataFrame(
        {
            "threshold": grid,
            "contacts": contacts,
            "contacted": contacts / max(total, 1),
            "purchases": buying.sum(axis=0, dtype=np.int64),
            "promised": promised,
        }
    )
    return Contacts(frame, drawn[:, : len(grid)], drawn[:, len(grid) :])


def profit_curve(counted: Contacts, economics: Economics) -> ProfitCurve:
    """Return the profit by threshold."""
    frame = counted.frame.copy()
    gain, cost = economics.gain, economics.cost
    frame["expected"] = gain * frame["promised"] - cost * frame["contacts"]
    frame["brought"] = gain * frame["purchases"] - cost * frame["contacts"]
    drawn = gain * counted.drawn_purchases - cost * counted.drawn_contacts
    frame["low"], frame["high"] = np.quantile(drawn, _ENDS, axis=0)
    # The first threshold that is high enough: with it on the grid, the threshold itself.
    rule = int(np.searchsorted(frame["threshold"], economics.threshold * (1 - 1e-12)))
    rule = min(rule, len(frame) - 1)
    brought = frame["brought"].to_numpy()
    return ProfitCurve(
        frame,
        frame.iloc[rule],
        _best(frame, drawn),
        _estimate(float(brought[0]), drawn[:, 0]),
        _estimate(float(brought[rule] - brought[0]), drawn[:, rule] - drawn[:, 0]),
    )


def _best(frame: pd.DataFrame, drawn: Floats) -> Best:
    brought, contacted = frame["brought"].to_numpy(), frame["contacted"].to_numpy()
    best, ats = int(np.argmax(brought)), np.argmax(drawn, axis=1)
    flattered = float(np.mean(drawn[np.arange(len(drawn)), ats] - brought[ats]))
    low, high = np.quantile(contacted[ats], _ENDS)
    profit = _estimate(float(brought[best]), drawn[:, best])
    return Best(
        float(frame["threshold"].iloc[best]),
        float(contacted[best]),
        float(low),
        float(high),
        Estimate(*(money - flattered for money in profit)),
    )


def _estimate(value: float, drawn: Floats) -> Estimate:
    low, high = np.quantile(drawn, _ENDS)
    return Estimate(value, float(low), float(high))

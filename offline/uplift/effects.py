"""Treatment against holdout: the difference in means with CUPED, stratified by version, as a sequence over days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.sequence import ALPHA, LEAST_BUYERS, Floats, always_valid_p, boundary
from offline.corrections import holm

_ONE, _SCORE, _VALUE, _SCORE2, _CROSS, _VALUE2, _BOUGHT = range(7)


class Effect(NamedTuple):
    """What the treatment made of the customers, as of one look.

    Attributes
    ----------
    treated, held_out
        Customers.
    mean_treated, mean_held_out
        Per customer, adjusted by the score; NaN where an arm is empty.
    difference, low, high
        Treatment less holdout, and the ends of the sequence.
    lift, lift_low, lift_high
        The same relative to the holdout: .12 is 12% more. Infinite where the holdout might be 0.
    p_value
        Always valid.
    reduction
        Share of the variance that the score took away (CUPED).
    known
        Whether the sequence has begun: before, intervals and p-value are NaN.
    """

    treated: int
    held_out: int
    mean_treated: float
    mean_held_out: float
    difference: float
    low: float
    high: float
    lift: float
    lift_low: float
    lift_high: float
    p_value: float
    reduction: float
    known: bool

    @property
    def told(self) -> int:
        """1 or -1 where there is more or less than chance, 0 where nothing can be told yet."""
        if not self.known or self.low <= 0 <= self.high:
            return 0
        return 1 if self.difference > 0 else -1


@dataclass(frozen=True)
class Sequence:
    """The effect at each look; every attribute is an array of shape (looks,), see `Effect`."""

    looks: NDArray[np.int64]
    treated: NDArray[np.int64]
    held_out: NDArray[np.int64]
    mean_treated: Floats
    mean_held_out: Floats
    difference: Floats
    low: Floats
    high: Floats
    lift: Floats
    lift_low: Floats
    lift_high: Floats
    p_value: Floats
    reduction: Floats
    known: NDArray[np.bool_]

    def at(self, look: int = -1) -> Effect:
        """Return the effect at one look, by default at the last one."""
        return Effect(*(getattr(self, name)[look].item() for name in Effect._fields))


def effect_sequence(
    customers: pd.DataFrame,
    value: str,
    looks: NDArray[np.int64],
    shares: Mapping[str, float],
    *,
    alpha: float = ALPHA,
) -> Sequence:
    """Compare the arms at each look, with all customers whose window had closed by then.

    Each version of the experiment is compared for itself, and weighted by its customers: arms of versions with
    different shares are never thrown together, for then a good month would look like an effect.

    Parameters
    ----------
    customers
        `offline.uplift.outcomes.Outcomes.customers`, by ``closes_at``.
    value
        The column to compare: ``bought`` or ``revenue``.
    looks
        Moments in ascending order, epoch ms, shape (looks,).
    shares
        The share that is held out, by version.
    alpha
        Share of experiments in which the sequence may ever exclude the truth.

    References
    ----------
    Deng, Xu, Kohavi and Walker (2013), Improving the sensitivity of online controlled experiments by utilizing
    pre-experiment data, WSDM.
    """
    versions = [(shares[str(name)], rows) for name, rows in customers.groupby("experiment", observed=True)]
    if not versions:
        versions = [(0.5, customers)]
    centre = [float(customers[name].mean()) if len(customers) else 0.0 for name in ("purchase_intent", value)]
    sums = np.stack(
        [_sums(rows, value, centre, looks) for _, rows in versions]
    )  # (versions, looks, arms, sums)
    share = np.array([share for share, _ in versions])[:, None]
    count = sums[..., _ONE]
    usable = np.asarray((count >= 2).all(axis=-1), np.bool_)  # noqa: PLR2004  (a variance needs two)
    total = np.where(usable, count.sum(axis=-1), 0.0)  # (versions, looks)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = total / total.sum(axis=0)
        mean = sums / count[..., None]
        spread = count / (count - 1)
        scores = _where(usable, spread * (mean[..., _SCORE2] - mean[..., _SCORE] ** 2) / count)
        cross = _where(usable, spread * (mean[..., _CROSS] - mean[..., _SCORE] * mean[..., _VALUE]) / count)
        values = _where(usable, spread * (mean[..., _VALUE2] - mean[..., _VALUE] ** 2) / count)
        squared = np.nan_to_num(weight[..., None] ** 2)
        # CUPED: the multiple of the score that takes most variance from the difference.
        theta = (squared * cross).sum(axis=(0, 2)) / (squared * scores).sum(axis=(0, 2))
        theta = np.where(np.isfinite(theta), theta, 0.0)[:, None]
        all_scores = sums[..., _SCORE].sum(axis=-1) / count.sum(axis=-1)
        adjusted = mean[..., _VALUE] - theta * (mean[..., _SCORE] - all_scores[..., None])
        arm = np.nansum(weight[..., None] * _where(usable, adjusted), axis=0) + centre[1]
        plain = (squared * values).sum(axis=0)
        own = np.maximum(values - 2 * theta * cross + theta**2 * scores, 0.0) * count
        # An arm never counts as more even than all customers are: a small one looks so until the first large order.
        both = (own * count).sum(axis=-1) / np.maximum(count.sum(axis=-1), 1)
        variance = (squared * np.maximum(own, both[..., None]) / np.maximum(count, 1)).sum(axis=0)
        difference = arm[:, 1] - arm[:, 0]
        error = np.sqrt(variance.sum(axis=-1))
        reduction = 1 - (squared * own / np.maximum(count, 1)).sum(axis=(0, 2)) / plain.sum(axis=-1)
        known = (error > 0) & (_least_buyers(sums, usable, share, value) >= LEAST_BUYERS)
        # Customers by the variance that they bring, in those of the first version.
        first = share[0] * (1 - share[0])
        information = (total * first / (share * (1 - share))).sum(axis=0)
        wide = boundary(information, alpha)
        lift_low, lift_high = _ratio(arm, variance, wide)
        p_value = always_valid_p(difference / error, information)
        lift = arm[:, 1] / arm[:, 0] - 1
    arm[~usable.any(axis=0)] = difference[~usable.any(axis=0)] = np.nan
    some = np.where(known, 1.0, np.nan)
    return Sequence(
        looks,
        count[..., 1].sum(axis=0).astype(np.int64),
        count[..., 0].sum(axis=0).astype(np.int64),
        arm[:, 1],
        arm[:, 0],
        difference,
        some * (difference - wide * error),
        some * (difference + wide * error),
        lift,
        some * lift_low,
        some * lift_high,
        some * p_value,
        reduction,
        known,
    )


class Group(NamedTuple):
    """Customers of one action or segment, and the effect on them.

    Attributes
    ----------
    effect
        Its intervals hold for all groups together, at every look (Bonferroni).
    p_value
        Always valid, and corrected for the number of groups (Holm).
    """

    name: str
    effect: Effect
    p_value: float

    @property
    def told(self) -> int:
        """1 or -1 where there is more or less than chance, 0 where nothing can be told yet."""
        return 0 if not self.p_value < ALPHA else 1 if self.effect.difference > 0 else -1


def effects_by(
    customers: pd.DataFrame, column: str, value: str, now: int, shares: Mapping[str, float]
) -> list[Group]:
    """Compare the arms within the groups that a column of the first action makes, the largest group first.

    Parameters
    ----------
    now
        The look, epoch ms.
    """
    sizes = customers[column].astype(str).value_counts()
    looks = np.array([now], np.int64)
    found = {
        str(name): effect_sequence(
            customers[customers[column].astype(str) == name], value, looks, shares, alpha=ALPHA / len(sizes)
        ).at()
        for name in sizes.index
    }
    p_values = holm([effect.p_value if effect.known else 1.0 for effect in found.values()])
    return [
        Group(name, effect, float(p) if effect.known else float("nan"))
        for (name, effect), p in zip(found.items(), p_values, strict=True)
    ]


def _sums(rows: pd.DataFrame, value: str, centre: list[float], looks: NDArray[np.int64]) -> Floats:
    """Return the sums of each arm's customers by look, shape (looks, arms, sums); the holdout is the first arm."""
    found = np.zeros((len(looks), 2, 7))
    for arm in (0, 1):
        mine = rows[rows["treated"].to_numpy(bool) == bool(arm)]
        # Variances of differences from the mean lose no digits.
        score = mine["purchase_intent"].to_numpy(np.float64) - centre[0]
        worth = mine[value].to_numpy(np.float64) - centre[1]
        one, bought = np.ones(len(mine)), mine["bought"].to_numpy(np.float64)
        columns = np.column_stack([one, score, worth, score**2, score * worth, worth**2, bought])
        until = np.searchsorted(mine["closes_at"].to_numpy(), looks, side="right")
        found[:, arm] = np.vstack([np.zeros(7), np.cumsum(columns, axis=0)])[until]
    return found


def _where(usable: NDArray[np.bool_], values: Floats) -> Floats:
    return np.where(usable[..., None], values, 0.0)


def _least_buyers(sums: Floats, usable: NDArray[np.bool_], share: Floats, value: str) -> Floats:
    """Return how many buyers the smaller arm has in the mean, or how many customers who did not buy."""
    buyers, everybody = sums[..., _BOUGHT].sum(axis=-1), sums[..., _ONE].sum(axis=-1)
    rare = np.minimum(buyers, everybody - buyers) if value == "bought" else buyers
    return np.asarray(np.where(usable, rare * np.minimum(share, 1 - share), 0.0).sum(axis=0), np.float64)


def _ratio(arm: Floats, variance: Floats, wide: Floats) -> tuple[Floats, Floats]:
    """Return the ends of the lift: all ratios r for which treatment - r holdout may be 0 (Fieller's interval)."""
    square = arm[:, 0] ** 2 - wide**2 * variance[:, 0]
    half = arm[:, 0] * arm[:, 1]
    root = np.sqrt(np.maximum(half**2 - square * (arm[:, 1] ** 2 - wide**2 * variance[:, 1]), 0.0))
    firm = (square > 0) & (arm[:, 0] > 0)
    lowest = (half - root) / square - 1
    # A holdout that might be 0 bounds no ratio from above; it does from below, where the treatment is above 0.
    bounded = firm | ((square < 0) & (arm[:, 1] > wide * np.sqrt(variance[:, 1])))
    return np.maximum(np.where(bounded, lowest, -1.0), -1.0), np.where(
        firm, (half + root) / square - 1, np.inf
    )

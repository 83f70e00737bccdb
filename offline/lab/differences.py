"""Differences between groups that are more than chance: what a sentence may say, and what it must not.

Every sentence that compares groups is a `Claim` with the p-value of a test; a chapter prints those that pass Holm's
correction over all its claims [Holm 1979], so that among data without any difference at most one chapter in twenty
says that there is one. That two intervals overlap, or do not, decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from offline.corrections import holm
from offline.lab.statistics import ALPHA, COVERAGE

#: What is said of fewer customers is an anecdote.
LEAST: Final = 30

_EXPECTED: Final = 10.0  # expected counts from which the chi-squared test is as good as Fisher's
_LEAST_HAPPENED: Final = 10  # of either kind, for a test by the normal distribution


class Claim(NamedTuple):
    """A sentence about a difference, and how probable data like these are where there is none.

    ``p_value`` is corrected for the groups or columns that the sentence was chosen from, not for other sentences.
    """

    sentence: str
    p_value: float


class Contrast(NamedTuple):
    """The group that stands out, and the p-value of that, corrected for the choice among the groups."""

    group: str
    p_value: float


class Gap(NamedTuple):
    """The groups with the highest and the lowest share, and the p-value of the gap, corrected for the choice."""

    top: str
    bottom: str
    p_value: float


class Stratified(NamedTuple):
    """A group beside others who are like it: how many there are to compare, and the p-value of no difference.

    ``others`` is the share that the group would have if in each stratum it did as the others there.
    """

    size: int
    share: float
    others: float
    p_value: float


def supported(claims: Sequence[Claim]) -> list[bool]:
    """Say which claims stand when all are tested together (Holm).

    Examples
    --------
    >>> supported([Claim("a", 0.001), Claim("b", 0.04), Claim("c", 0.03)])
    [True, False, False]
    """
    return [bool(p < ALPHA) for p in holm([claim.p_value for claim in claims])]


def median_interval(values: ArrayLike) -> tuple[float, float]:
    """Return the interval of a median by order statistics: at least 95%, whatever the distribution; else NaN.

    Examples
    --------
    >>> median_interval(range(100))
    (39.0, 60.0)
    """
    ordered = np.sort(np.asarray(values, np.float64))
    below = int(stats.binom.ppf((1 - COVERAGE) / 2, len(ordered), 0.5)) - 1 if len(ordered) else -1
    if below < 0:
        return float("nan"), float("nan")
    return float(ordered[below]), float(ordered[len(ordered) - 1 - below])


def share_p_value(happened: int, size: int, other_happened: int, other_size: int) -> float:
    """Return the two-sided p-value of two shares: chi-squared (Yates) where counts are large, Fisher's elsewhere."""
    table = np.array([[happened, size - happened], [other_happened, other_size - other_happened]])
    if not table.sum(axis=0).all() or not table.sum(axis=1).all():
        return 1.0
    if stats.contingency.expected_freq(table).min() >= _EXPECTED:
        return float(stats.chi2_contingency(table).pvalue)
    return float(stats.fisher_exact(table).pvalue)


def highest_share(happened: pd.Series, size: pd.Series) -> Contrast | None:
    """Return the group whose share is above that of all others together; None where no group can be compared.

    Parameters
    ----------
    happened, size
        Counts of independent units, indexed by group.
    """
    solid = [name for name in size.index if size[name] >= LEAST]
    if len(size) < 2 or not solid:  # noqa: PLR2004  (one group is compared with nothing)
        return None
    total, everywhere = int(size.sum()), int(happened.sum())
    p_values = [
        share_p_value(int(happened[n]), int(size[n]), everywhere - int(happened[n]), total - int(size[n]))
        for n in solid
    ]
    shares = np.array([happened[name] / size[name] for name in solid])
    return _clearest(solid, shares, shares > everywhere / total, np.array(holm(p_values)))


def widest_gap(happened: pd.Series, size: pd.Series) -> Gap | None:
    """Return the groups with the highest and the lowest share; None where fewer than two have enough members."""
    solid = size.index[size >= LEAST]
    if len(solid) < 2:  # noqa: PLR2004  (a gap needs two)
        return None
    shares = (happened / size)[solid]
    top, bottom = shares.idxmax(), shares.idxmin()
    pairs = len(solid) * (len(solid) - 1) / 2
    one = share_p_value(int(happened[top]), int(size[top]), int(happened[bottom]), int(size[bottom]))
    return Gap(str(top), str(bottom), min(1.0, one * pairs))


def stands_alone(happened: pd.Series, size: pd.Series, name: str) -> bool:
    """Say whether a group's share differs from that of every other with enough members, by more than chance.

    All of these differences have to be there (an intersection-union test), and any of the groups might have been asked
    about: the largest p-value is corrected for the number of pairs.
    """
    solid = size.index[size >= LEAST]
    others = [other for other in solid if other != name]
    if name not in solid or not others:
        return False
    worst = max(
        share_p_value(int(happened[name]), int(size[name]), int(happened[other]), int(size[other]))
        for other in others
    )
    return worst * len(solid) * len(others) / 2 < ALPHA


def highest_values(groups: Mapping[str, NDArray[np.float64]]) -> Contrast | None:
    """Return the group whose values are above those of all others together (Mann-Whitney), by its median.

    Parameters
    ----------
    groups
        One value for each independent unit; groups below `LEAST` count among the others only.
    """
    solid = [name for name, values in groups.items() if len(values) >= LEAST]
    if len(groups) < 2 or not solid:  # noqa: PLR2004  (one group is compared with nothing)
        return None
    p_values, above = [], []
    for name in solid:
        others = np.concatenate([values for other, values in groups.items() if other != name])
        p_values.append(values_p_value(groups[name], others))
        above.append(bool(np.median(groups[name]) > np.median(others)))
    medians = np.array([np.median(groups[name]) for name in solid])
    return _clearest(solid, medians, np.array(above), _chosen_from(len(groups), p_values))


def values_p_value(values: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Return the two-sided p-value of Mann and Whitney's test."""
    both = np.concatenate([values, others])
    if not len(values) or not len(others) or np.ptp(both) == 0:
        return 1.0
    return float(stats.mannwhitneyu(values, others).pvalue)


def clustered_p_value(
    customers: NDArray[np.int64], inside: NDArray[np.bool_], happened: NDArray[np.bool_]
) -> float:
    """Return the p-value of two shares whose units belong to customers: those of one customer are alike.

    The variance of the difference is summed over customers (linearised ratio estimators), so that ten visits of one
    customer do not count as ten.
    """
    sizes = np.array([inside.sum(), (~inside).sum()])
    found = np.array([happened[inside].sum(), happened[~inside].sum()])
    if min(found.min(), (sizes - found).min()) < _LEAST_HAPPENED:
        return 1.0
    shares = found / sizes
    part = np.where(inside, (happened - shares[0]) / sizes[0], -(happened - shares[1]) / sizes[1])
    by_customer = np.bincount(np.unique(customers, return_inverse=True)[1], part)
    count = len(by_customer)
    variance = float(np.square(by_customer).sum()) * count / max(count - 1, 1)
    if variance == 0:
        return 1.0
    return float(2 * stats.t.sf(abs(shares[0] - shares[1]) / np.sqrt(variance), max(count - 2, 1)))


def summed_p_value(differences: ArrayLike) -> float:
    """Return the two-sided p-value of a sum of differences, one for each independent customer, being nothing.

    Examples
    --------
    >>> summed_p_value([1.0, -1.0, 1.0]) > 0.5 > 0.01 > summed_p_value([1.0] * 9)
    True
    """
    own = np.asarray(differences, np.float64)
    spread = float(np.sqrt(np.square(own).sum()))
    return float(2 * stats.norm.sf(abs(float(own.sum())) / spread)) if spread > 0 else 1.0


def stratified(
    inside: NDArray[np.bool_], happened: NDArray[np.bool_], stratum: ArrayLike
) -> Stratified | None:
    """Compare a group with others who are like it in the stratum [Mantel and Haenszel 1959].

    Parameters
    ----------
    inside, happened, stratum
        One element for each independent customer.

    Returns
    -------
    Stratified
        None where fewer than `LEAST` on either side have anybody to be compared with.
    """
    of = np.unique(np.asarray(stratum), return_inverse=True)[1]
    size, own = np.bincount(of), np.bincount(of, inside)
    both = (own > 0) & (own < size)
    size, own = size[both], own[both]
    others = size - own
    if own.sum() < LEAST or others.sum() < LEAST:
        return None
    found = np.bincount(of, happened)[both]
    own_found = np.bincount(of, happened & inside)[both]
    gap = float((own_found - own * found / size).sum())
    variance = float((own * others * found * (size - found) / (size**2 * np.maximum(size - 1, 1))).sum())
    p_value = float(2 * stats.norm.sf(abs(gap) / np.sqrt(variance))) if variance > 0 else 1.0
    expected = float((own * (found - own_found) / others).sum() / own.sum())
    return Stratified(int(own.sum()), float(own_found.sum() / own.sum()), expected, p_value)


def _chosen_from(groups: int, p_values: Sequence[float]) -> NDArray[np.float64]:
    # Of two groups, one is what the other is not: a single test.
    return np.array(holm(p_values) if groups > 2 else p_values)  # noqa: PLR2004


def _clearest(
    names: Sequence[str], values: NDArray[np.float64], above: NDArray[np.bool_], p_values: NDArray[np.float64]
) -> Contrast | None:
    """Return the highest of the groups that are above the others for certain, else the least uncertain one."""
    up = np.flatnonzero(above)
    if not len(up):
        return None
    certain = up[p_values[up] < ALPHA]
    at = certain[values[certain].argmax()] if len(certain) else up[p_values[up].argmin()]
    return Contrast(str(names[at]), float(p_values[at]))

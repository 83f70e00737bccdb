"""How good predictions are: ranking, decisions and calibration, each with an interval.

Two sources of intervals. Where every row is tested once (a later period, the folds of a cross-validation), a bootstrap
over customers, or over rows where nobody knows the customer. Where rows are tested again and again (random splits), the
splits' figures vary, but not independently: Nadeau and Bengio's correction accounts for shared training rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from offline.training.evaluation import COVERAGE, measure_drawn

Floats = NDArray[np.float64]

#: Ranking and calibration first: they need no threshold.
RANKING: Final = ("auc", "pr_auc", "log_loss", "brier", "ece")
#: At a threshold.
DECISIONS: Final = ("accuracy", "precision", "recall", "f1")
#: All that is measured, in the order of replicates.
MEASURED: Final = (*RANKING, *DECISIONS)
#: Measures that are better when smaller.
SMALLER_IS_BETTER: Final = frozenset({"log_loss", "brier", "ece"})
#: Names for people.
TITLES: Final = {
    "auc": "AUC", "pr_auc": "PR-AUC", "log_loss": "log-loss", "brier": "Brier", "ece": "ECE",
    "accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1": "F1",
}  # fmt: skip

#: Accuracy is counted at this threshold, where it is highest if probabilities are honest.
ACCURACY_AT: Final = 0.5


#: Of every bootstrap of the lab, so that the intervals of one figure agree wherever it stands. Enough for p-values
#: that stay below .05 when they are corrected for forty comparisons.
REPLICATES: Final = 2000
_ENDS: Final = ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2)
_TINY: Final = 1e-12


class Interval(NamedTuple):
    """An estimate and its 95% interval."""

    value: float
    low: float
    high: float


def figures(
    target: NDArray[np.bool_],
    probabilities: Floats,
    groups: NDArray[np.int64] | None = None,
    *,
    replicates: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Return all measures of one test; `figures_drawn` without the replicates."""
    return figures_drawn(target, probabilities, groups, replicates=replicates, seed=seed)[0]


def figures_drawn(
    target: NDArray[np.bool_],
    probabilities: Floats,
    groups: NDArray[np.int64] | None = None,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> tuple[dict[str, Any], Floats]:
    """Return all measures of one test, and those of every bootstrap replicate.

    Parameters
    ----------
    groups
        Number of each row's customer, for the bootstrap; by default each row is its own.
    replicates
        Of the bootstrap; 0 for none, and then there is no ``ci``.

    Returns
    -------
    dict
        ``examples``, ``prevalence``, `RANKING`, `DECISIONS`, ``threshold`` (of precision, recall and F1), and ``ci``.
    ndarray
        Shape ``(replicates, measures)``: `RANKING`, then `DECISIONS`. With the same groups, seed and number of
        replicates, those of two models are pairs.
    """
    rows = np.arange(len(target)) if groups is None else groups
    found, ranked = measure_drawn(
        target.astype(np.int8), probabilities, rows, seed=seed, replicates=max(replicates, 1)
    )
    threshold = f1_threshold(probabilities)
    found |= {
        "threshold": threshold,
        **dict(zip(DECISIONS, decisions(target, probabilities, threshold), strict=True)),
    }
    found.pop("customers")
    if not replicates:
        found.pop("ci")
        return found, np.empty((0, len(MEASURED)))
    decided = _decisions_drawn(target, probabilities, threshold, rows, replicates, seed)
    drawn = np.hstack([ranked, decided])
    found["ci"] = intervals(drawn)
    return found, drawn


def intervals(drawn: Floats) -> dict[str, list[float] | None]:
    """Return the 95% interval of every measure from its replicates; None where none is known."""
    found: dict[str, list[float] | None] = {}
    for k, name in enumerate(MEASURED):
        known = drawn[~np.isnan(drawn[:, k]), k]
        found[name] = [float(end) for end in np.quantile(known, _ENDS)] if len(known) else None
    return found


def _decisions_drawn(
    target: NDArray[np.bool_],
    probabilities: Floats,
    threshold: float,
    rows: NDArray[np.int64],
    replicates: int,
    seed: int,
) -> Floats:
    """Return `DECISIONS` of every replicate; the customers drawn are those that `measure_drawn` draws."""
    known, slots = np.unique(rows, return_inverse=True)
    flagged = probabilities >= threshold
    right = (probabilities > ACCURACY_AT) == target
    counted = (flagged & target, flagged, target, right, np.ones(len(target)))
    by_customer = np.column_stack([np.bincount(slots, some, len(known)) for some in counted])
    rng = np.random.default_rng(seed)
    sums = np.empty((replicates, len(counted)))
    for i in range(replicates):
        sums[i] = np.bincount(rng.integers(len(known), size=len(known)), minlength=len(known)) @ by_customer
    hits, chosen, positive, correct, total = sums.T
    precision, recall = hits / np.maximum(chosen, _TINY), hits / np.maximum(positive, _TINY)
    f1 = 2 * precision * recall / np.maximum(precision + recall, _TINY)
    return np.column_stack([correct / total, precision, recall, f1])


def f1_threshold(probabilities: Floats) -> float:
    """Return the threshold at which the probabilities themselves expect the highest F1; labels are not looked at.

    References
    ----------
    Lipton, Elkan and Naryanaswamy (2014), Optimal thresholding of classifiers to maximize F1, arXiv 1402.1892.

    Examples
    --------
    >>> f1_threshold(np.array([0.9, 0.8, 0.1, 0.1]))
    0.8
    """
    ordered = np.sort(probabilities)[::-1]
    caught = np.cumsum(ordered)
    expected = 2 * caught / (np.arange(1, len(ordered) + 1) + caught[-1])
    # Rows of equal probability are on one side together.
    last = np.append(ordered[1:] != ordered[:-1], True)
    return float(ordered[np.argmax(np.where(last, expected, -1.0))])


def decisions(
    target: NDArray[np.bool_], probabilities: Floats, threshold: float, weights: NDArray[Any] | None = None
) -> tuple[float, float, float, float]:
    """Return accuracy (at 0.5), and precision, recall and F1 of all rows from a threshold on."""
    w = np.ones(len(target)) if weights is None else weights
    flagged = probabilities >= threshold
    hits = float(w[flagged & target].sum())
    precision = hits / max(float(w[flagged].sum()), _TINY)
    recall = hits / max(float(w[target].sum()), 1e-12)
    accuracy = float(w[(probabilities > ACCURACY_AT) == target].sum() / w.sum())
    return accuracy, precision, recall, 2 * precision * recall / max(precision + recall, _TINY)


def over_folds(values: Sequence[float], test_share: float) -> Interval:
    """Return the mean of the folds' figures with Nadeau and Bengio's interval.

    Parameters
    ----------
    test_share
        Test rows by training rows; the variance of the mean is that of the folds times (1 / folds + test_share).

    References
    ----------
    Nadeau and Bengio (2003), Inference for the generalization error, doi 10.1023/A:1024068626366.

    Examples
    --------
    >>> over_folds([0.9, 0.9, 0.9], 0.25)
    Interval(value=0.9, low=0.9, high=0.9)
    """
    some = np.asarray(values, np.float64)
    mean = float(some.mean())
    if len(some) < 2:  # noqa: PLR2004  (one fold varies in nothing)
        return Interval(mean, float("nan"), float("nan"))
    error = float(np.sqrt((1 / len(some) + test_share) * some.var(ddof=1)))
    reach = float(stats.t.ppf((1 + COVERAGE) / 2, len(some) - 1)) * error
    return Interval(mean, mean - reach, mean + reach)


class Difference(NamedTuple):
    """A difference with its interval and the probability of one as large if there were none."""

    value: float
    low: float
    high: float
    p: float


def corrected_t_test(first: Sequence[float], second: Sequence[float], test_share: float) -> Difference:
    """Return the mean difference of two models' figures on the same folds, by the corrected resampled t-test."""
    gaps = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    value, low, high = over_folds(list(gaps), test_share)
    error = (high - value) / float(stats.t.ppf((1 + COVERAGE) / 2, max(len(gaps) - 1, 1)))
    if not error > 0:
        return Difference(value, low, high, 1.0 if value == 0 else 0.0)
    return Difference(value, low, high, float(2 * stats.t.sf(abs(value) / error, len(gaps) - 1)))


def paired_differences(
    first: Mapping[str, Any], first_drawn: Floats, second: Mapping[str, Any], second_drawn: Floats
) -> dict[str, Difference]:
    """Return the differences of two models' figures from the replicates that gave their intervals.

    p counts the replicates in which the difference has the other sign, twice, so it cannot be smaller than two by the
    number of replicates.
    """
    found = {}
    for k, name in enumerate(MEASURED):
        gaps = first_drawn[:, k] - second_drawn[:, k]
        gaps = gaps[~np.isnan(gaps)]
        if first[name] is None or second[name] is None or not len(gaps):
            found[name] = Difference(float("nan"), float("nan"), float("nan"), 1.0)
            continue
        low, high = np.quantile(gaps, _ENDS)
        rarer = min(int((gaps <= 0).sum()), int((gaps >= 0).sum()))
        p = min(1.0, 2 * (rarer + 1) / (len(gaps) + 1))
        found[name] = Difference(float(first[name] - second[name]), float(low), float(high), p)
    return found

"""How good predictions are: ranking, decisions and calibration, each with an interval.

Two sources of intervals. Where the same rows are divided again and again (folds, random splits), the folds' figures
vary, but not independently: Nadeau and Bengio's correction accounts for shared training rows. Where there is one test
(a later period), a bootstrap over customers, or over rows where nobody knows the customer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from offline.training.evaluation import COVERAGE, measure

Floats = NDArray[np.float64]

#: Ranking and calibration first: they need no threshold.
RANKING: Final = ("auc", "pr_auc", "log_loss", "brier", "ece")
#: At a threshold.
DECISIONS: Final = ("accuracy", "precision", "recall", "f1")
#: Measures that are better when smaller.
SMALLER_IS_BETTER: Final = frozenset({"log_loss", "brier", "ece"})
#: Names for people.
TITLES: Final = {
    "auc": "AUC", "pr_auc": "PR-AUC", "log_loss": "log-loss", "brier": "Brier", "ece": "ECE",
    "accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1": "F1",
}  # fmt: skip

#: Accuracy is counted at this threshold, where it is highest if probabilities are honest.
ACCURACY_AT: Final = 0.5


class Interval(NamedTuple):
    """An estimate and its 95 % interval."""

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
    """Return all measures of one test.

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
    """
    rows = np.arange(len(target)) if groups is None else groups
    found = measure(target.astype(np.int8), probabilities, rows, seed=seed, replicates=max(replicates, 1))
    threshold = f1_threshold(probabilities)
    found |= {
        "threshold": threshold,
        **dict(zip(DECISIONS, decisions(target, probabilities, threshold), strict=True)),
    }
    found.pop("customers")
    if not replicates:
        found.pop("ci")
        return found
    known, slots = np.unique(rows, return_inverse=True)
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(replicates):
        counts = np.bincount(rng.integers(len(known), size=len(known)), minlength=len(known))
        drawn.append(decisions(target, probabilities, threshold, counts[slots]))
    low, high = np.quantile(drawn, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2], axis=0)
    found["ci"] |= {name: [float(low[k]), float(high[k])] for k, name in enumerate(DECISIONS)}
    return found


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
    precision = hits / max(float(w[flagged].sum()), 1e-12)
    recall = hits / max(float(w[target].sum()), 1e-12)
    accuracy = float(w[(probabilities > ACCURACY_AT) == target].sum() / w.sum())
    return accuracy, precision, recall, 2 * precision * recall / max(precision + recall, 1e-12)


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


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, so that not even one of them is small by chance too often.

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    from statsmodels.stats.multitest import multipletests

    corrected: list[float] = multipletests(p_values, method="holm")[1].tolist()
    return corrected


def bootstrap_test(
    target: NDArray[np.bool_],
    first: Floats,
    second: Floats,
    groups: NDArray[np.int64] | None = None,
    *,
    replicates: int = 200,
    seed: int = 0,
) -> dict[str, Difference]:
    """Return the differences of two models' `RANKING` figures on one test, by a paired bootstrap over customers."""
    rows = np.arange(len(target)) if groups is None else groups
    known, slots = np.unique(rows, return_inverse=True)
    order = np.argsort(slots, kind="stable")
    starts = np.searchsorted(slots[order], np.arange(len(known) + 1))
    rng = np.random.default_rng(seed)
    point = _gap(target, first, second)
    drawn = []
    for _ in range(replicates):
        chosen = rng.integers(len(known), size=len(known))
        if len(known) == len(slots):
            some = order[chosen]
        else:
            some = np.concatenate([order[starts[c] : starts[c + 1]] for c in chosen])
        if target[some].any() and not target[some].all():
            drawn.append(_gap(target[some], first[some], second[some]))
    gaps = np.asarray(drawn)
    low, high = np.quantile(gaps, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2], axis=0)
    share = np.minimum((gaps <= 0).mean(axis=0), (gaps >= 0).mean(axis=0))
    p = np.minimum(1.0, 2 * np.maximum(share, 1 / (len(gaps) + 1)))
    return {
        name: Difference(float(point[k]), float(low[k]), float(high[k]), float(p[k]))
        for k, name in enumerate(RANKING)
    }


def _gap(target: NDArray[np.bool_], first: Floats, second: Floats) -> NDArray[np.float64]:
    labels, rows = target.astype(np.int8), np.arange(len(target))
    one, other = (measure(labels, some, rows, replicates=1) for some in (first, second))
    return np.array([one[name] - other[name] for name in RANKING])

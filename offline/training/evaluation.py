"""How good probabilities are: ranking, sharpness, calibration, each with a confidence interval.

Events of one customer resemble each other, so intervals come from a bootstrap over customers, not over events
[Field and Welsh 2007, doi 10.1111/j.1467-9868.2007.00593.x]. Accuracy is not among the measures: with a
prevalence of a few per cent it says nothing.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from features.compiled import njit
from offline.training.soft_measures import ece_against, log_loss_share, share, soft_auc, soft_log_loss

#: The measures in the order in which `_measures` computes them.
MEASURES: Final = ("auc", "pr_auc", "log_loss", "brier", "ece")
#: Bins of the expected calibration error, of equal mass; equal probabilities share a bin.
ECE_BINS: Final = 15
#: Probability that an interval covers the truth.
COVERAGE: Final = 0.95

_REPLICATES: Final = 200
# Beyond this many examples fewer replicates do: the kernel costs 20 ns an example, replicate and model.
_EXAMPLES_IN_ALL: Final = 100_000_000
_LEAST_REPLICATES: Final = 50
_FLOOR: Final = 1e-12


def measure(
    labels: NDArray[np.int8],
    probabilities: NDArray[np.float64],
    customers: NDArray[np.int64],
    *,
    seed: int = 0,
    replicates: int | None = None,
) -> dict[str, Any]:
    """Return the measures of probabilities against what happened; `measure_drawn` without the replicates."""
    return measure_drawn(labels, probabilities, customers, seed=seed, replicates=replicates)[0]


def measure_drawn(
    labels: NDArray[np.int8],
    probabilities: NDArray[np.float64],
    customers: NDArray[np.int64],
    *,
    seed: int = 0,
    replicates: int | None = None,
) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """Return the measures of probabilities against what happened, and those of every bootstrap replicate.

    With the same customers, seed and number of replicates the same customers are drawn, so the replicates of two
    models are pairs.

    Parameters
    ----------
    labels
        1 where the customer bought within the horizon, 0 where not.
    probabilities
        What was predicted.
    customers
        Number of each example's customer; the bootstrap draws customers.
    replicates
        Bootstrap replicates; by default 200, fewer (at least 50) with more than 500,000 examples.

    Returns
    -------
    dict
        ``examples``, ``customers``, ``prevalence``, the measures of `MEASURES` (``pr_auc`` goes with
        ``prevalence``, which a worthless model reaches), and ``ci``: the interval of each. A measure that
        needs both classes is None where there is only one.
    ndarray
        Shape ``(replicates, measures)``, in the order of `MEASURES`; NaN where a replicate has one class only.
    """
    order = np.argsort(-probabilities, kind="stable")
    p = np.clip(probabilities[order].astype(np.float64), _FLOOR, 1 - _FLOOR)
    y = labels[order].astype(np.float64)
    known, slots = np.unique(customers[order], return_inverse=True)
    last = np.append(p[1:] != p[:-1], True)
    first = np.flatnonzero(np.append(True, last[:-1]))
    bins = first[np.cumsum(np.append(0, last[:-1]))] * ECE_BINS // max(len(p), 1)
    point = _measures(y, p, last, bins, slots, np.ones(len(known)))
    if replicates is None:
        replicates = min(_REPLICATES, max(_LEAST_REPLICATES, _EXAMPLES_IN_ALL // max(len(p), 1)))
    rng = np.random.default_rng(seed)
    drawn = np.empty((replicates, len(MEASURES)))
    for i in range(replicates):
        weights = np.bincount(rng.integers(len(known), size=len(known)), minlength=len(known))
        drawn[i] = _measures(y, p, last, bins, slots, weights.astype(np.float64))
    found = {
        "examples": len(p),
        "customers": len(known),
        "prevalence": float(y.mean()),
        **{name: _number(value) for name, value in zip(MEASURES, point, strict=True)},
        "ci": {name: _interval(drawn[:, k]) for k, name in enumerate(MEASURES)},
    }
    return found, drawn


def measure_exact(p_star: NDArray[np.float64], probabilities: NDArray[np.float64]) -> dict[str, float]:
    """Return the measures of probabilities against the exact ones of a simulated log (`offline.simulator.oracle`)."""
    return {
        "share": share(p_star, probabilities),
        "log_loss_share": log_loss_share(p_star, probabilities),
        "ece_vs_exact": ece_against(p_star, probabilities),
        "soft_auc": soft_auc(p_star, probabilities),
        "soft_log_loss": soft_log_loss(p_star, probabilities),
    }


@njit(cache=True, nogil=True)
def _measures(  # noqa: PLR0917  (numba takes no keywords)
    y: NDArray[np.float64],
    p: NDArray[np.float64],
    last: NDArray[np.bool_],
    bins: NDArray[np.int64],
    slots: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:  # pragma: no cover
    """Compute all measures in one pass over examples in descending order of probability.

    ``last`` marks the last example of each group of equal probabilities; ``weights`` count how often each
    customer was drawn.
    """
    positives = negatives = 0.0
    for i in range(len(y)):
        positives += weights[slots[i]] * y[i]
        negatives += weights[slots[i]] * (1 - y[i])
    above_p = above_n = group_p = group_n = 0.0
    pairs = precision = loss = brier = 0.0
    excess = np.zeros(ECE_BINS)
    for i in range(len(y)):
        w = weights[slots[i]]
        if w > 0:
            group_p += w * y[i]
            group_n += w * (1 - y[i])
            loss -= w * np.log(p[i] if y[i] > 0 else 1 - p[i])
            brier += w * (p[i] - y[i]) ** 2
            excess[bins[i]] += w * (p[i] - y[i])
        if last[i] and group_p + group_n > 0:
            pairs += group_n * (above_p + group_p / 2)
            above_p += group_p
            above_n += group_n
            precision += group_p * above_p / (above_p + above_n)
            group_p = group_n = 0.0
    total = positives + negatives
    out = np.full(5, np.nan)
    if positives > 0 and negatives > 0:
        out[0] = pairs / (positives * negatives)
        out[1] = precision / positives
    if total > 0:
        out[2] = loss / total
        out[3] = brier / total
        out[4] = np.abs(excess).sum() / total
    return out


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _interval(drawn: NDArray[np.float64]) -> list[float] | None:
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        return None
    low, high = np.quantile(known, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return [float(low), float(high)]

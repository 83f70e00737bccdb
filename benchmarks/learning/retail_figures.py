"""Figures of retail contenders: with intervals, paired differences, by length of history and by month."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from offline.training.evaluation import COVERAGE, measure

Floats = NDArray[np.float64]

_REPLICATES: Final = 1_000
_SHOWN: Final = ("auc", "pr_auc", "brier", "ece", "log_loss")


def figures(labels: NDArray[np.int8], probabilities: Floats, customers: NDArray[np.int64]) -> dict[str, Any]:
    """Return the measures of one contender, ``ci`` with their 95% intervals."""
    found = measure(labels, probabilities, customers, replicates=_REPLICATES)
    return {name: found[name] for name in _SHOWN} | {"ci": {name: found["ci"][name] for name in _SHOWN}}


def difference(
    labels: NDArray[np.int8],
    one: Floats,
    other: Floats,
    customers: NDArray[np.int64],
    *,
    replicates: int = _REPLICATES,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Return how much larger the AUC and PR-AUC of ``one`` are than those of ``other``.

    Both see the same customers in every replicate of the bootstrap, so what they share cancels. ``positive`` is the
    share of replicates with a difference above 0.
    """
    known, slots = np.unique(customers, return_inverse=True)
    models = [_Ranked(labels, p, slots) for p in (one, other)]
    rng = np.random.default_rng(seed)
    drawn = np.empty((replicates, 2))
    for i in range(replicates):
        counts = np.bincount(rng.integers(len(known), size=len(known)), minlength=len(known))
        (auc, ap), (other_auc, other_ap) = (model.auc_and_pr_auc(counts.astype(float)) for model in models)
        drawn[i] = auc - other_auc, ap - other_ap
    (auc, ap), (other_auc, other_ap) = (model.auc_and_pr_auc(np.ones(len(known))) for model in models)
    low, high = np.quantile(drawn, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2], axis=0)
    return {
        name: {
            "difference": float(value),
            "ci": [float(low[k]), float(high[k])],
            "positive": float((drawn[:, k] > 0).mean()),
        }
        for k, (name, value) in enumerate((("auc", auc - other_auc), ("pr_auc", ap - other_ap)))
    }


class _Ranked:
    """Examples in descending order of probability, equal ones in groups."""

    def __init__(self, labels: NDArray[np.int8], probabilities: Floats, slots: NDArray[np.int64]) -> None:
        order = np.argsort(-probabilities, kind="stable")
        ranked = probabilities[order]
        self._last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
        self._positive, self._slots = labels[order] > 0, slots[order]

    def auc_and_pr_auc(self, counts: Floats) -> tuple[float, float]:
        """Return both where every customer counts as often as drawn."""
        weights = counts[self._slots]
        above_p = np.cumsum(np.where(self._positive, weights, 0.0))[self._last]
        above_n = np.cumsum(np.where(self._positive, 0.0, weights))[self._last]
        group_p, group_n = np.diff(above_p, prepend=0.0), np.diff(above_n, prepend=0.0)
        auc = (group_n * (above_p - group_p / 2)).sum() / (above_p[-1] * above_n[-1])
        precision = above_p / np.maximum(above_p + above_n, 1e-12)
        return float(auc), float((group_p * precision).sum() / above_p[-1])


def by_group(
    labels: NDArray[np.int8],
    contenders: Mapping[str, Floats],
    customers: NDArray[np.int64],
    groups: Mapping[str, NDArray[np.bool_]],
) -> dict[str, dict[str, Any]]:
    """Return every contender's measures within each group, which goes with its size and prevalence."""
    out: dict[str, dict[str, Any]] = {}
    for name, rows in groups.items():
        out[name] = {"examples": int(rows.sum()), "prevalence": float(labels[rows].mean())}
        for contender, probabilities in contenders.items():
            found = measure(labels[rows], probabilities[rows], customers[rows], replicates=200)
            out[name][contender] = {
                "auc": found["auc"],
                "auc_ci": found["ci"]["auc"],
                "pr_auc": found["pr_auc"],
                "ece": found["ece"],
                "mean": float(probabilities[rows].mean()),
            }
    return out

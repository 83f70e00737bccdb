"""Models judged on the same moments: their measures, and what one is better by, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offline.training.evaluation import COVERAGE, MEASURES, measure_drawn
from offline.training.soft_measures import soft_auc

#: The measures of which less is better.
LESS_IS_BETTER: Final = frozenset({"log_loss", "brier", "ece"})


class Difference(NamedTuple):
    """How far a measure of a model lies above that of the first one, on the same moments.

    Attributes
    ----------
    value, low, high
        The difference, and its 95% interval: customers are drawn, the same ones for both models.
    """

    value: float
    low: float
    high: float

    @property
    def told(self) -> bool:
        """Whether the moments tell the two models apart: the interval does not hold 0."""
        return self.low > 0 or self.high < 0


class Paired(NamedTuple):
    """What `paired` returns.

    Attributes
    ----------
    measures
        Of each model, see `offline.training.evaluation.measure`; and ``expected_auc``, see `expected_auc`.
    differences
        Of each model but the first, by measure. A measure that cannot be had of these moments is left out.
    """

    measures: list[dict[str, Any]]
    differences: list[dict[str, Difference]]


def paired(
    labels: NDArray[np.int8],
    customers: NDArray[np.int64],
    probabilities: Sequence[NDArray[np.float64]],
    *,
    seed: int = 0,
    replicates: int | None = None,
) -> Paired:
    """Judge models on the same moments.

    Parameters
    ----------
    labels, customers
        What happened (1 or 0), and whose moment it was.
    probabilities
        What each model said.
    replicates
        Of the bootstrap over customers; see `offline.training.evaluation.measure_drawn`.
    """
    found = [
        measure_drawn(labels, said, customers, seed=seed, replicates=replicates) for said in probabilities
    ]
    measures = [
        own | {"expected_auc": expected_auc(said)}
        for (own, _), said in zip(found, probabilities, strict=True)
    ]
    first, first_drawn = found[0]
    differences = []
    for own, drawn in found[1:]:
        apart: dict[str, Difference] = {}
        for at, name in enumerate(MEASURES):
            steps = drawn[:, at] - first_drawn[:, at]
            known = steps[~np.isnan(steps)]
            if own[name] is not None and first[name] is not None and len(known):
                low, high = np.quantile(known, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
                apart[name] = Difference(own[name] - first[name], float(low), float(high))
        differences.append(apart)
    return Paired(measures, differences)


def expected_auc(probabilities: NDArray[np.float64]) -> float | None:
    """Return the AUC to expect of probabilities if they come true, before anybody knows what happened.

    Confidence-based performance estimation [CBPE, NannyML's documentation, "How it works"]: every score counts as
    positive by its own probability, and as negative by the rest. It is as good as the calibration. ``None`` where all
    are 0 or all are 1.

    Examples
    --------
    >>> expected_auc(np.array([0.5, 0.5])), round(expected_auc(np.array([0.1, 0.9])), 2)
    (0.5, 0.9)
    """
    certain = probabilities.sum() in {0.0, float(len(probabilities))}
    return None if certain else soft_auc(probabilities, probabilities)

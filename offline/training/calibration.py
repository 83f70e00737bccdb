"""Honest probabilities: Platt scaling on a slice of time that the model has not seen, and bands."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from features.bundle import Calibration

#: Share of the reference data in band ``high``, and in ``high`` and ``medium`` together.
HIGH_SHARE: Final = 0.05
MEDIUM_SHARE: Final = 0.20

# A ridge this small decides only where the classes are separable and the slope would grow without end.
_RIDGE: Final = 1e-6
_STEPS: Final = 100
_LEAST_STEP: Final = 1e-12


def platt(logits: NDArray[np.float64], labels: NDArray[np.int8]) -> Calibration:
    """Fit slope and intercept by maximum likelihood (Newton's method) [Platt 1999].

    Parameters
    ----------
    logits
        A model's score of each calibration example, any monotone scale.
    labels
        1 where the customer bought within the horizon, 0 where not; both occur.

    Examples
    --------
    >>> fitted = platt(np.array([-1.0, -1.0, 1.0, 1.0]), np.array([0, 1, 1, 1], np.int8))
    >>> fitted.probabilities(np.array([-1.0])).round(3).tolist()
    [0.5]
    """
    # On the standardised scale the two parameters hardly depend on each other.
    mean, deviation = float(logits.mean()), float(logits.std()) or 1.0
    design = np.column_stack([(logits - mean) / deviation, np.ones(len(logits))])
    prevalence = np.clip(labels.mean(), 1e-6, 1 - 1e-6)
    beta = np.array([0.0, np.log(prevalence / (1 - prevalence))])
    ridge = np.array([_RIDGE * len(labels), 0.0])
    loss = _loss(design, labels, beta, ridge)
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-(design @ beta)))
        gradient = design.T @ (p - labels) + ridge * beta
        curvature = (design * (p * (1 - p))[:, None]).T @ design + np.diag(ridge + _LEAST_STEP)
        step = np.linalg.solve(curvature, gradient)
        while (new := _loss(design, labels, beta - step, ridge)) > loss and np.abs(step).max() > _LEAST_STEP:
            step /= 2
        beta, gain, loss = beta - step, loss - new, new
        if gain <= 1e-10 * max(loss, 1.0):
            break
    slope = float(beta[0] / deviation)
    return Calibration(slope=slope, intercept=float(beta[1]) - slope * mean, examples=len(labels))


def _loss(
    design: NDArray[np.float64],
    labels: NDArray[np.int8],
    beta: NDArray[np.float64],
    ridge: NDArray[np.float64],
) -> float:
    z = design @ beta
    return float(np.logaddexp(0, z).sum() - z @ labels + (ridge * beta**2).sum() / 2)


def band_thresholds(probabilities: NDArray[np.float64]) -> dict[Literal["medium", "high"], float]:
    """Return the lowest probability of the bands: the top 5% are high, the next 15% medium."""
    medium, high = np.quantile(probabilities, [1 - MEDIUM_SHARE, 1 - HIGH_SHARE])
    return {"medium": float(medium), "high": float(high)}

"""Measures of scores against the exact probability of a purchase, where a simulator knows it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Float32 predictions may reach 0 or 1; the logarithm must not be infinite for one of them.
_LOG_LOSS_FLOOR: Final = 1e-7


def soft_auc(p_star: ArrayLike, score: ArrayLike) -> float:
    """Return the area under the ROC curve in which every event counts p* as positive and 1 - p* as negative.

    Parameters
    ----------
    p_star
        Exact probabilities, shape (events,).
    score
        Any score that ranks, shape (events,); ties count half.

    Examples
    --------
    >>> soft_auc([0.0, 0.0, 1.0], [0.1, 0.2, 0.2])
    0.75
    """
    exact, scores = _aligned(p_star, score)
    order = np.argsort(scores, kind="stable")
    exact, scores = exact[order], scores[order]
    first = np.flatnonzero(np.append(True, scores[1:] != scores[:-1]))
    positive = np.add.reduceat(exact, first)
    negative = np.add.reduceat(1 - exact, first)
    below = np.cumsum(negative) - negative
    pairs = positive.sum() * negative.sum()
    if pairs <= 0:
        raise ValueError("the AUC needs some probability of both classes: all p* are 0, or all are 1")
    return float((positive * (below + negative / 2)).sum() / pairs)


def share(p_star: ArrayLike, score: ArrayLike) -> float:
    """Return a score's share of the best possible ranking: its soft AUC above .5 over that of p* itself."""
    best = soft_auc(p_star, p_star) - 0.5
    if best <= 0:
        raise ValueError("p* is the same everywhere: no score can rank better than another")
    return (soft_auc(p_star, score) - 0.5) / best


def soft_log_loss(p_star: ArrayLike, prediction: ArrayLike) -> float:
    """Return the expected log-loss of a prediction when events are positive with probability p*, in nats."""
    exact, predicted = _aligned(p_star, prediction)
    predicted = np.clip(predicted, _LOG_LOSS_FLOOR, 1 - _LOG_LOSS_FLOOR)
    return float(-(exact * np.log(predicted) + (1 - exact) * np.log1p(-predicted)).mean())


def log_loss_share(p_star: ArrayLike, prediction: ArrayLike) -> float:
    """Return where a prediction's log-loss lies between constant prevalence (0) and p* itself (1)."""
    exact, predicted = _aligned(p_star, prediction)
    constant = soft_log_loss(exact, np.full(len(exact), exact.mean()))
    best = soft_log_loss(exact, exact)
    if constant <= best:
        raise ValueError("p* is the same everywhere: no prediction can beat the prevalence")
    return (constant - soft_log_loss(exact, predicted)) / (constant - best)


def ece_against(p_star: ArrayLike, prediction: ArrayLike, bins: int = 20) -> float:
    """Return the expected calibration error against p*.

    Parameters
    ----------
    p_star, prediction
        Probabilities, shape (events,).
    bins
        Number of bins of equal mass, in the order of the prediction; equal predictions share a bin.

    Examples
    --------
    >>> round(ece_against([0.1, 0.3], [0.2, 0.2], bins=1), 12)
    0.0
    """
    exact, predicted = _aligned(p_star, prediction)
    if bins < 1:
        raise ValueError(f"bins must be at least 1, not {bins}")
    order = np.argsort(predicted, kind="stable")
    rank = np.searchsorted(predicted[order], predicted)
    excess = np.bincount(rank * bins // len(rank), weights=predicted - exact)
    return float(np.abs(excess).sum() / len(rank))


def _aligned(p_star: ArrayLike, other: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    exact, values = np.asarray(p_star, np.float64), np.asarray(other, np.float64)
    if exact.ndim != 1 or exact.shape != values.shape or len(exact) == 0:
        raise ValueError(f"p* and scores need the same length above 0, not {exact.shape} and {values.shape}")
    if not ((exact >= 0) & (exact <= 1)).all():
        raise ValueError("p* must be probabilities in [0, 1]")
    if not np.isfinite(values).all():
        raise ValueError("scores must be finite")
    return exact, values

"""Rare positives: weights or resampling, and the way back to honest probabilities.

Either makes a model expect more positives than there are, so its probabilities must be corrected to the natural
prevalence before anybody reads them. The ranking (AUC) hardly changes by balancing; what changes is the threshold
0.5, which nobody should use anyway.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Sampling = Literal["under", "over"]


def class_weights(target: NDArray[np.bool_]) -> dict[bool, float]:
    """Return the weights that give both classes the same total and keep the sum of all weights.

    Examples
    --------
    >>> class_weights(np.array([True, False, False, False]))
    {False: 0.6666666666666666, True: 2.0}
    """
    positives = int(target.sum())
    negatives = len(target) - positives
    return {False: len(target) / (2 * negatives), True: len(target) / (2 * positives)}


def resample(
    target: NDArray[np.bool_], how: Sampling = "under", *, share: float = 0.5, seed: int = 0
) -> NDArray[np.intp]:
    """Return training rows in which a share ``share`` is positive.

    Parameters
    ----------
    how
        "under" leaves out negatives, "over" repeats positives. Only ever applied to training rows: repeated rows in a
        test would be counted twice.
    """
    rng = np.random.default_rng(seed)
    positive, negative = np.flatnonzero(target), np.flatnonzero(~target)
    if how == "under":
        count = min(len(negative), round(len(positive) * (1 - share) / share))
        negative = rng.choice(negative, count, replace=False)
    else:
        more = max(0, round(len(negative) * share / (1 - share)) - len(positive))
        positive = np.concatenate([positive, rng.choice(positive, more)])
    return rng.permutation(np.concatenate([positive, negative]))


def correct_prior(probabilities: NDArray[np.float64], trained: float, natural: float) -> NDArray[np.float64]:
    """Return probabilities as they would be at the natural prevalence.

    Parameters
    ----------
    probabilities
        Of a model that was trained on data with another prevalence.
    trained
        Prevalence in training: of the resampled rows, or, with class weights, the positives' share of all weight.
    natural
        Prevalence where the probabilities will be read.

    References
    ----------
    Elkan (2001), The foundations of cost-sensitive learning, theorem 2; Saerens et al. (2002),
    doi 10.1162/089976602753284446.

    Examples
    --------
    >>> correct_prior(np.array([0.5]), trained=0.5, natural=0.1).round(3).tolist()
    [0.1]
    """
    odds = (natural / trained) / ((1 - natural) / (1 - trained))
    scaled = probabilities * odds
    return np.asarray(scaled / (scaled + 1 - probabilities), dtype=np.float64)

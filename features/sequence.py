"""Intervals and p-values that hold at every look together, however often and for whatever reason somebody looks.

An interval of a fixed sample size, looked at every day, excludes the truth sooner or later (``make bench-uplift
ARGS=--fixed``). A confidence sequence contains it at all looks, in at least 95 of 100 experiments. That of this module
is asymptotic, by Robbins' normal mixture [Waudby-Smith 2021]: it needs enough customers at the first look, but no bound
on what somebody may buy.

References
----------
Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2021), Time-uniform central limit theory and asymptotic confidence
sequences, arXiv:2103.06476 (Annals of Statistics 2024).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Share of experiments in which a sequence may ever exclude the truth.
ALPHA: Final = 0.05
#: Customers at which a sequence is narrowest, in standard errors. It has to be chosen before the data are seen.
TUNED_FOR: Final = 10_000
#: Buyers that the smaller arm would have by chance before anything is said of a difference. Buyers of both arms are
#: counted and divided by the share, so that when a sequence begins says nothing of the difference.
LEAST_BUYERS: Final = 20.0

Floats = NDArray[np.float64]


def boundary(customers: ArrayLike, alpha: float = ALPHA, tuned_for: int = TUNED_FOR) -> Floats:
    """Return how many standard errors a sequence's interval reaches to both sides.

    Parameters
    ----------
    customers
        How many (or, of another unit, how many of those) have been counted by then.
    tuned_for
        At how many it is to be narrowest.

    Examples
    --------
    >>> boundary([1_000, 10_000, 1_000_000]).round(2).tolist()
    [3.76, 3.04, 3.58]
    """
    scaled = _scaled(customers, tuned_for)
    wide = 2 * (scaled + 1) / scaled * np.log(np.sqrt(scaled + 1) / alpha)
    return np.asarray(np.sqrt(wide), np.float64)


def always_valid_p(errors: ArrayLike, customers: ArrayLike) -> Floats:
    """Return p-values that may be looked at any time: below alpha exactly where the sequence of alpha excludes 0.

    Parameters
    ----------
    errors
        The estimate, in standard errors.

    Examples
    --------
    >>> float(always_valid_p(boundary(5_000), 5_000).round(6))
    0.05
    """
    scaled = _scaled(customers)
    squared = np.square(np.asarray(errors, np.float64))
    log_evidence = squared * scaled / (2 * (scaled + 1)) - np.log(scaled + 1) / 2
    return np.asarray(np.exp(-np.maximum(log_evidence, 0.0)), np.float64)


def _scaled(customers: ArrayLike, tuned_for: int = TUNED_FOR) -> Floats:
    log = -2 * np.log(ALPHA)
    most = (log + np.log(log) + 1) / tuned_for
    return np.asarray(np.maximum(np.asarray(customers, np.float64), 1.0) * most, np.float64)

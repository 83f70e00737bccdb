"""How much each part of the blend counts, by its recent log-loss."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

_LEAST_SHARED: Final = 1e-6  # per mini-batch, so that no weight vanishes for ever


class FixedShare:
    """Fixed share: a mixture that follows the best part, and switches when another becomes the best.

    After each mini-batch a part's weight is multiplied by exp(-rate x its summed log-loss), and a small share of all
    weight is spread over the parts again, so a part that was bad for long comes back within a few labels. With
    rate 1 this is Bayes' rule for a source that switches between the parts; labels of one customer within a horizon are
    the same purchase, which a rate below 1 allows for.

    Parameters
    ----------
    prior
        What the shared weight is spread by; sums to 1.
    rate
        Learning rate on the summed log-loss.
    share_rate
        Share of the weight that is spread again, per horizon.
    start
        Where the weights begin; by default at ``prior``.

    References
    ----------
    Herbster and Warmuth 1998, Tracking the best expert, doi 10.1023/A:1007424614876.

    Examples
    --------
    >>> blend = FixedShare(np.array([0.5, 0.5]), rate=1.0, share_rate=0.01)
    >>> blend.update(np.array([10.0, 12.0]), elapsed=1.0)
    >>> blend.weights.round(3).tolist()
    [0.877, 0.123]
    """

    def __init__(
        self,
        prior: NDArray[np.float64],
        *,
        rate: float,
        share_rate: float,
        start: NDArray[np.float64] | None = None,
    ) -> None:
        self.prior = prior
        self.rate = rate
        self.share_rate = share_rate
        self.weights: NDArray[np.float64] = (prior if start is None else start).copy()

    def update(self, losses: NDArray[np.float64], elapsed: float) -> None:
        """Count the parts' summed log-losses on a mini-batch; ``elapsed`` since the last one, in horizons."""
        relative = self.weights * np.exp(-self.rate * (losses - losses.min()))
        total = float(relative.sum())
        self.weights = self.prior.copy() if total <= 0 else relative / total
        shared = max(1.0 - math.pow(1.0 - self.share_rate, max(elapsed, 0.0)), _LEAST_SHARED)
        self.weights = (1.0 - shared) * self.weights + shared * self.prior

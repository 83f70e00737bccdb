"""A linear predictor: all that is needed to predict with an online model, and all that scorers load of it."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiled import inlined, kernel, vectorised
from stream.learning.model.inputs import LARGEST_LOGIT

#: Standardised inputs are clipped to plus and minus this many standard deviations.
CLIP: Final = 8.0


class LinearPredictor(NamedTuple):
    """Logit = ``offset`` x first input + ``intercept`` + ``weights`` . standardised inputs.

    Attributes
    ----------
    center, scale
        Mean and standard deviation of every input; what is unknown is taken as the mean.
    weights
        Of the standardised, clipped inputs.
    intercept
        The logit of the mean inputs, without the offset.
    offset
        Coefficient of the first input as it is (1: the network's logit is the starting point, 0: it is an input like
        the others).
    """

    center: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    intercept: float
    offset: float

    def logits(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the logit of every row, within plus and minus `LARGEST_LOGIT`; each depends on its row alone."""
        out = np.empty(len(rows))
        fill_logits(rows, self.center, 1.0 / self.scale, self.weights, self.intercept, self.offset, out)
        return out


@vectorised
def standardised(value: float, center: float, inverse: float) -> float:  # pragma: no cover
    """Return a standardised, clipped input; 0 for one that is unknown. ``inverse`` is one over the scale."""
    if np.isnan(value):
        return 0.0
    return min(max((value - center) * inverse, -CLIP), CLIP)


@inlined
def sigmoid(logit: float) -> float:  # pragma: no cover
    """Return the probability of a logit."""
    return float(1.0 / (1.0 + np.exp(-logit)))


@vectorised
def logit_of(
    row: NDArray[np.float64],
    center: NDArray[np.float64],
    inverse: NDArray[np.float64],
    weights: NDArray[np.float64],
    intercept: float,
    offset: float,
) -> float:  # pragma: no cover
    """Return the logit of one row; ``inverse`` is one over the scale of each input."""
    first = center[0] if np.isnan(row[0]) else row[0]
    logit = offset * first + intercept
    for j in range(len(row)):
        logit += weights[j] * standardised(row[j], center[j], inverse[j])
    return float(min(max(logit, -LARGEST_LOGIT), LARGEST_LOGIT))


@kernel
def fill_logits(
    rows: NDArray[np.float64],
    center: NDArray[np.float64],
    inverse: NDArray[np.float64],
    weights: NDArray[np.float64],
    intercept: float,
    offset: float,
    out: NDArray[np.float64],
) -> None:  # pragma: no cover
    """Write the logit of every row to ``out``."""
    for i in range(len(rows)):
        out[i] = logit_of(rows[i], center, inverse, weights, intercept, offset)

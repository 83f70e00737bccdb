"""The scale on which models see columns: logarithm where `features.vector` says so, then standardised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from features.vector import COLUMNS, Vectors

#: Standardised values are clipped to plus and minus this many standard deviations.
CLIP: Final = 8.0
#: Larger values are taken as this; it bounds what the logarithm and the linear columns see.
LARGEST: Final = 1e12
#: Which columns are looked at on the log scale.
ON_LOG_SCALE: Final = np.array([column.transform == "log" for column in COLUMNS])

_CONSTANT: Final = 1e-4  # a column that deviates less is taken as constant
_ROWS: Final = 200_000  # transformed at a time; bounds the temporary copies


@dataclass(frozen=True, slots=True)
class Scaling:
    """Mean and standard deviation of every column on its scale, float32, shape ``(WIDTH,)``.

    The network carries it inside (`offline.training.network`); logistic regression uses `apply`.
    """

    center: NDArray[np.float32]
    scale: NDArray[np.float32]

    @classmethod
    def fit(cls, vectors: Vectors) -> Self:
        """Return the scaling of the training data; a column without variation gets the scale 1."""
        total, squares = np.zeros(len(COLUMNS)), np.zeros(len(COLUMNS))
        for start in range(0, len(vectors), _ROWS):
            part = _transformed(vectors[start : start + _ROWS]).astype(np.float64)
            total += part.sum(axis=0)
            squares += np.square(part).sum(axis=0)
        mean = total / len(vectors)
        deviation = np.sqrt(np.maximum(squares / len(vectors) - mean**2, 0.0))
        return cls(
            mean.astype(np.float32), np.where(deviation > _CONSTANT, deviation, 1.0).astype(np.float32)
        )

    def apply(self, vectors: Vectors) -> Vectors:
        """Return the standardised, clipped columns, shape ``(rows, WIDTH)``."""
        out = np.empty(vectors.shape, np.float32)
        for start in range(0, len(vectors), _ROWS):
            part = (_transformed(vectors[start : start + _ROWS]) - self.center) / self.scale
            np.clip(part, -CLIP, CLIP, out=out[start : start + _ROWS])
        return out


def _transformed(vectors: Vectors) -> Vectors:
    bounded = np.clip(vectors, -LARGEST, LARGEST)
    return np.where(ON_LOG_SCALE, np.log1p(np.maximum(bounded, 0)), bounded).astype(np.float32, copy=False)

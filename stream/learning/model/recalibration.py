"""The final calibration, updated from delayed labels."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stream.learning.model.linear import LinearPredictor
from stream.learning.model.newton import NewtonLogisticRegression

_BLEND: Final = "blend_logit"


class Recalibration:
    """Intercept and slope on the blend's logit [Platt 1999], by recursive Newton steps with a short memory.

    Shrunk towards the identity, so that few labels change nothing.

    Parameters
    ----------
    half_life
        Memory, horizons.
    deviation
        Prior standard deviation of intercept and slope (of the standardised logit).
    """

    def __init__(self, half_life: float, deviation: float) -> None:
        self._model = NewtonLogisticRegression(half_life, deviation, deviation, offset=_BLEND)

    @property
    def line(self) -> tuple[float, float]:
        """Slope and intercept that turn the blend's logit into the published one."""
        predictor: LinearPredictor = self._model.predictor
        slope = float(predictor.weights[0] / predictor.scale[0])
        return 1.0 + slope, predictor.intercept - slope * float(predictor.center[0])

    def update(
        self,
        logits: NDArray[np.float64],
        labels: NDArray[np.uint8],
        weights: NDArray[np.float64],
        elapsed: float,
    ) -> None:
        """Learn from logits of the blend and what happened; ``elapsed`` since the last call, in horizons."""
        self._model.learn_rows(logits[:, None], labels, weights, elapsed)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the state."""
        return dict(self._model.arrays())

    def set_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Continue from a state that `arrays` returned."""
        self._model.set_arrays([_BLEND], arrays)

"""What online models see of an example: the network's calibrated logit, the columns on their scale, the segment.

Whatever a vector holds, a row of inputs is bounded: the logarithm and the bounds are taken here, before anything is
learned from it. What is not a number stays NaN and means "unknown".
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.bundle import Bundle
from features.compiled import kernel
from features.vector import COLUMNS, SEGMENT_AT, Vectors

#: Name of the first input.
NETWORK_LOGIT: Final = "network_logit"
#: Where the network's logit may bend: an input each for what it exceeds the knot by.
KNOTS: Final = (-5.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0)
#: Names of the inputs that depend on the network's logit alone.
LOGIT_INPUTS: Final = (NETWORK_LOGIT, *(f"{NETWORK_LOGIT}_above_{knot:g}" for knot in KNOTS))
#: Logits beyond this are taken as this: probabilities stay within 3e-7 of 0 and 1.
LARGEST_LOGIT: Final = 15.0

_LARGEST: Final = 1e12  # bounds what the logarithm sees
_LARGEST_LINEAR: Final = 100.0  # linear columns are shares, angles and ranks
_UNKNOWN_LOGIT: Final = -3.0  # stands for a network's logit that is not a number

_ON_LOG_SCALE: Final = np.array([column.transform == "log" for column in COLUMNS])


class Inputs:
    """Rows of inputs for one bundle.

    Attributes
    ----------
    names
        `LOGIT_INPUTS`, every column but the segment, and one indicator a segment. A segment that the bundle doesn't
        know sets no indicator.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._slope = bundle.calibration.slope
        self._intercept = bundle.calibration.intercept
        self._segments = len(bundle.segmenter.segments)
        columns = [column.name for at, column in enumerate(COLUMNS) if at != SEGMENT_AT]
        self.names: tuple[str, ...] = (
            *LOGIT_INPUTS,
            *columns,
            *(f"segment_{number}" for number in range(self._segments)),
        )

    def rows(
        self, vectors: Vectors, logit: NDArray[np.float64], segment: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the inputs, float64, shape ``(examples, len(names))``; each row depends on its example alone."""
        out = np.empty((len(vectors), len(self.names)))
        _fill(
            np.ascontiguousarray(vectors, np.float32),
            np.ascontiguousarray(logit, np.float64),
            np.ascontiguousarray(segment, np.int64),
            _ON_LOG_SCALE,
            self._slope,
            self._intercept,
            self._segments,
            out,
        )
        return out


@kernel
def _fill(
    vectors: Vectors,
    logit: NDArray[np.float64],
    segment: NDArray[np.int64],
    on_log_scale: NDArray[np.bool_],
    slope: float,
    intercept: float,
    segments: int,
    out: NDArray[np.float64],
) -> None:  # pragma: no cover
    for i in range(len(vectors)):
        calibrated = slope * logit[i] + intercept
        if np.isnan(calibrated):
            calibrated = _UNKNOWN_LOGIT
        out[i, 0] = min(max(calibrated, -LARGEST_LOGIT), LARGEST_LOGIT)
        k = 1
        for knot in KNOTS:
            out[i, k] = max(out[i, 0] - knot, 0.0)
            k += 1
        for j in range(vectors.shape[1]):
            if j == SEGMENT_AT:
                continue
            value = np.float64(vectors[i, j])
            if np.isnan(value):
                out[i, k] = np.nan
            elif on_log_scale[j]:
                out[i, k] = np.log(1.0 + min(value, _LARGEST)) if value > 0.0 else 0.0
            else:
                out[i, k] = min(max(value, -_LARGEST_LINEAR), _LARGEST_LINEAR)
            k += 1
        for s in range(segments):
            out[i, k + s] = 1.0 if segment[i] == s else 0.0

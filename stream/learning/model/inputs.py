"""What online models see of an example: the network's calibrated logit, the columns on their scale, the segment.

Whatever a vector holds, a row of inputs is bounded: the logarithm and the bounds are taken here, before anything is
learned from it. What is not a number stays NaN and means "unknown".
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.bundle import Bundle
from features.compiled import inlined, kernel
from features.vector import COLUMNS, SEGMENT_AT, WIDTH, Vectors

#: Name of the first input.
NETWORK_LOGIT: Final = "network_logit"
#: Where the network's logit may bend: an input each for what it exceeds the knot by.
KNOTS: Final = (-5.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0)
#: Names of the inputs that depend on the network's logit alone.
LOGIT_INPUTS: Final = (NETWORK_LOGIT, *(f"{NETWORK_LOGIT}_above_{knot:g}" for knot in KNOTS))
#: Logits beyond this are taken as this: probabilities stay within 3e-7 of 0 and 1.
LARGEST_LOGIT: Final = 15.0

_ROWS: Final = 256  # at a time, so that they stay in the processor's cache
_LARGEST: Final = 1e12  # bounds what the logarithm sees
_LARGEST_LINEAR: Final = 100.0  # linear columns are shares, angles and ranks
_UNKNOWN_LOGIT: Final = -3.0  # stands for a network's logit that is not a number

assert SEGMENT_AT == WIDTH - 1, "the segment is the last column"
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
        vectors = np.ascontiguousarray(vectors, np.float32)
        logit = np.ascontiguousarray(logit, np.float64)
        segment = np.ascontiguousarray(segment, np.int64)
        logs = np.empty((min(_ROWS, len(vectors)), WIDTH))
        for at in range(0, len(vectors), _ROWS):
            part = slice(at, at + _ROWS)
            own = logs[: len(vectors[part])]
            _bound(vectors[part], own)
            np.log(own, out=own)  # several at a time, which the logarithm of a kernel is not
            _fill_logits(logit[part], self._slope, self._intercept, out[part])
            _fill_columns(vectors[part], own, _ON_LOG_SCALE, out[part])
            _fill_segments(segment[part], self._segments, out[part])
        return out


@kernel
def _bound(vectors: Vectors, out: NDArray[np.float64]) -> None:  # pragma: no cover
    """Write what the logarithm is taken of: 1 + value, and 1 for what is below zero."""
    for i in range(vectors.shape[0]):
        for j in range(vectors.shape[1]):
            out[i, j] = 1.0 + _within(np.float64(vectors[i, j]), 0.0, _LARGEST)


@inlined
def _within(value: float, low: float, high: float) -> float:  # pragma: no cover
    """Return a value within bounds; one that is no number stays as it is, which Python's own words do not promise."""
    if value < low:
        return low
    return high if value > high else value


@kernel
def _fill_logits(
    logit: NDArray[np.float64], slope: float, intercept: float, out: NDArray[np.float64]
) -> None:  # pragma: no cover
    for i in range(len(logit)):
        calibrated = slope * logit[i] + intercept
        if np.isnan(calibrated):
            calibrated = _UNKNOWN_LOGIT
        out[i, 0] = _within(calibrated, -LARGEST_LOGIT, LARGEST_LOGIT)
        for k in range(len(KNOTS)):
            out[i, 1 + k] = max(out[i, 0] - KNOTS[k], 0.0)


@kernel
def _fill_columns(
    vectors: Vectors, logs: NDArray[np.float64], on_log_scale: NDArray[np.bool_], out: NDArray[np.float64]
) -> None:  # pragma: no cover
    """Write all columns but that of the segment, which is the last."""
    first = 1 + len(KNOTS)
    for i in range(vectors.shape[0]):
        for j in range(SEGMENT_AT):
            linear = _within(np.float64(vectors[i, j]), -_LARGEST_LINEAR, _LARGEST_LINEAR)
            out[i, first + j] = logs[i, j] if on_log_scale[j] else linear


@kernel
def _fill_segments(
    segment: NDArray[np.int64], segments: int, out: NDArray[np.float64]
) -> None:  # pragma: no cover
    first = out.shape[1] - segments
    for i in range(len(segment)):
        for s in range(segments):
            out[i, first + s] = 1.0 if segment[i] == s else 0.0

"""The arithmetic of `NewtonLogisticRegression` in plain loops: equal arguments give equal bits."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.compiled import kernel, njit, vectorised
from stream.learning.model.linear import CLIP, logit_of, sigmoid, standardised

_KNOWN: Final = 256.0  # examples from which an input's mean and deviation can tell extreme values
_MEMORY: Final = 100_000.0  # examples that mean and deviation remember
_LARGEST_STEP: Final = 1.0  # of a coefficient
_TRUSTED_STEP: Final = 0.3  # of a coefficient: so far the quadratic approximation holds
_STEPS: Final = 30  # per mini-batch at most: as many largest steps as logits are apart
_LEAST_CURVATURE: Final = 1e-6
_LEAST_PIVOT: Final = 1e-12
_TOGETHER: Final = 4  # examples that are added to the information at a time


@kernel
def decay(
    information: NDArray[np.float64], vector: NDArray[np.float64], factor: float
) -> None:  # pragma: no cover
    """Forget."""
    for j in range(len(vector)):
        vector[j] *= factor
        for k in range(j + 1):
            information[j, k] *= factor


@njit(cache=True, nogil=True)
def scale_of(
    count: NDArray[np.float64], squares: NDArray[np.float64], least: float
) -> NDArray[np.float64]:  # pragma: no cover
    """Return the standard deviations, at least ``least``."""
    scale = np.full(len(count), least)
    for j in range(len(count)):
        if count[j] > 0:
            scale[j] = max(np.sqrt(squares[j] / count[j]), least)
    return scale


@njit(cache=True, nogil=True)
def rescale(
    rows: NDArray[np.float64],
    weights: NDArray[np.float64],
    count: NDArray[np.float64],
    mean: NDArray[np.float64],
    squares: NDArray[np.float64],
    information: NDArray[np.float64],
    vector: NDArray[np.float64],
    coefficients: NDArray[np.float64],
    least: float,
) -> None:  # pragma: no cover
    """Learn means and deviations, and express what was learned so far in the new standardised inputs.

    With old standardised inputs z = r z' + q the information H turns into A H A', A the matrix of z -> z'.
    """
    width = len(mean)
    old_mean, old_scale = mean.copy(), scale_of(count, squares, least)
    _learn_moments(rows, weights, old_mean, old_scale, count, mean, squares)
    scale = scale_of(count, squares, least)
    ratio = scale / old_scale
    moved = (mean - old_mean) / old_scale
    level = information[width, width]
    for j in range(width):
        for k in range(j + 1):
            centred = (
                information[j, k]
                - moved[j] * information[width, k]
                - moved[k] * information[width, j]
                + moved[j] * moved[k] * level
            )
            information[j, k] = centred / (ratio[j] * ratio[k])
    for j in range(width):
        information[width, j] = (information[width, j] - moved[j] * level) / ratio[j]
        vector[j] = (vector[j] - moved[j] * vector[width]) / ratio[j]
        coefficients[width] += coefficients[j] * moved[j]
        coefficients[j] *= ratio[j]


@njit(cache=True, nogil=True)
def _learn_moments(
    rows: NDArray[np.float64],
    weights: NDArray[np.float64],
    old_mean: NDArray[np.float64],
    old_scale: NDArray[np.float64],
    count: NDArray[np.float64],
    mean: NDArray[np.float64],
    squares: NDArray[np.float64],
) -> None:  # pragma: no cover
    """Add a mini-batch to counts, means and sums of squared deviations [Chan, Golub and LeVeque 1983]."""
    width = len(mean)
    low, high = np.full(width, -np.inf), np.full(width, np.inf)
    for j in range(width):
        if count[j] >= _KNOWN:
            low[j], high[j] = old_mean[j] - CLIP * old_scale[j], old_mean[j] + CLIP * old_scale[j]
    total, shift, spread = np.zeros(width), np.zeros(width), np.zeros(width)
    for i in range(len(rows)):
        if weights[i] > 0:
            _sum_up(rows[i], weights[i], low, high, old_mean, total, shift)
    shift /= np.maximum(total, 1e-300)
    for i in range(len(rows)):
        if weights[i] > 0:
            _sum_up_squares(rows[i], weights[i], low, high, old_mean, shift, spread)
    for j in range(width):
        if total[j] > 0.0:
            both = count[j] + total[j]
            squares[j] += spread[j] + shift[j] * shift[j] * count[j] * total[j] / both
            mean[j] += shift[j] * total[j] / both
            kept = min(1.0, _MEMORY / both)
            squares[j] *= kept
            count[j] = both * kept


@vectorised
def _bounded(value: float, low: float, high: float) -> float:  # pragma: no cover
    """Return a value within bounds, so that an extreme one moves means and deviations by little."""
    return min(max(value, low), high)


@vectorised
def _sum_up(
    row: NDArray[np.float64],
    weight: float,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    old_mean: NDArray[np.float64],
    total: NDArray[np.float64],
    shift: NDArray[np.float64],
) -> None:  # pragma: no cover
    """Add a row to the weights of what is known, and to its deviations from the old means."""
    for j in range(len(row)):
        known = np.isfinite(row[j])
        away = _bounded(row[j], low[j], high[j]) - old_mean[j]
        total[j] += weight if known else 0.0
        shift[j] += weight * away if known else 0.0


@vectorised
def _sum_up_squares(
    row: NDArray[np.float64],
    weight: float,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    old_mean: NDArray[np.float64],
    shift: NDArray[np.float64],
    spread: NDArray[np.float64],
) -> None:  # pragma: no cover
    """Add a row to the squares of deviations from the means of the mini-batch."""
    for j in range(len(row)):
        away = _bounded(row[j], low[j], high[j]) - old_mean[j] - shift[j]
        spread[j] += weight * away * away if np.isfinite(row[j]) else 0.0


@njit(cache=True, nogil=True)
def step(
    rows: NDArray[np.float64],
    labels: NDArray[np.uint8],
    weights: NDArray[np.float64],
    mean: NDArray[np.float64],
    scale: NDArray[np.float64],
    offset: float,
    precision: NDArray[np.float64],
    information: NDArray[np.float64],
    vector: NDArray[np.float64],
    coefficients: NDArray[np.float64],
) -> None:  # pragma: no cover
    """Move to the optimum of what is remembered and a mini-batch, and remember the mini-batch as it looks from there.

    One step does, unless it is so long that the quadratic approximation can't be trusted at its end.
    """
    old_information, old_vector, inverse = information.copy(), vector.copy(), 1.0 / scale
    for _ in range(_STEPS):
        information[:] = old_information
        vector[:] = old_vector
        _add(rows, labels, weights, mean, inverse, offset, coefficients, information, vector)
        if _move(precision, information, vector, coefficients) <= _TRUSTED_STEP:
            break


@njit(cache=True, nogil=True)
def _add(
    rows: NDArray[np.float64],
    labels: NDArray[np.uint8],
    weights: NDArray[np.float64],
    mean: NDArray[np.float64],
    inverse: NDArray[np.float64],
    offset: float,
    coefficients: NDArray[np.float64],
    information: NDArray[np.float64],
    vector: NDArray[np.float64],
) -> None:  # pragma: no cover
    """Add the quadratic approximation of a mini-batch's log-likelihood at the coefficients."""
    width = len(mean)
    z, curvature, pull = np.ones((_TOGETHER, width + 1)), np.empty(_TOGETHER), np.empty(_TOGETHER)
    count = 0
    for i in range(len(rows)):
        if weights[i] <= 0:
            continue
        own = coefficients[width] + _standardise(rows[i], mean, inverse, coefficients, z[count])
        p = sigmoid(logit_of(rows[i], mean, inverse, coefficients[:width], coefficients[width], offset))
        curvature[count] = weights[i] * max(p * (1.0 - p), _LEAST_CURVATURE)
        pull[count] = weights[i] * (labels[i] - p) + curvature[count] * own
        count += 1
        if count == _TOGETHER:
            _add_up(z, curvature, pull, information, vector)
            count = 0
    if count:
        curvature[count:] = 0.0  # the rest adds nothing
        pull[count:] = 0.0
        _add_up(z, curvature, pull, information, vector)


@vectorised
def _standardise(
    row: NDArray[np.float64],
    mean: NDArray[np.float64],
    inverse: NDArray[np.float64],
    coefficients: NDArray[np.float64],
    z: NDArray[np.float64],
) -> float:  # pragma: no cover
    """Write a row's standardised inputs, and return the sum of their products with the coefficients."""
    total = 0.0
    for j in range(len(row)):
        z[j] = standardised(row[j], mean[j], inverse[j])
    for j in range(len(row)):
        total += coefficients[j] * z[j]
    return total


@vectorised
def _add_up(
    z: NDArray[np.float64],
    curvature: NDArray[np.float64],
    pull: NDArray[np.float64],
    information: NDArray[np.float64],
    vector: NDArray[np.float64],
) -> None:  # pragma: no cover
    """Add `_TOGETHER` examples, one after the other: the information is read and written once for all of them."""
    a, b, c, d = z[0], z[1], z[2], z[3]
    for j in range(len(vector)):
        vector[j] = (((vector[j] + pull[0] * a[j]) + pull[1] * b[j]) + pull[2] * c[j]) + pull[3] * d[j]
        row = information[j]
        e, f, g, h = curvature[0] * a[j], curvature[1] * b[j], curvature[2] * c[j], curvature[3] * d[j]
        for k in range(j + 1):
            row[k] = (((row[k] + e * a[k]) + f * b[k]) + g * c[k]) + h * d[k]


@njit(cache=True, nogil=True)
def _move(
    precision: NDArray[np.float64],
    information: NDArray[np.float64],
    vector: NDArray[np.float64],
    coefficients: NDArray[np.float64],
) -> float:  # pragma: no cover
    """Move towards (information + prior precision)^-1 vector, and return how far that was (largest coefficient)."""
    size = len(vector)
    factor = information.copy()
    for j in range(size):
        factor[j, j] += precision[j]
    goal = vector.copy()
    _cholesky_solve(factor, goal)
    longest = 0.0
    for j in range(size):
        longest = max(longest, abs(goal[j] - coefficients[j]))
    share = min(1.0, _LARGEST_STEP / max(longest, _LARGEST_STEP))
    for j in range(size):
        coefficients[j] += share * (goal[j] - coefficients[j])
    return longest


@njit(cache=True, nogil=True)
def _cholesky_solve(factor: NDArray[np.float64], goal: NDArray[np.float64]) -> None:  # pragma: no cover
    """Solve in place for a positive definite matrix, of which the lower triangle is looked at."""
    size = len(goal)
    column = np.empty(size)  # a column in one piece: the inner loop runs along memory
    for j in range(size):
        factor[j, j] = np.sqrt(max(factor[j, j], _LEAST_PIVOT))
        for i in range(j + 1, size):
            factor[i, j] /= factor[j, j]
            column[i] = factor[i, j]
        for i in range(j + 1, size):
            above = column[i]
            for k in range(j + 1, i + 1):
                factor[i, k] -= above * column[k]
    for j in range(size):
        for k in range(j):
            goal[j] -= factor[j, k] * goal[k]
        goal[j] /= factor[j, j]
    for j in range(size - 1, -1, -1):
        for k in range(j + 1, size):
            goal[j] -= factor[k, j] * goal[k]
        goal[j] /= factor[j, j]

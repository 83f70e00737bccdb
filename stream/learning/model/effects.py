"""Why the blend says what it says: DeepLIFT's rescale rule, carried on from the network to the published log-odds.

The published log-odds are made of the network's logit and of the columns by sums and by functions of one number:
bounds, bends of the network's logit, the way from logits to probabilities and back, the final calibration. Each passes
on its secant between customer and reference, so the effects of the columns add up to the difference of the published
log-odds from those of the reference customer by the same models.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.compiled import kernel, njit
from features.vector import SEGMENT_AT
from stream.learning.model.history import Version
from stream.learning.model.inputs import KNOTS, LARGEST_LOGIT
from stream.learning.model.linear import sigmoid, standardised

# Differences of logits below this are too small for a secant: the tangent stands for it.
_CLOSE: Final = 1e-6
_FIRST_COLUMN: Final = 1 + len(KNOTS)


def blend_effects(
    version: Version,
    rows: NDArray[np.float64],
    reference: NDArray[np.float64],
    network: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the effect of every column on the published log-odds, shape as ``network``; each row for itself.

    Parameters
    ----------
    rows
        Inputs of online models (`stream.learning.model.inputs`).
    reference
        Those of the reference customer, one row.
    network
        The columns' effects on the network's calibrated logit, shape ``(rows, columns)``.
    """
    models, out = version.predictors, np.empty_like(network)
    if not version.blend[1:].sum() > 0.0:  # the network decides alone
        bounded = rows[:, 0] - reference[0]
        out[:] = network * _bound_shares(network.sum(axis=1), bounded)[:, None]
        return out
    _fill(
        rows,
        reference,
        network,
        np.array([m.center for m in models]),
        np.array([1.0 / m.scale for m in models]),
        np.array([m.weights for m in models]),
        np.array([m.intercept for m in models]),
        np.array([m.offset for m in models]),
        version.blend,
        version.line[0],
        version.line[1],
        out,
    )
    return out


def _bound_shares(free: NDArray[np.float64], bounded: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much of a difference of logits the bound on logits leaves."""
    close = np.abs(free) < _CLOSE
    return np.where(close, 1.0, bounded / np.where(close, 1.0, free))


@kernel
def _bounded(logit: float) -> float:  # pragma: no cover
    return min(max(logit, -LARGEST_LOGIT), LARGEST_LOGIT)


@kernel
def _secant(rise: float, run: float, tangent: float) -> float:  # pragma: no cover
    return tangent if abs(run) < _CLOSE else rise / run


@kernel
def _sigmoid_secant(at: float, reference: float) -> float:  # pragma: no cover
    """Return the secant of the way from logits to probabilities."""
    middle = sigmoid((at + reference) / 2)
    return _secant(sigmoid(at) - sigmoid(reference), at - reference, middle * (1 - middle))


@kernel
def _of_network(
    logit: float, center: NDArray[np.float64], inverse: NDArray[np.float64], weights: NDArray[np.float64]
) -> float:  # pragma: no cover
    """Return what a model makes of the inputs that depend on the network's logit alone, offset left out."""
    found = weights[0] * standardised(logit, center[0], inverse[0])
    for k in range(len(KNOTS)):
        found += weights[1 + k] * standardised(max(logit - KNOTS[k], 0.0), center[1 + k], inverse[1 + k])
    return float(found)


@njit(cache=True, nogil=True)
def _fill(  # noqa: PLR0912, PLR0915  (the rule, from the columns up to the published log-odds and back)
    rows: NDArray[np.float64],
    reference: NDArray[np.float64],
    network: NDArray[np.float64],
    center: NDArray[np.float64],
    inverse: NDArray[np.float64],
    weights: NDArray[np.float64],
    intercept: NDArray[np.float64],
    offset: NDArray[np.float64],
    blend: NDArray[np.float64],
    slope: float,
    shift: float,
    out: NDArray[np.float64],
) -> None:  # pragma: no cover
    models, inputs, columns = center.shape[0], center.shape[1], network.shape[1]
    shares, bends = np.empty(models), np.empty(models)
    differences = np.empty((models, inputs))
    base = reference[0]
    for i in range(len(rows)):
        logit = rows[i, 0]
        # Upwards: each model's logit and probability, and the mixture, for the customer and for the reference.
        mixed, mixed_reference = blend[0] * sigmoid(logit), blend[0] * sigmoid(base)
        for m in range(models):
            c, s, w = center[m], inverse[m], weights[m]
            rise = _of_network(logit, c, s, w) - _of_network(base, c, s, w)
            if abs(logit - base) < _CLOSE:
                step = 1e-3
                bend = (_of_network(base + step, c, s, w) - _of_network(base - step, c, s, w)) / (2 * step)
            else:
                bend = rise / (logit - base)
            bends[m] = offset[m] + bend
            free_reference = offset[m] * base + intercept[m] + _of_network(base, c, s, w)
            free = free_reference + offset[m] * (logit - base) + rise
            for j in range(_FIRST_COLUMN, inputs):
                at_reference = w[j] * standardised(reference[j], c[j], s[j])
                differences[m, j] = w[j] * standardised(rows[i, j], c[j], s[j]) - at_reference
                free_reference += at_reference
                free += at_reference + differences[m, j]
            own, own_reference = _bounded(free), _bounded(free_reference)
            bound = _secant(own - own_reference, free - free_reference, 1.0)
            shares[m] = blend[1 + m] * _sigmoid_secant(own, own_reference) * bound
            mixed += blend[1 + m] * sigmoid(own)
            mixed_reference += blend[1 + m] * sigmoid(own_reference)
        # The mixture's log-odds, calibrated and bounded.
        odds, odds_reference = np.log(mixed / (1 - mixed)), np.log(mixed_reference / (1 - mixed_reference))
        middle = (mixed + mixed_reference) / 2
        if abs(odds - odds_reference) < _CLOSE:
            back = 1 / (middle * (1 - middle))
        else:
            back = (odds - odds_reference) / (mixed - mixed_reference)
        last, last_reference = slope * odds + shift, slope * odds_reference + shift
        bound = _secant(_bounded(last) - _bounded(last_reference), last - last_reference, 1.0)
        back *= slope * bound
        # Downwards: through the network's logit, and directly.
        through = blend[0] * _sigmoid_secant(logit, base)
        for m in range(models):
            through += shares[m] * bends[m]
        total = 0.0
        for k in range(columns):
            total += network[i, k]
        through *= back * _secant(logit - base, total, 1.0)
        j = _FIRST_COLUMN
        for k in range(columns):
            effect = through * network[i, k]
            if k != SEGMENT_AT:
                for m in range(models):
                    effect += back * shares[m] * differences[m, j]
                j += 1
            out[i, k] = effect
        for own_segment in range(j, inputs):
            for m in range(models):
                out[i, SEGMENT_AT] += back * shares[m] * differences[m, own_segment]

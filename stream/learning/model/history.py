"""Versions of what scorers know, each with the moment from which it would have been live.

A score published at event time t came from a model that had learned only from labels known at t. The learner meets
the example a horizon later, when newer labels have been learned. So that figures judge what was published,
every example is predicted by the newest version that was live as of it (delayed progressive validation).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiled import kernel
from stream.learning.model.inputs import LARGEST_LOGIT
from stream.learning.model.linear import LinearPredictor, logit_of, sigmoid

#: Versions kept for the time that labels take (horizon + lateness).
VERSIONS: Final = 64

_BEGINNING: Final = -(2**62)


class Version(NamedTuple):
    """What scorers would know.

    ``blend`` holds the weight of the network and of each model, ``line`` slope and intercept of the final calibration.
    """

    predictors: tuple[LinearPredictor, ...]
    blend: NDArray[np.float64]
    line: tuple[float, float]


class PublishedHistory(NamedTuple):
    """What was, or would have been, published about each example; probabilities."""

    network: NDArray[np.float64]
    models: NDArray[np.float64]  # shape (examples, models)
    online: NDArray[np.float64]  # the models' mixture
    blend: NDArray[np.float64]  # network and models, before the final calibration
    published: NDArray[np.float64]


class History:
    """The versions that examples still to come may have been scored by, oldest first.

    Parameters
    ----------
    first
        The version that is live before anything was learned.
    delay_ms
        Horizon + lateness: how long after ``as_of`` a label is known.
    """

    def __init__(self, first: Version, delay_ms: int) -> None:
        self.delay_ms = delay_ms
        self.live_from = np.array([_BEGINNING], np.int64)
        self._stacked = _stack(first)

    def add(self, version: Version, as_of: int) -> None:
        """Add a version that has learned up to ``as_of``, unless the last one is almost as new."""
        live = as_of + self.delay_ms
        if live - int(self.live_from[-1]) >= self.delay_ms // VERSIONS:
            self.live_from = np.append(self.live_from, live)
            new = _stack(version)
            self._stacked = {name: np.concatenate([old, new[name]]) for name, old in self._stacked.items()}

    def drop_before(self, as_of: int) -> None:
        """Drop versions that no example from ``as_of`` on was scored by."""
        first = max(int(np.searchsorted(self.live_from, as_of, side="right")) - 1, 0)
        if first:
            self.live_from = self.live_from[first:]
            self._stacked = {name: array[first:] for name, array in self._stacked.items()}

    def predict(self, rows: NDArray[np.float64], as_of: NDArray[np.int64]) -> PublishedHistory:
        """Return what was published about examples."""
        at = np.maximum(np.searchsorted(self.live_from, as_of, side="right") - 1, 0)
        return _predict(rows, at, self._stacked)

    def __len__(self) -> int:
        return len(self.live_from)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the state."""
        return {"live_from": self.live_from} | self._stacked

    def set_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Continue from a state that `arrays` returned."""
        self.live_from = arrays["live_from"].copy()
        self._stacked = {name: arrays[name].copy() for name in self._stacked}


def predict(version: Version, rows: NDArray[np.float64]) -> PublishedHistory:
    """Return what one version says about each row; each row for itself."""
    return _predict(rows, np.zeros(len(rows), np.int64), _stack(version))


def _stack(version: Version) -> dict[str, NDArray[Any]]:
    models = version.predictors
    return {
        "center": np.array([[m.center for m in models]]),
        "scale": np.array([[m.scale for m in models]]),
        "weights": np.array([[m.weights for m in models]]),
        "intercept": np.array([[m.intercept for m in models]]),
        "offset": np.array([[m.offset for m in models]]),
        "blend": version.blend[None].copy(),
        "line": np.array([version.line]),
    }


def _predict(
    rows: NDArray[np.float64], at: NDArray[np.int64], v: dict[str, NDArray[Any]]
) -> PublishedHistory:
    count = len(rows)
    published = PublishedHistory(
        np.empty(count), np.empty((count, v["center"].shape[1])), *(np.empty(count) for _ in range(3))
    )
    _fill(
        rows, at, v["center"], 1.0 / v["scale"], v["weights"], v["intercept"], v["offset"], v["blend"], v["line"],
        published.network, published.models, published.online, published.blend, published.published,
    )  # fmt: skip
    return published


@kernel
def _fill(
    rows: NDArray[np.float64],
    at: NDArray[np.int64],
    center: NDArray[np.float64],
    inverse: NDArray[np.float64],
    weights: NDArray[np.float64],
    intercept: NDArray[np.float64],
    offset: NDArray[np.float64],
    blend: NDArray[np.float64],
    line: NDArray[np.float64],
    network: NDArray[np.float64],
    models: NDArray[np.float64],
    online: NDArray[np.float64],
    blended: NDArray[np.float64],
    published: NDArray[np.float64],
) -> None:  # pragma: no cover
    for i in range(len(rows)):
        v = at[i]
        network[i] = sigmoid(rows[i, 0])
        mixed = total = 0.0
        for m in range(center.shape[1]):
            logit = logit_of(
                rows[i], center[v, m], inverse[v, m], weights[v, m], intercept[v, m], offset[v, m]
            )
            models[i, m] = sigmoid(logit)
            mixed += blend[v, 1 + m] * models[i, m]
            total += blend[v, 1 + m]
        if total <= 0.0:  # nothing was learned yet: the network decides alone
            online[i] = blended[i] = published[i] = network[i]
            continue
        online[i] = mixed / total
        blended[i] = blend[v, 0] * network[i] + mixed
        logit = line[v, 0] * np.log(blended[i] / (1.0 - blended[i])) + line[v, 1]
        published[i] = sigmoid(min(max(logit, -LARGEST_LOGIT), LARGEST_LOGIT))

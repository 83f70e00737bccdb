"""Online models behind one interface: River estimators that learn rows of `stream.learning.model.inputs`."""

from __future__ import annotations

import math
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from river import compose, linear_model, optim, preprocessing
from river.utils.vectordict import VectorDict

from stream.learning.model.inputs import LOGIT_INPUTS, NETWORK_LOGIT
from stream.learning.model.linear import CLIP, LinearPredictor
from stream.learning.model.newton import NewtonLogisticRegression, sigmoid_many
from stream.learning.model.settings import LearningSettings

_LEAST_SCALE: Final = 0.25  # of inputs, most of which are logarithms
_CONSTANT: Final = 1e30  # scale of an input that never varied: it is 0 when standardised

Arrays = dict[str, NDArray[Any]]


class OnlineModel(Protocol):
    """A model that learns from mini-batches and can be written down as arrays."""

    def learn_many(
        self,
        rows: NDArray[np.float64],
        labels: NDArray[np.uint8],
        weights: NDArray[np.float64],
        elapsed: float,
    ) -> None:
        """Learn a mini-batch; ``elapsed`` is the event time since the last one, in horizons."""
        ...

    def forget(self, kept: float) -> None:
        """Forget at once all but a share of what was learned, since the world has changed."""
        ...

    def predict_proba_many(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of every row; changes nothing, and each depends on its row alone."""
        ...

    @property
    def predictor(self) -> LinearPredictor:
        """All that is needed to predict what the model predicts now."""
        ...

    def arrays(self) -> Arrays:
        """Return the state."""
        ...

    def set_arrays(self, arrays: Arrays) -> None:
        """Continue from a state that `arrays` returned."""
        ...


def online_models(settings: LearningSettings, names: tuple[str, ...]) -> list[OnlineModel]:
    """Return untrained models of the chosen kind for inputs of these names."""
    if settings.model == "river":
        return [RiverPipeline(names, settings.learning_rate)]
    return [NewtonModel(names, half_life, settings) for half_life in settings.half_lives]


class NewtonModel:
    """`NewtonLogisticRegression` with the network's logit as offset; its half-life is in horizons."""

    def __init__(self, names: tuple[str, ...], half_life: float, settings: LearningSettings) -> None:
        self.estimator = NewtonLogisticRegression(
            half_life,
            settings.deviation,
            settings.logit_deviation,
            NETWORK_LOGIT,
            {name: settings.logit_deviation for name in LOGIT_INPUTS},
            _LEAST_SCALE,
        )
        self.estimator.expect(names)

    @property
    def predictor(self) -> LinearPredictor:
        """All that is needed to predict."""
        return self.estimator.predictor

    def learn_many(
        self,
        rows: NDArray[np.float64],
        labels: NDArray[np.uint8],
        weights: NDArray[np.float64],
        elapsed: float,
    ) -> None:
        """Learn a mini-batch."""
        self.estimator.learn_rows(rows, labels, weights, elapsed)

    def forget(self, kept: float) -> None:
        """Forget at once all but a share of what was learned."""
        self.estimator.forget(kept)

    def predict_proba_many(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of every row."""
        return sigmoid_many(self.predictor.logits(rows))

    def arrays(self) -> Arrays:
        """Return the state."""
        return dict(self.estimator.arrays())

    def set_arrays(self, arrays: Arrays) -> None:
        """Continue from a state that `arrays` returned."""
        self.estimator.set_arrays(self.estimator.names, arrays)


class RiverPipeline:
    """River's `StandardScaler` and `LogisticRegression`: one mean-gradient step per mini-batch.

    Values are clipped to 8 of the scaler's deviations before the pipeline sees them; what is unknown becomes the mean.
    """

    def __init__(self, names: tuple[str, ...], learning_rate: float) -> None:
        self._names = list(names)
        self._scaler = preprocessing.StandardScaler()
        self._model = linear_model.LogisticRegression(
            optimizer=optim.SGD(learning_rate), intercept_lr=learning_rate
        )
        self.estimator: compose.Pipeline = compose.Pipeline(self._scaler, self._model)

    @property
    def predictor(self) -> LinearPredictor:
        """All that is needed to predict."""
        center, scale = self._center_and_scale()
        weights = np.array([self._model.weights.get(name, 0.0) for name in self._names])
        return LinearPredictor(center, scale, weights, float(self._model.intercept), 0.0)

    def learn_many(
        self,
        rows: NDArray[np.float64],
        labels: NDArray[np.uint8],
        weights: NDArray[np.float64],
        elapsed: float,
    ) -> None:
        """Learn a mini-batch; forgetting is the gradient steps' own."""
        import pandas as pd

        if len(rows) == 0:
            return
        center, scale = self._center_and_scale()
        known = np.where(np.isnan(rows), center, rows)
        if self._scaler.counts[NETWORK_LOGIT] > 0:
            known = np.clip(known, center - CLIP * scale, center + CLIP * scale)
        frame = pd.DataFrame(known, columns=self._names)
        # What the pipeline's own learn_many does, but for two things: merging mini-batches can leave the variance of a
        # constant input at -1e-17, of which River takes the root, and a rare value may be hundreds of deviations away.
        self._scaler.learn_many(frame)
        for name in self._names:
            self._scaler.vars[name] = max(float(self._scaler.vars[name]), 0.0)
        scaled = self._scaler.transform_many(frame).clip(-CLIP, CLIP)
        self._model.learn_many(scaled, pd.Series(labels.astype(bool)), w=pd.Series(weights, dtype=float))

    def forget(self, kept: float) -> None:
        """Do nothing: gradient steps forget at their own pace."""

    def predict_proba_many(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of every row."""
        return sigmoid_many(self.predictor.logits(rows))

    def arrays(self) -> Arrays:
        """Return the state."""
        weights = self._model.weights
        scaler = self._scaler
        return {
            "count": np.array([float(scaler.counts[name]) for name in self._names]),
            "mean": np.array([float(scaler.means[name]) for name in self._names]),
            "variance": np.array([float(scaler.vars[name]) for name in self._names]),
            "weights": np.array([float(weights.get(name, 0.0)) for name in self._names]),
            "intercept": np.array([float(self._model.intercept), float(self._model.optimizer.n_iterations)]),
        }

    def set_arrays(self, arrays: Arrays) -> None:
        """Continue from a state that `arrays` returned."""
        for at, name in enumerate(self._names):
            self._scaler.counts[name] = int(arrays["count"][at])
            self._scaler.means[name] = float(arrays["mean"][at])
            self._scaler.vars[name] = float(arrays["variance"][at])
        self._model._weights = VectorDict(dict(zip(self._names, arrays["weights"].tolist(), strict=True)))
        self._model.intercept = float(arrays["intercept"][0])
        self._model.optimizer.n_iterations = int(arrays["intercept"][1])

    def _center_and_scale(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        means, variances = self._scaler.means, self._scaler.vars
        center = np.array([float(means.get(name, 0.0)) for name in self._names])
        scale = np.array([math.sqrt(variances.get(name, 0.0)) for name in self._names])
        return center, np.where(scale > 0, scale, _CONSTANT)

"""Logistic regression by recursive Newton steps, with forgetting."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from river import base
from river.base.typing import ClfTarget, FeatureName

from features.compiled import njit
from stream.learning.model import newton_steps as steps
from stream.learning.model.linear import LinearPredictor, sigmoid

if TYPE_CHECKING:
    import pandas as pd

UNTRUSTED: Final = 1e6  # no example weighs more


class NewtonLogisticRegression(base.MiniBatchClassifier):
    """Logistic regression by recursive Newton steps, with forgetting towards where it started.

    Keeps the decayed information (Hessian and its vector) of all examples and takes one Newton step per mini-batch,
    so it needs no learning rate, and correlated inputs do not slow it down. What is forgotten gives way to the prior,
    "the offset is right and nothing else matters" (stabilised forgetting), so neither quiet hours nor inputs that
    stay constant make it unstable.

    Inputs are standardised by their running mean and deviation. Values that are not numbers count as the mean, and
    extreme ones as 8 deviations, when learning their mean too: no single value moves the model far.

    Parameters
    ----------
    half_life
        After so much ``elapsed`` an example counts half; in examples unless `learn_many` is told what elapsed.
    deviation
        Prior standard deviation of the coefficients.
    intercept_deviation
        Prior standard deviation of the intercept.
    offset
        Name of a feature that is a logit: the prior is that it is right.
    least_scale
        An input that deviates less is taken to deviate so much: rare values must not look like huge ones.
    deviations
        Prior standard deviations of some features' coefficients, where they differ from ``deviation``.

    Attributes
    ----------
    names
        Features in the order of the arrays.

    Examples
    --------
    >>> from river import datasets, evaluate, metrics
    >>> model = NewtonLogisticRegression(half_life=1_000)
    >>> evaluate.progressive_val_score(datasets.Phishing(), model, metrics.Accuracy())
    Accuracy: 90.00%

    References
    ----------
    Ljung and Söderström 1983, Theory and Practice of Recursive Identification, chapter 3 (recursive Newton steps);
    West, Harrison and Migon 1985, doi 10.1080/01621459.1985.10477131 (discounted generalised linear models);
    Kulhavý and Zarrop 1993, doi 10.1080/00207179308923034 (forgetting towards an alternative, here the prior).
    """

    def __init__(
        self,
        half_life: float = 10_000.0,
        deviation: float = 1.0,
        intercept_deviation: float = 3.0,
        offset: FeatureName | None = None,
        deviations: dict[FeatureName, float] | None = None,
        least_scale: float = 1e-3,
    ) -> None:
        self.half_life = half_life
        self.deviation = deviation
        self.intercept_deviation = intercept_deviation
        self.offset = offset
        self.deviations = deviations
        self.least_scale = least_scale
        self.names: list[FeatureName] = []
        self._at: dict[FeatureName, int] = {}
        self._allocate(0)
        if offset is not None:
            self.expect([offset])

    @property
    def predictor(self) -> LinearPredictor:
        """All that is needed to predict."""
        width = len(self.names)
        return LinearPredictor(
            self._mean.copy(),
            steps.scale_of(self._count, self._squares, self.least_scale),
            self._coefficients[:width].copy(),
            float(self._coefficients[width]),
            0.0 if self.offset is None else 1.0,
        )

    def learn_one(self, x: dict[FeatureName, Any], y: ClfTarget, w: float = 1.0) -> None:
        """Update the model with one example."""
        self.expect(x)
        self.learn_rows(self._row(x), np.array([bool(y)], np.uint8), np.array([w], np.float64))

    def predict_proba_one(self, x: dict[FeatureName, Any], **kwargs: Any) -> dict[ClfTarget, float]:
        """Return the probability of both classes."""
        p = float(sigmoid(self._logits(self._row(x))[0]))
        return {False: 1.0 - p, True: p}

    def learn_many(
        self, X: pd.DataFrame, y: pd.Series, w: float | pd.Series = 1.0, elapsed: float | None = None
    ) -> None:
        """Update the model with a mini-batch; ``elapsed`` since the last one, in the half-life's unit."""
        self.expect(X.columns)
        weights = np.broadcast_to(np.asarray(w, np.float64), len(X))
        self.learn_rows(self._matrix(X), np.asarray(y, bool).astype(np.uint8), weights, elapsed)

    def predict_proba_many(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the probabilities of both classes, a row an example."""
        import pandas as pd

        p = sigmoid_many(self._logits(self._matrix(X)))
        return pd.DataFrame({False: 1.0 - p, True: p}, index=X.index)

    def learn_rows(
        self,
        rows: NDArray[np.float64],
        labels: NDArray[np.uint8],
        weights: NDArray[np.float64],
        elapsed: float | None = None,
    ) -> None:
        """Update the model with a mini-batch of arrays, columns in the order of `names`.

        Parameters
        ----------
        rows
            Features, shape ``(examples, len(names))``; the offset comes first.
        labels
            0 or 1.
        weights
            Of the examples; one that is not a positive number leaves its example out.
        elapsed
            Since the last mini-batch; by default the sum of the weights.
        """
        trusted = np.where(np.isfinite(weights) & (weights > 0), np.minimum(weights, UNTRUSTED), 0.0)
        passed = float(trusted.sum()) if elapsed is None else elapsed
        steps.decay(self._information, self._vector, math.pow(2.0, -max(passed, 0.0) / self.half_life))
        if len(rows) == 0:
            return
        rows = np.ascontiguousarray(rows, np.float64)
        steps.rescale(
            rows, trusted, self._count, self._mean, self._squares,
            self._information, self._vector, self._coefficients, self.least_scale,
        )  # fmt: skip
        steps.step(
            rows, np.ascontiguousarray(labels, np.uint8), trusted, self._mean,
            steps.scale_of(self._count, self._squares, self.least_scale), 0.0 if self.offset is None else 1.0,
            self._precision(), self._information, self._vector, self._coefficients,
        )  # fmt: skip

    def _unit_test_skips(self) -> set[str]:
        # one Newton step per mini-batch is not one per example, as with River's own linear models
        return {"check_learn_many_matches_learn_one"}

    def forget(self, kept: float) -> None:
        """Forget at once all but a share of what was learned."""
        steps.decay(self._information, self._vector, kept)

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return the state as arrays; with the parameters and `names` it is all there is."""
        return {
            "count": self._count,
            "mean": self._mean,
            "squares": self._squares,
            "information": self._information,
            "vector": self._vector,
            "coefficients": self._coefficients,
        }

    def set_arrays(self, names: list[FeatureName], arrays: dict[str, NDArray[np.float64]]) -> None:
        """Continue from a state that `arrays` returned."""
        self.names, self._at = list(names), {name: at for at, name in enumerate(names)}
        self._count, self._mean, self._squares = (
            arrays["count"].copy(),
            arrays["mean"].copy(),
            arrays["squares"].copy(),
        )
        self._information = arrays["information"].copy()
        self._vector, self._coefficients = arrays["vector"].copy(), arrays["coefficients"].copy()

    def _allocate(self, width: int) -> None:
        self._count, self._mean, self._squares = np.zeros(width), np.zeros(width), np.zeros(width)
        # the last row, column and element belong to the intercept
        self._information = np.zeros((width + 1, width + 1))
        self._vector, self._coefficients = np.zeros(width + 1), np.zeros(width + 1)

    def expect(self, features: Iterable[FeatureName]) -> None:
        """Make room for features that were not seen before."""
        new = [name for name in features if name not in self._at]
        if not new:
            return
        old, width = len(self.names), len(self.names) + len(new)
        kept = self.arrays()
        self._allocate(width)
        places = np.append(np.arange(old), width)
        self._count[:old], self._mean[:old], self._squares[:old] = (
            kept["count"],
            kept["mean"],
            kept["squares"],
        )
        self._information[np.ix_(places, places)] = kept["information"]
        self._vector[places], self._coefficients[places] = kept["vector"], kept["coefficients"]
        for name in new:
            self._at[name] = len(self.names)
            self.names.append(name)

    def _precision(self) -> NDArray[np.float64]:
        own = self.deviations or {}
        deviations = [own.get(name, self.deviation) for name in self.names]
        return np.array([*deviations, self.intercept_deviation]) ** -2

    def _logits(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.predictor.logits(rows) if self.names else np.zeros(len(rows))

    def _row(self, x: dict[FeatureName, Any]) -> NDArray[np.float64]:
        row = np.full((1, len(self.names)), np.nan)
        for name, value in x.items():
            if name in self._at:
                row[0, self._at[name]] = value
        return row

    def _matrix(self, X: pd.DataFrame) -> NDArray[np.float64]:
        rows = np.full((len(X), len(self.names)), np.nan)
        for name in X.columns:
            if name in self._at:
                rows[:, self._at[name]] = X[name].to_numpy(np.float64)
        return rows


@njit(cache=True, nogil=True)
def sigmoid_many(logits: NDArray[np.float64]) -> NDArray[np.float64]:  # pragma: no cover
    """Return the probability of every logit, each for itself."""
    out = np.empty(len(logits))
    for i in range(len(logits)):
        out[i] = sigmoid(logits[i])
    return out

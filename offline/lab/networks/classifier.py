"""A network behind scikit-learn's interface: several trained on parts of the rows, and averaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.utils.validation import check_is_fitted

from offline.lab.networks.architectures import Architecture, build
from offline.lab.networks.training import Curve, Rows, Trainer, Training

#: Rows to learn from, and the others.
Division = tuple[NDArray[np.intp], NDArray[np.intp]]

#: Edges of piecewise embeddings are quantiles of the training rows; so many bins at most.
BINS: Final = 16


class NetworkClassifier(ClassifierMixin, BaseEstimator):
    """Networks for a matrix of numbers and codes (`NetworkInputs`), averaged over folds.

    Each of ``folds`` networks is trained on all folds but one, which tells when to stop; their probabilities are
    averaged. So every row is learned from, and none by the network that it stops.

    Parameters
    ----------
    categorical
        How many of the last columns are codes.
    architecture, training
        What the networks look like, and how they are trained.
    folds
        Networks; with 1, a single one is stopped by a fifth of the rows that it doesn't learn from.
    seed
        Of folds, weights, order of rows and dropout.
    on_progress
        Called with epochs done and in all.

    Attributes
    ----------
    curves_
        Log-loss and accuracy by epoch, of every network.
    parameters_
        Trainable weights of one network.
    """

    def __init__(
        self,
        categorical: int = 0,
        architecture: Architecture | None = None,
        training: Training | None = None,
        folds: int = 1,
        seed: int = 0,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.categorical = categorical
        self.architecture = architecture
        self.training = training
        self.folds = folds
        self.seed = seed
        self.on_progress = on_progress

    def fit(
        self,
        X: ArrayLike,  # noqa: N803
        y: ArrayLike,
        groups: NDArray[np.int64] | None = None,
        softened: NDArray[np.float64] | None = None,
    ) -> Self:
        """Train the networks; rows of one group are never on both sides of a fold.

        Parameters
        ----------
        softened
            Probabilities to learn instead of what happened (`offline.lab.networks.distilled`); when to stop is still
            told by what happened.
        """
        matrix, target = np.asarray(X, np.float32), np.asarray(y)
        self.classes_ = np.array([False, True])
        self.n_features_in_ = matrix.shape[1]
        architecture = self.architecture or Architecture()
        training = self.training or Training()
        rows = self._rows(matrix, target)
        categories = [int(rows.codes[:, at].max(initial=0)) + 1 for at in range(self.categorical)]
        learned = rows if softened is None else rows._replace(target=softened.astype(np.float32))
        parts = self._parts(target, groups)
        least = min(len(train) for train, _ in parts)
        training = training.fitted_to(least)
        steps = least // training.batch

        def fresh(seed: int) -> Any:
            return build(architecture, rows.numbers.shape[1], categories, _bins(rows.numbers), seed)

        model = fresh(self.seed)
        self.parameters_ = int(sum(np.prod(v.shape) for v in model.trainable_variables))
        self._limits = np.array(categories, np.int32)
        self._trainer = Trainer(model, training, steps)
        self._weights: list[list[NDArray[np.float32]]] = []
        self.curves_: list[Curve] = []
        total = len(parts) * training.epochs
        for at, (train, validation) in enumerate(parts):
            begun = at * training.epochs
            first = model.get_weights() if at == 0 else fresh(self.seed + at).get_weights()
            weights, curve = self._trainer.fit(
                first,
                learned.take(train),
                rows.take(validation),
                self.seed + at,
                on_epoch=lambda done, begun=begun: self._tell(begun + done, total),  # type: ignore[misc]
            )
            self._weights.append(weights)
            self.curves_.append(curve)
            self._tell(begun + training.epochs, total)
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """Return the probabilities of no and yes, shape (rows, 2)."""
        check_is_fitted(self, "curves_")
        matrix = np.asarray(X, np.float32)
        rows = self._rows(matrix, np.zeros(len(matrix)))
        rows = rows._replace(codes=np.where(rows.codes < self._limits, rows.codes, 0))
        yes = np.mean([self._trainer.predict(rows, weights) for weights in self._weights], axis=0)
        return np.column_stack([1 - yes, yes])

    def predict(self, X: ArrayLike) -> NDArray[np.bool_]:  # noqa: N803
        """Return whether yes is likelier than no."""
        return np.asarray(self.predict_proba(X)[:, 1] > 0.5)  # noqa: PLR2004

    def _rows(self, matrix: NDArray[np.float32], target: NDArray[Any]) -> Rows:
        numbers = matrix.shape[1] - self.categorical
        codes = matrix[:, numbers:].astype(np.int32)
        return Rows(np.ascontiguousarray(matrix[:, :numbers]), codes, target.astype(np.float32))

    def _parts(self, target: NDArray[Any], groups: NDArray[np.int64] | None) -> list[Division]:
        count = 5 if self.folds == 1 else self.folds
        return divisions(target, groups, count, self.seed)[: self.folds]

    def _tell(self, done: int, total: int) -> None:
        if self.on_progress is not None:
            self.on_progress(done, total)


def divisions(
    target: NDArray[Any], groups: NDArray[np.int64] | None, count: int, seed: int
) -> list[Division]:
    """Return folds of equal prevalence as rows to learn from and the others; groups are kept whole."""
    splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
    return list(splitter(count, shuffle=True, random_state=seed).split(np.zeros(len(target)), target, groups))


def _bins(numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return edges of bins of equal mass, as far as equal values allow, shape (numbers, BINS + 1)."""
    at = np.linspace(0, 1, BINS + 1)
    if not numbers.shape[1]:
        return np.zeros((0, 2), np.float32)
    return np.quantile(numbers, at, axis=0).T.astype(np.float32)

"""Networks that learn from other models' probabilities beside what happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone

from offline.lab.networks.classifier import NetworkClassifier, divisions
from offline.lab.networks.inputs import NetworkInputs

_FOLDS = 5


class DistilledNetwork(ClassifierMixin, BaseEstimator):
    """Networks on a table, trained on the mean of what happened and what teachers expected.

    What happened is one draw of a coin; a teacher's probability says how the coin was weighted, and so a small table
    teaches more. Teachers are fitted on all folds but one of the training rows and asked about that one, so their
    probabilities know nothing of the row's own target. They take no part in predictions.

    Parameters
    ----------
    teachers
        Unfitted models that take columns.
    inputs
        From columns to the matrix.
    students
        Unfitted networks, whose probabilities are averaged.
    share
        Of the teachers in what the students learn.
    seed
        Of the folds.

    References
    ----------
    Hinton, Vinyals and Dean (2015), Distilling the knowledge in a neural network, arXiv 1503.02531. Breiman and Shang
    (1996), Born again trees.
    """

    def __init__(
        self,
        teachers: Sequence[Any],
        inputs: NetworkInputs,
        students: Sequence[NetworkClassifier],
        share: float = 0.5,
        seed: int = 0,
    ) -> None:
        self.teachers = teachers
        self.inputs = inputs
        self.students = students
        self.share = share
        self.seed = seed
        self.on_progress: Callable[[int, int], None] | None = None

    def fit(
        self,
        X: pd.DataFrame,  # noqa: N803  (scikit-learn's names)
        y: NDArray[np.bool_],
        groups: NDArray[np.int64] | None = None,
    ) -> Self:
        """Ask the teachers, then train the students; rows of one group are never on both sides of a fold."""
        target = np.asarray(y)
        self.inputs_ = clone(self.inputs).fit(X)
        matrix = self.inputs_.transform(X)
        expected = np.mean([self._expected(teacher, X, target, groups) for teacher in self.teachers], axis=0)
        softened = (1 - self.share) * target + self.share * expected
        self.students_ = []
        for at, student in enumerate(self.students):
            learning = clone(student)
            learning.on_progress = self._part(at)
            self.students_.append(learning.fit(matrix, target, groups, softened))
        self.classes_ = self.students_[0].classes_
        return self

    def predict_proba(self, X: pd.DataFrame) -> NDArray[np.float64]:  # noqa: N803
        """Return the probabilities of no and yes, shape (rows, 2)."""
        matrix = self.inputs_.transform(X)
        return np.asarray(np.mean([student.predict_proba(matrix) for student in self.students_], axis=0))

    def _part(self, at: int) -> Callable[[int, int], None] | None:
        """Return what tells one student's progress as part of all of them."""
        told, of = self.on_progress, len(self.students)
        return None if told is None else lambda done, total: told(at * total + done, of * total)

    def _expected(
        self, teacher: Any, columns: pd.DataFrame, target: NDArray[Any], groups: NDArray[np.int64] | None
    ) -> NDArray[np.float64]:
        """Return a teacher's probability of every row, by the fold that did not see it."""
        expected = np.empty(len(target))
        for train, other in divisions(target, groups, _FOLDS, self.seed):
            fitted = clone(teacher).fit(columns.iloc[train], target[train])
            expected[other] = fitted.predict_proba(columns.iloc[other])[:, 1]
        return expected

"""Any model trained on balanced classes, with probabilities as they are at the natural prevalence."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from offline.lab.models import fit
from offline.preparation import class_weights, correct_prior, resample
from offline.problems.problem import Problem

Balance = Literal["none", "weights", "under", "over"]

#: Ways of balancing, in words.
BALANCES: Final[dict[Balance, str]] = {
    "none": "rows as they come",
    "weights": "class weights",
    "under": "undersampling, with fewer negative rows",
    "over": "oversampling, with repeated positive rows",
}


@dataclass(frozen=True)
class PriorCorrected:
    """A model that was trained at another prevalence than the natural one.

    Attributes
    ----------
    model
        As it was trained.
    trained, natural
        Prevalences (`offline.preparation.balance.correct_prior`).
    """

    model: Any
    trained: float
    natural: float

    def predict_proba(self, columns: pd.DataFrame) -> NDArray[np.float64]:
        """Return corrected probabilities of no and yes, shape (rows, 2)."""
        yes = correct_prior(np.asarray(self.model.predict_proba(columns))[:, 1], self.trained, self.natural)
        return np.column_stack([1 - yes, yes])


def fit_balanced(
    estimator: Any,
    problem: Problem,
    balance: Balance = "none",
    *,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> Any:
    """Fit a model on training rows whose classes are balanced.

    A model that takes no weights sees positive rows repeated instead, which weighs them the same on average.

    Parameters
    ----------
    problem
        Training rows only: what is tested on keeps its prevalence.
    """
    if balance == "none":
        return fit(estimator, problem, on_progress)
    step, last = estimator.steps[-1] if isinstance(estimator, Pipeline) else (None, estimator)
    if balance == "weights" and has_fit_parameter(last, "sample_weight"):
        each = class_weights(problem.target)
        weights = np.where(problem.target, each[True], each[False])
        name = "sample_weight" if step is None else f"{step}__sample_weight"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="sklearn")  # as for every other model
            fitted = estimator.fit(problem.columns, problem.target, **{name: weights})
        return PriorCorrected(fitted, 0.5, problem.prevalence)
    rows = resample(problem.target, "under" if balance == "under" else "over", seed=seed)
    part = problem.take(rows)
    if part.groups is None:
        # Copies of a row are one customer, or a model that divides its rows would be judged on what it learned.
        part = replace(part, groups=rows.astype(np.int64))
    return PriorCorrected(fit(estimator, part, on_progress), part.prevalence, problem.prevalence)

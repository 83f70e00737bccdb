"""The model that insight is drawn from: LightGBM with calibrated probabilities, judged on rows it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.bundle import Calibration
from features.exceptions import IntentError
from offline.exceptions import MissingExtra
from offline.problems.holdout import Holdout, hold_out
from offline.problems.problem import Problem
from offline.training.calibration import platt
from offline.training.evaluation import measure
from offline.training.openmp import provide_openmp

_ROUNDS: Final = 400
_PATIENCE: Final = 40
_LEAST_LEAF: Final = 20
_LEAVES_OF_DATA: Final = 500
_CALIBRATION: Final = 0.25
_LEAST_OF_A_CLASS: Final = 10
_REPLICATES: Final = 100


class InsightError(IntentError):
    """The rows don't allow a model to draw insight from."""


@dataclass(frozen=True)
class InsightModel:
    """A fitted model and how good it is.

    Attributes
    ----------
    booster
        LightGBM's; it takes `encoded` columns.
    names
        Of the columns, those that know the target left out.
    calibration
        From the booster's logits to probabilities, fitted on rows that the trees were not made from.
    test
        The rows that it is judged on, and their probabilities.
    metrics
        Of `offline.training.evaluation.measure` on the test rows; without the columns that know the target.
    with_leaks
        The same with them, ``None`` where there are none.
    """

    booster: Any
    names: list[str]
    calibration: Calibration
    test: Problem
    probabilities: NDArray[np.float64]
    metrics: dict[str, Any]
    with_leaks: dict[str, Any] | None


def fit_insight_model(problem: Problem, holdout: Holdout, *, seed: int = 0) -> InsightModel:
    """Fit on the training rows of a division, calibrate on the last quarter of them, judge on its test rows.

    Raises
    ------
    InsightError
        There are too few positive or negative rows.
    """
    plain = problem.without(set(problem.leaks))
    booster, calibration = _fit(plain.take(holdout.train), seed)
    test = plain.take(holdout.test)
    probabilities = calibration.probabilities(logits(booster, test.columns))
    with_leaks = None
    if problem.leaks:
        other, own = _fit(problem.take(holdout.train), seed)
        leaky = problem.take(holdout.test)
        with_leaks = _measures(leaky, own.probabilities(logits(other, leaky.columns)), seed)
    return InsightModel(
        booster,
        list(plain.columns),
        calibration,
        test,
        probabilities,
        _measures(test, probabilities, seed),
        with_leaks,
    )


def logits(booster: Any, columns: pd.DataFrame) -> NDArray[np.float64]:
    """Return the booster's log-odds of rows."""
    return np.asarray(booster.predict(encoded(columns), raw_score=True), np.float64)


def encoded(columns: pd.DataFrame) -> NDArray[np.float64]:
    """Return columns as the booster takes them: categories as their codes, missing as NaN."""
    arrays = []
    for name in columns:
        values = columns[name]
        if isinstance(values.dtype, pd.CategoricalDtype):
            codes = values.cat.codes.to_numpy().astype(np.float64)
            arrays.append(np.where(codes < 0, np.nan, codes))
        else:
            arrays.append(values.to_numpy(np.float64))
    return np.column_stack(arrays)


def _fit(problem: Problem, seed: int) -> tuple[Any, Calibration]:
    provide_openmp()
    try:
        import lightgbm
    except ImportError:
        raise MissingExtra("lightgbm") from None

    parts = hold_out(problem, share=_CALIBRATION, seed=seed)
    for rows, name in ((parts.train, "training"), (parts.test, "calibration")):
        positive = int(problem.target[rows].sum())
        if min(positive, len(rows) - positive) < _LEAST_OF_A_CLASS:
            raise InsightError(
                f"the {name} rows have {positive} positive ones among {len(rows):,}: at least {_LEAST_OF_A_CLASS} of "
                "each class are needed; use more data or another --horizon"
            )
    categories = [at for at, name in enumerate(problem.columns) if problem.kinds[name] == "categorical"]
    columns, labels = encoded(problem.columns), problem.target.astype(np.int8)
    train = lightgbm.Dataset(
        columns[parts.train], labels[parts.train], categorical_feature=categories or "auto"
    )
    judge = lightgbm.Dataset(columns[parts.test], labels[parts.test], reference=train)
    settings = {
        "objective": "binary", "learning_rate": 0.04, "num_leaves": 31, "feature_fraction": 0.5,
        "bagging_fraction": 0.7, "bagging_freq": 1, "lambda_l2": 10.0, "seed": seed, "deterministic": True,
        "force_row_wise": True, "verbose": -1, "num_threads": 1,
        "min_data_in_leaf": max(_LEAST_LEAF, len(parts.train) // _LEAVES_OF_DATA),
    }  # fmt: skip
    booster = lightgbm.train(
        settings,
        train,
        _ROUNDS,
        valid_sets=[judge],
        callbacks=[lightgbm.early_stopping(_PATIENCE, verbose=False)],
    )
    calibration = platt(logits(booster, problem.columns.iloc[parts.test]), labels[parts.test])
    return booster, calibration


def _measures(problem: Problem, probabilities: NDArray[np.float64], seed: int) -> dict[str, Any]:
    groups = problem.groups if problem.groups is not None else np.arange(len(problem))
    return measure(problem.target.astype(np.int8), probabilities, groups, seed=seed, replicates=_REPLICATES)

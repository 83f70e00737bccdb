"""The model that insight is drawn from: the lab's LightGBM, calibrated, and judged on rows it has not seen.

It is made as in the other chapters and judged by the same function, so its AUC and interval are theirs wherever the
rows are the same. Calibration does not change the ranking.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.bundle import Calibration
from features.exceptions import IntentError
from offline.lab.figures import REPLICATES, figures
from offline.lab.models import MODELS, fit
from offline.problems.holdout import Holdout, hold_out
from offline.problems.problem import Problem
from offline.training.calibration import platt

_CALIBRATION: Final = 0.25
_CHANCE: Final = 0.5  # AUC of a constant, too
# A report looks at many things: the interval of 99%, in half widths of that of 95%.
_WIDER: Final = 1.31
_LEAST_OF_A_CLASS: Final = 10


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
        From the booster's logits to probabilities, fitted on training rows that trees of the same kind had not seen.
    test
        The rows that it is judged on, and their probabilities.
    metrics
        Of `offline.lab.figures.figures` on the test rows; without the columns that know the target.
    with_leaks
        The same with them, ``None`` where there are none.
    constant
        Log-loss on the test rows of the share of positive training rows.
    """

    booster: Any
    names: list[str]
    calibration: Calibration
    test: Problem
    probabilities: NDArray[np.float64]
    metrics: dict[str, Any]
    with_leaks: dict[str, Any] | None
    constant: float

    @property
    def tells(self) -> bool:
        """Whether it is better than chance: its AUC with 99% confidence, and its probabilities than one for everybody.

        Else what it goes by is noise, and nothing is said of drivers and reasons.
        """
        auc, low = self.metrics["auc"], self.metrics["ci"]["auc"][0]
        return bool(auc - _CHANCE > _WIDER * (auc - low) and self.metrics["log_loss"] < self.constant)


def fit_insight_model(
    problem: Problem, holdout: Holdout, *, seed: int = 0, quick: bool = False
) -> InsightModel:
    """Fit on the training rows of a division, calibrate by a model that had not seen a quarter of them, and judge.

    Raises
    ------
    InsightError
        There are too few positive or negative rows.
    """
    plain = problem.without(set(problem.leaks))
    booster, calibration = _fit(plain.take(holdout.train), seed, quick)
    test = plain.take(holdout.test)
    probabilities = calibration.probabilities(logits(booster, test.columns))
    with_leaks = None
    if problem.leaks:
        other, own = _fit(problem.take(holdout.train), seed, quick)
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
        _constant_loss(float(problem.target[holdout.train].mean()), float(test.target.mean())),
    )


def _constant_loss(share: float, happened: float) -> float:
    return float(-happened * np.log(share) - (1 - happened) * np.log1p(-share))


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


def _fit(problem: Problem, seed: int, quick: bool) -> tuple[Any, Calibration]:
    parts = hold_out(problem, share=_CALIBRATION, seed=seed)
    for rows, name in ((parts.train, "training"), (parts.test, "calibration")):
        positive = int(problem.target[rows].sum())
        if min(positive, len(rows) - positive) < _LEAST_OF_A_CLASS:
            raise InsightError(
                f"the {name} rows have {positive} positive ones among {len(rows):,}: at least {_LEAST_OF_A_CLASS} of "
                "each class are needed; use more data or another --horizon"
            )
    earlier = _booster(problem.take(parts.train), seed, quick)
    unseen = problem.columns.iloc[parts.test]
    calibration = platt(logits(earlier, unseen), problem.target[parts.test].astype(np.int8))
    return _booster(problem, seed, quick), calibration


def _booster(problem: Problem, seed: int, quick: bool) -> Any:
    return fit(MODELS["lightgbm"].make(problem.kinds, seed, quick), problem)[-1].booster_


def _measures(problem: Problem, probabilities: NDArray[np.float64], seed: int) -> dict[str, Any]:
    return figures(problem.target, probabilities, problem.groups, replicates=REPLICATES, seed=seed)

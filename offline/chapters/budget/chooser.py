"""Who chooses: a model with honest probabilities and reasons, or a simple rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.bundle import Calibration
from offline.chapters.budget.moments import WORDS, Moment
from offline.lab.models import MODELS, fit
from offline.problems.holdout import hold_out
from offline.problems.problem import Problem
from offline.training.calibration import platt

Floats = NDArray[np.float64]

#: Simple rules: the column to order by, whether the smallest come first, and in words.
RULES: Final = {
    "who ordered last": ("since_order", True),
    "who ordered most often": ("frequency", False),
    "who spent most": ("monetary", False),
    "who came last": ("recency", True),
    "whose cart is fullest": ("carts", False),
}
_CALIBRATION: Final = 0.25
_REASONS: Final = 2


@dataclass(frozen=True)
class Chooser:
    """A fitted LightGBM and its calibration."""

    booster: Any
    calibration: Calibration

    def probabilities(self, known: pd.DataFrame) -> Floats:
        """Return every customer's probability of an order within the horizon."""
        return self.calibration.probabilities(_logits(self.booster, known))

    def reasons(self, known: pd.DataFrame) -> list[str]:
        """Return what raises every customer's probability most, by the SHAP values of the trees."""
        effects = np.asarray(self.booster.predict(known.to_numpy(np.float64), pred_contrib=True))[:, :-1]
        values = known.to_numpy(np.float64)
        found = []
        for row, own in zip(effects, values, strict=True):
            order = [at for at in np.argsort(-row, kind="stable")[:_REASONS] if row[at] > 0]
            found.append("; ".join(_reason(str(known.columns[at]), own[at]) for at in order))
        return found


def fit_chooser(problem: Problem, *, seed: int = 0, quick: bool = False) -> Chooser:
    """Fit on all rows; the calibration comes from a model that has not seen a quarter of the customers."""
    parts = hold_out(problem, share=_CALIBRATION, seed=seed)
    earlier = _booster(problem.take(parts.train), seed, quick)
    unseen = problem.columns.iloc[parts.test]
    calibration = platt(_logits(earlier, unseen), problem.target[parts.test].astype(np.int8))
    return Chooser(_booster(problem, seed, quick), calibration)


def best_rule(moment: Moment, count: int) -> str:
    """Return the rule whose list of so many customers held most buyers at a moment."""
    rules = [name for name, (column, _) in RULES.items() if column in moment.known]
    return max(rules, key=lambda name: moment.bought.to_numpy()[chosen_by(name, moment.known, count)].sum())


def chosen_by(rule: str, known: pd.DataFrame, count: int) -> NDArray[np.intp]:
    """Return the positions of the customers that a rule chooses; unknown values come last, equals by their order."""
    column, smallest = RULES[rule]
    values = known[column].to_numpy(np.float64)
    values = np.where(np.isnan(values), np.inf, values if smallest else -values)
    return np.argsort(values, kind="stable")[:count]


def _booster(problem: Problem, seed: int, quick: bool) -> Any:
    return fit(MODELS["lightgbm"].make(problem.kinds, seed, quick), problem)[-1].booster_


def _logits(booster: Any, known: pd.DataFrame) -> Floats:
    return np.asarray(booster.predict(known.to_numpy(np.float64), raw_score=True), np.float64)


def _reason(column: str, value: float) -> str:
    if np.isnan(value):
        return f"{WORDS[column]}: none"
    return f"{WORDS[column]}: {value:,.0f}" if abs(value) >= 10 or value == round(value) else (  # noqa: PLR2004
        f"{WORDS[column]}: {value:.1f}"
    )  # fmt: skip

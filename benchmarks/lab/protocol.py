"""What is trained, what is tested, and what should be reached."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offline.lab.comparison import Comparison, compare, difference, judge
from offline.lab.figures import Difference
from offline.lab.folds import Folds
from offline.lab.models import (
    BEST_ARCHITECTURE,
    BEST_FOLDS,
    BEST_TRAINING,
    MODELS,
    Kinds,
    Model,
    network,
)
from offline.problems.problem import Problem

OnProgress = Callable[[int, int], None]

#: The measures that are printed, in this order.
MEASURES: Final = ("auc", "pr_auc", "brier", "ece")
#: The blend is the mean of their log-odds, where all take part; no weight is chosen.
BLEND: Final = ("network", "lightgbm", "xgboost")
#: The network's lead is tested against it.
RIVAL: Final = "lightgbm"


def _alone(kinds: Kinds, seed: int, quick: bool) -> Any:
    return network(kinds, BEST_ARCHITECTURE, BEST_TRAINING, folds=BEST_FOLDS, seed=seed)


#: The laboratory's models, and its network without teachers, to show what they give.
CONTENDERS: Final = (*MODELS.values(), Model("network_alone", "Keras network without teachers", _alone))


class Protocol(NamedTuple):
    """A problem, its folds, what should be reached, what must be said beside the table, and who takes part.

    Settings of ``models`` were chosen on training rows only.
    """

    name: str
    problem: Problem
    folds: Folds
    goals: Mapping[str, float]
    warning: str = ""
    models: Sequence[Model] = CONTENDERS


class Reached(NamedTuple):
    """A goal for a measure, what the network reached, and the model with the most (its key and figure)."""

    goal: float
    network: float
    best: str
    most: float


class Result(NamedTuple):
    """A protocol's comparison, and the network's lead over LightGBM."""

    protocol: Protocol
    comparison: Comparison
    lead: dict[str, Difference]

    def figures(self) -> dict[str, dict[str, Any]]:
        """Return by model each measure and its interval."""
        return {
            key: {
                **{name: judged.figures[name] for name in MEASURES},
                "ci": {name: judged.figures["ci"][name] for name in MEASURES},
            }
            for key, judged in self.comparison.models.items()
        }

    def reached(self) -> dict[str, Reached]:
        """Return by measure the goal and what was reached, to three digits as goals are given."""
        models = self.comparison.models
        if "network" not in models:
            return {}

        def of(key: str, name: str) -> float:
            return round(float(models[key].figures[name]), 3)

        found = {}
        for name, goal in self.protocol.goals.items():
            best = max(models, key=lambda key: models[key].figures[name])
            found[name] = Reached(goal, of("network", name), best, of(best, name))
        return found


def run(
    protocol: Protocol,
    names: Collection[str] = (),
    *,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Result:
    """Fit and judge models by name, all without names, and a blend of the best ones."""
    problem, folds = protocol.problem, protocol.folds
    models = [model for model in protocol.models if not names or model.key in names]
    found = compare(problem, models, folds, seed=seed, on_progress=on_progress)
    if set(BLEND) <= set(found.models):
        tested = {key: list(judged.tested) for key, judged in found.models.items()}
        parts = zip(*(tested[key] for key in BLEND), strict=True)
        tested["blend"] = [blended(list(some)) for some in parts]
        titles = {key: judged.title for key, judged in found.models.items()}
        titles["blend"] = "network + LightGBM + XGBoost"
        found = judge(problem, folds, titles, tested, rule=found.rule, seed=seed)
    lead = {}
    if {"network", RIVAL} <= set(found.models):
        lead = difference(folds, found.models["network"], found.models[RIVAL])
    return Result(protocol, found, lead)


def blended(some: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the mean of probabilities on the scale of log-odds."""
    clipped = np.clip(np.asarray(some), 1e-6, 1 - 1e-6)
    return np.asarray(1 / (1 + np.exp(-np.mean(np.log(clipped / (1 - clipped)), axis=0))))

"""What is trained, what is tested, and what should be reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offline.lab.comparison import Comparison, compare, difference, judge
from offline.lab.figures import Difference
from offline.lab.folds import Folds
from offline.lab.models import Model
from offline.problem import Problem

OnProgress = Callable[[int, int], None]

#: The measures that are printed, in this order.
MEASURES: Final = ("auc", "pr_auc", "brier", "ece")
#: Mean of the log-odds of these two, where both take part.
BLEND: Final = ("network", "lightgbm")


class Protocol(NamedTuple):
    """A problem, its folds, what the network should reach, and what must be said beside the table."""

    name: str
    problem: Problem
    folds: Folds
    goals: Mapping[str, float]
    warning: str = ""


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

    def reached(self) -> dict[str, tuple[float, bool]]:
        """Return each goal of the network, and whether it is reached."""
        network = self.comparison.models.get("network")
        if network is None:
            return {}
        # Goals are given to three digits.
        return {
            name: (goal, round(network.figures[name], 3) >= goal)
            for name, goal in self.protocol.goals.items()
        }


def run(
    protocol: Protocol, models: Sequence[Model], *, seed: int = 0, on_progress: OnProgress | None = None
) -> Result:
    """Fit and judge all models, and the blend of network and LightGBM."""
    problem, folds = protocol.problem, protocol.folds
    found = compare(problem, models, folds, seed=seed, on_progress=on_progress)
    if set(BLEND) <= set(found.models):
        tested = {key: list(judged.tested) for key, judged in found.models.items()}
        parts = zip(*(tested[key] for key in BLEND), strict=True)
        tested["blend"] = [blended(list(some)) for some in parts]
        titles = {key: judged.title for key, judged in found.models.items()} | {"blend": "network + LightGBM"}
        found = judge(problem, folds, titles, tested, rule=found.rule, seed=seed)
    lead = {}
    if set(BLEND) <= set(found.models):
        lead = difference(problem, folds, found.models["network"], found.models["lightgbm"], seed=seed)
    return Result(protocol, found, lead)


def blended(some: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the mean of probabilities on the scale of log-odds."""
    clipped = np.clip(np.asarray(some), 1e-6, 1 - 1e-6)
    return np.asarray(1 / (1 + np.exp(-np.mean(np.log(clipped / (1 - clipped)), axis=0))))

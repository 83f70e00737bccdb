"""Every model on the same folds: figures with intervals, and paired tests of the differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offline.lab.balanced import Balance, fit_balanced
from offline.lab.figures import (
    MEASURED,
    SMALLER_IS_BETTER,
    Difference,
    corrected_t_test,
    figures,
    figures_drawn,
    intervals,
    over_folds,
    paired_differences,
)
from offline.lab.folds import Folds
from offline.lab.models import Model, TwoLineRule, probabilities
from offline.problems.problem import Problem
from offline.progress import OnProgress

Floats = NDArray[np.float64]


class ComparedModel(NamedTuple):
    """A model's predictions and figures.

    Attributes
    ----------
    tested
        Probabilities of the test rows of every fold.
    by_fold
        Figures of every fold.
    figures
        Over all folds: a value for each measure, and ``ci``.
    drawn
        The bootstrap replicates behind ``ci``; of the same folds and seed, those of two models are pairs. None where
        the intervals come from the folds' variation.
    """

    title: str
    tested: tuple[Floats, ...]
    by_fold: tuple[dict[str, Any], ...]
    figures: dict[str, Any]
    drawn: Floats | None = None


@dataclass(frozen=True)
class Comparison:
    """Models on the same folds.

    Attributes
    ----------
    models
        By key, in the order in which they were given.
    best
        Key of the model with the highest AUC.
    tests
        By key of every other model, by measure: the best one's figure less the other one's.
    rule
        The rule of two lines in words, as the last fold taught it; empty if it did not take part.
    balance
        How the classes of the training rows were balanced.
    """

    problem: Problem
    folds: Folds
    models: dict[str, ComparedModel]
    best: str
    tests: dict[str, dict[str, Difference]]
    rule: tuple[str, ...] = ()
    balance: Balance = "none"

    @property
    def target(self) -> NDArray[np.bool_]:
        """What happened in the test rows, fold by fold."""
        return np.concatenate([self.problem.target[fold.test] for fold in self.folds.folds])

    def pooled(self, key: str) -> Floats:
        """Return a model's probabilities of the test rows, fold by fold."""
        return np.concatenate(self.models[key].tested)


def compare(
    problem: Problem,
    models: Sequence[Model],
    folds: Folds,
    *,
    balance: Balance = "none",
    seed: int = 0,
    quick: bool = False,
    on_progress: OnProgress | None = None,
) -> Comparison:
    """Fit every model on the training rows of every fold, and judge all on the same test rows.

    Intervals and tests: a bootstrap over customers (rows where nobody knows the customer) on all folds together;
    where rows are tested again and again, Nadeau and Bengio's over the splits.

    Parameters
    ----------
    balance
        How the classes of the training rows are balanced; probabilities are brought back to their prevalence.
    """
    parts = 1000  # of one model and fold, so that slow models show their progress
    total = len(models) * len(folds.folds) * parts
    done = 0
    tested: dict[str, list[Floats]] = {model.key: [] for model in models}
    rule: tuple[str, ...] = ()
    for number, fold in enumerate(folds.folds):
        train = problem.take(fold.train)
        columns = problem.columns.iloc[fold.test]
        for model in models:

            def told(now: int, of: int, begun: int = done) -> None:
                _tell(on_progress, begun + now * parts // max(of, 1), total)

            made = model.make(problem.kinds, seed + number, quick)
            fitted = fit_balanced(made, train, balance, seed=seed + number, on_progress=told)
            tested[model.key].append(probabilities(fitted, columns))
            rule = tuple(fitted.lines_) if isinstance(fitted, TwoLineRule) else rule
            done += parts
            _tell(on_progress, done, total)
    titles = {model.key: model.title for model in models}
    return replace(judge(problem, folds, titles, tested, rule=rule, seed=seed), balance=balance)


def judge(
    problem: Problem,
    folds: Folds,
    titles: dict[str, str],
    tested: dict[str, list[Floats]],
    *,
    rule: tuple[str, ...] = (),
    seed: int = 0,
) -> Comparison:
    """Return the figures and tests of predictions that models made on folds."""
    judged = {key: _compared(problem, folds, titles[key], tested[key], seed) for key in tested}
    best = max(judged, key=lambda key: judged[key].figures["auc"])
    tests = {key: difference(folds, judged[best], judged[key]) for key in judged if key != best}
    return Comparison(problem, folds, judged, best, tests, rule)


def difference(folds: Folds, first: ComparedModel, second: ComparedModel) -> dict[str, Difference]:
    """Return the paired test of two models judged on the same folds: the first one's figures less the second one's."""
    if first.drawn is not None and second.drawn is not None:
        return paired_differences(first.figures, first.drawn, second.figures, second.drawn)
    share = tested_share(folds)
    return {
        name: corrected_t_test(
            [fold[name] for fold in first.by_fold], [fold[name] for fold in second.by_fold], share
        )
        for name in MEASURED
    }


def over_repeats(folds: Folds) -> bool:
    """Return whether intervals come from the splits' variation: rows are tested again and again."""
    tested = np.concatenate([fold.test for fold in folds.folds])
    return len(np.unique(tested)) < len(tested)


def tested_share(folds: Folds) -> float:
    """Return test rows by training rows, on average."""
    return float(np.mean([len(fold.test) / len(fold.train) for fold in folds.folds]))


def better(name: str, gap: float) -> bool:
    """Return whether a difference of a measure speaks for the first model."""
    return gap < 0 if name in SMALLER_IS_BETTER else gap > 0


def _compared(problem: Problem, folds: Folds, title: str, tested: list[Floats], seed: int) -> ComparedModel:
    groups = problem.groups
    by_fold = tuple(
        figures(problem.target[fold.test], p, None if groups is None else groups[fold.test])
        for fold, p in zip(folds.folds, tested, strict=True)
    )
    target = np.concatenate([problem.target[fold.test] for fold in folds.folds])
    tested_groups = _groups(problem, folds)
    found: dict[str, Any] = {
        "examples": len(target),
        "customers": len(target) if tested_groups is None else len(np.unique(tested_groups)),
        "prevalence": float(target.mean()),
    }
    if over_repeats(folds):
        share = tested_share(folds)
        reached = {n: over_folds([fold[n] for fold in by_fold], share) for n in MEASURED}
        found |= {name: interval.value for name, interval in reached.items()}
        found["ci"] = {
            name: [max(i.low, 0.0), i.high if name == "log_loss" else min(i.high, 1.0)]
            for name, i in reached.items()
        }
        found["threshold"] = float(np.mean([fold["threshold"] for fold in by_fold]))
        return ComparedModel(title, tuple(tested), by_fold, found)
    if folds.scheme == "temporal":
        own, drawn = figures_drawn(target, np.concatenate(tested), tested_groups, seed=seed)
        return ComparedModel(title, tuple(tested), by_fold, found | own, drawn)
    # Folds at random hold customers of their own. Probabilities of different fits are not ranked against each other.
    own, drawn = _mean_of_folds(problem, folds, tested, seed)
    return ComparedModel(title, tuple(tested), by_fold, found | own, drawn)


def _mean_of_folds(
    problem: Problem, folds: Folds, tested: list[Floats], seed: int
) -> tuple[dict[str, Any], Floats]:
    """Return the mean of the folds' figures, and that of their replicates."""
    groups = problem.groups
    parts = [
        figures_drawn(
            problem.target[fold.test], p, None if groups is None else groups[fold.test], seed=seed + number
        )
        for number, (fold, p) in enumerate(zip(folds.folds, tested, strict=True))
    ]
    drawn = np.mean([replicates for _, replicates in parts], axis=0)
    own: dict[str, Any] = {
        name: float(np.mean([found[name] for found, _ in parts])) for name in (*MEASURED, "threshold")
    }
    return own | {"ci": intervals(drawn)}, drawn


def _groups(problem: Problem, folds: Folds) -> NDArray[np.int64] | None:
    if problem.groups is None:
        return None
    return np.concatenate([problem.groups[fold.test] for fold in folds.folds])


def _tell(on_progress: OnProgress | None, done: int, total: int) -> None:
    if on_progress is not None:
        on_progress(done, total)

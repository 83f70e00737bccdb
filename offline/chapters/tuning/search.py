"""Search of a model's settings with Optuna: on a grid, at random, or learning from earlier trials. All can be resumed.

Settings are judged by their log-loss in cross-validation on the rows that are given, which must be training rows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from offline.chapters.tuning.spaces import (
    Choices,
    Settings,
    Space,
    defaults_of,
    model_with,
    space_of,
    suggest,
)
from offline.chapters.tuning.studies import Method, TuningError, finished, history, open_study, sampler_for
from offline.lab.figures import figures
from offline.lab.folds import Fold, make_folds
from offline.lab.models import fit, probabilities
from offline.problems.problem import Problem
from offline.progress import OnProgress

if TYPE_CHECKING:
    import optuna

_FOLDS: Final = 3


@dataclass(frozen=True)
class Search:
    """A search and what it found.

    Attributes
    ----------
    trials
        One row for each trial in order: ``trial``, ``log_loss``, ``auc``, ``best`` (least log-loss so far),
        ``seconds``, ``state`` (complete, or pruned: given up after its first folds), and its settings.
    settings
        The best ones.
    resumed
        Trials that were there before.
    """

    model: str
    method: Method
    trials: pd.DataFrame
    settings: Settings
    resumed: int


class _RepeatedPoint(Exception):
    """A point of the grid that was tried before, as a point of a smaller or larger grid."""


@dataclass
class _Budget:
    """Trials and minutes that a search may take, and who is told how much of them is gone."""

    total: int | None
    minutes: float | None
    done: int
    on_progress: OnProgress | None

    def __post_init__(self) -> None:
        self._begun = time.monotonic()
        self._tell()

    @property
    def left(self) -> bool:
        """Whether there are trials left; the minutes are Optuna's to watch."""
        return self.total is None or self.done < self.total

    def spend(self) -> None:
        """Count one trial."""
        self.done += 1
        self._tell()

    def _tell(self) -> None:
        if self.on_progress is None:
            return
        if self.total is not None:
            self.on_progress(self.done, self.total)
        elif self.minutes is not None:
            self.on_progress(int(time.monotonic() - self._begun), int(60 * self.minutes))


@dataclass(frozen=True)
class _Judge:
    """Fits and measures settings fold by fold."""

    problem: Problem
    folds: tuple[Fold, ...]
    model: str
    seed: int
    quick: bool

    def losses(self, settings: Settings) -> Iterator[tuple[float, float]]:
        """Yield log-loss and AUC of every fold."""
        for fold in self.folds:
            estimator = model_with(self.model, settings, self.problem.kinds, seed=self.seed, quick=self.quick)
            fitted = fit(estimator, self.problem.take(fold.train))
            predicted = probabilities(fitted, self.problem.columns.iloc[fold.test])
            found = figures(self.problem.target[fold.test], predicted)
            yield found["log_loss"], found["auc"]


def tune(
    problem: Problem,
    model: str,
    method: Method = "optuna",
    *,
    trials: int | None = 30,
    minutes: float | None = None,
    storage: Path | None = None,
    folds: int = _FOLDS,
    seed: int = 0,
    quick: bool = False,
    on_progress: OnProgress | None = None,
) -> Search:
    """Search a model's settings.

    Equal seeds give equal trials, whether or not the search was stopped and resumed in between.

    Parameters
    ----------
    problem
        Training rows.
    trials
        Trials in all, those of earlier runs included; None: as many as the minutes allow (grid: all).
    minutes
        Of this run; the trial that is under way is finished.
    storage
        File of studies; without one nothing is kept.
    on_progress
        Called with trials done and in all; with minutes only, with seconds.

    Raises
    ------
    TuningError
        Neither trials nor minutes are limited, or the file holds this search on other data.
    """
    if trials is None and minutes is None and method != "grid":
        raise TuningError("a search without end: give a number of trials or minutes")
    space = space_of(model)
    judge = _Judge(problem, make_folds(problem, folds, seed=seed).folds, model, seed, quick)
    saved = open_study(problem, model, method, storage, seed, len(judge.folds))
    study = saved.study
    known = [trial.user_attrs["settings"] for trial in finished(study)]
    grid = grid_of(space, trials) if method == "grid" else {}
    if method == "grid":
        points = (dict(zip(grid, values, strict=True)) for values in product(*grid.values()))
        trials = len(known) + sum(point not in known for point in points)
    study.sampler = sampler_for(method, seed, len(study.trials), grid)
    # The defaults come first, so that a short search cannot end with something worse than them.
    defaults = defaults_of(model, problem.kinds, quick=quick)
    if method != "grid" and defaults and defaults not in known:
        study.enqueue_trial(defaults)
    budget = _Budget(trials, minutes, len(known), on_progress)

    def loss_of(trial: optuna.Trial) -> float:
        settings = suggest(trial, space)
        if method == "grid" and settings in known:
            raise _RepeatedPoint
        return _cross_validated(trial, settings, judge)

    def after(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        saved.save(trial)
        study.sampler = sampler_for(method, seed, len(study.trials), grid)
        if "settings" in trial.user_attrs:
            budget.spend()
        if not budget.left:
            study.stop()

    if budget.left:
        seconds = None if minutes is None else 60 * minutes
        study.optimize(loss_of, timeout=seconds, callbacks=[after], catch=(_RepeatedPoint,))
    if all(trial.state.name != "COMPLETE" for trial in finished(study)):
        raise TuningError(f"no trial of {model} was finished in {minutes} minutes: give more")
    best = study.best_trial
    return Search(model, method, history(study), dict(best.user_attrs["settings"]), len(known))


def _cross_validated(trial: optuna.Trial, settings: Settings, judge: _Judge) -> float:
    """Return the mean log-loss over the folds; the study's pruner may give the trial up after each of them."""
    import optuna

    begun = time.monotonic()
    losses, aucs = [], []
    for number, (loss, auc) in enumerate(judge.losses(settings)):
        losses.append(loss)
        aucs.append(auc)
        trial.report(float(np.mean(losses)), number)
        if number < len(judge.folds) - 1 and trial.should_prune():
            break
    trial.set_user_attr("settings", settings)
    trial.set_user_attr("auc", float(np.mean(aucs)))
    trial.set_user_attr("seconds", time.monotonic() - begun)
    if len(losses) < len(judge.folds):
        raise optuna.TrialPruned
    return float(np.mean(losses))


def grid_of(space: Space, trials: int | None) -> dict[str, list[Any]]:
    """Return a grid of at most ``trials`` points: settings get another value in turn as long as there is room.

    Examples
    --------
    >>> from offline.chapters.tuning.spaces import Numbers
    >>> grid_of({"C": Numbers(0.01, 100.0, log=True), "depth": Numbers(2, 4)}, 6)
    {'C': [0.01, 1.0, 100.0], 'depth': [2, 4]}
    """
    most = 3 ** len(space) if trials is None else trials

    def values(name: str, count: int) -> list[Any]:
        part = space[name]
        if isinstance(part, Choices):
            return list(part.values[:count])
        # One value stands in the middle, not at an end.
        return part.grid(3)[1:2] if count == 1 else part.grid(count)

    counts = dict.fromkeys(space, 1)
    grown = True
    while grown:
        grown = False
        for name in space:
            more = {**counts, name: counts[name] + 1}
            sizes = {n: len(values(n, count)) for n, count in more.items()}
            if sizes[name] > len(values(name, counts[name])) and int(np.prod(list(sizes.values()))) <= most:
                counts, grown = more, True
    return {name: values(name, count) for name, count in counts.items()}

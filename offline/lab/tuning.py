"""Search of a model's settings: scikit-learn's grid or random candidates, or Optuna's, all resumable.

Every search is an Optuna study in a file: a run that was interrupted goes on where it stopped, and trials that are
there are not made again. Settings are judged by their log-loss in cross-validation on the rows that are given, which
must be training rows.
"""

from __future__ import annotations

import hashlib
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np
import pandas as pd
from sklearn.model_selection import ParameterGrid, ParameterSampler

from features.exceptions import IntentError
from offline.exceptions import MissingExtra
from offline.lab.figures import figures
from offline.lab.folds import Fold, make_folds
from offline.lab.models import fit, probabilities
from offline.lab.spaces import Choices, Settings, Space, defaults_of, model_with, space_of, whole
from offline.problem import Problem

if TYPE_CHECKING:
    import optuna

Method = Literal["grid", "random", "optuna"]
METHODS: Final = get_args(Method)
OnProgress = Callable[[int, int], None]

_FOLDS: Final = 3
# Before Optuna gives a trial up for its first folds, it has seen so many.
_UNPRUNED: Final = 6


class TuningError(IntentError):
    """A search cannot be made or resumed."""


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
        No budget, or the file holds this search on other data.
    """
    if trials is None and minutes is None and method != "grid":
        raise TuningError("a search without end: give a number of trials or minutes")
    space = space_of(model)
    divided = make_folds(problem, folds, seed=seed).folds
    study = _study(problem, model, method, storage, seed, len(divided))
    finished = _finished(study)
    resumed = len(finished)
    # The defaults come first, so that a short search cannot end with something worse than them.
    defaults = defaults_of(model, problem.kinds, quick=quick)
    queue = _candidates(space, method, trials, seed, finished, defaults)
    if queue is None and defaults and not study.trials:
        study.enqueue_trial(defaults)
    begun = time.monotonic()
    end = None if minutes is None else begun + 60 * minutes
    best = None
    done = resumed
    total = _total(space, method, trials)
    _tell(on_progress, done, total, begun, end)
    while (total is None or done < total) and (end is None or time.monotonic() < end):
        if queue is not None:
            settings = next(queue, None)
            if settings is None:
                break
            study.enqueue_trial(settings)
        trial = study.ask()
        settings = _suggest(trial, space)
        _judge(study, trial, problem, divided, model, settings, seed, quick)
        done += 1
        _tell(on_progress, done, total, begun, end)
    if not _finished(study):
        raise TuningError(f"no trial of {model} was finished in {minutes} minutes: give more")
    best = study.best_trial
    return Search(model, method, _history(study), dict(best.user_attrs["settings"]), resumed)


def _judge(
    study: optuna.Study,
    trial: optuna.Trial,
    problem: Problem,
    folds: tuple[Fold, ...],
    model: str,
    settings: Settings,
    seed: int,
    quick: bool,
) -> None:
    """Fit and measure some settings fold by fold; give up what is clearly worse than others were so far."""
    import optuna

    losses, aucs = [], []
    for number, fold in enumerate(folds):
        estimator = model_with(model, settings, problem.kinds, seed=seed, quick=quick)
        predicted = probabilities(fit(estimator, problem.take(fold.train)), problem.columns.iloc[fold.test])
        found = figures(problem.target[fold.test], predicted)
        losses.append(found["log_loss"])
        aucs.append(found["auc"])
        trial.report(float(np.mean(losses)), number)
        if number < len(folds) - 1 and trial.should_prune():
            break
    trial.set_user_attr("settings", settings)
    trial.set_user_attr("auc", float(np.mean(aucs)))
    if len(losses) < len(folds):
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    else:
        study.tell(trial, float(np.mean(losses)))


def _study(
    problem: Problem, model: str, method: Method, storage: Path | None, seed: int, folds: int
) -> optuna.Study:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import optuna
            from optuna.storages import JournalStorage
            from optuna.storages.journal import JournalFileBackend
    except ImportError:
        raise MissingExtra("Optuna") from None
    optuna.logging.set_verbosity(logging.ERROR)
    kept = None
    if storage is not None:
        storage.parent.mkdir(parents=True, exist_ok=True)
        kept = JournalStorage(JournalFileBackend(str(storage)))
    pruner: Any = optuna.pruners.NopPruner()
    if method == "optuna":
        pruner = optuna.pruners.MedianPruner(n_startup_trials=_UNPRUNED)
    study = optuna.create_study(
        study_name=f"{model} by {method}",
        storage=kept,
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=pruner,
        direction="minimize",
        load_if_exists=True,
    )
    data = f"{_fingerprint(problem)}, {folds} folds, seed {seed}"
    known = study.user_attrs.get("data", data)
    if known != data:
        raise TuningError(
            f"{storage} holds a search of {model} by {method} on other data or folds: remove it, or name another file"
        )
    study.set_user_attr("data", data)
    # A resumed sampler must not draw again what it drew before.
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
    return study


def _fingerprint(problem: Problem) -> str:
    rows = pd.util.hash_pandas_object(problem.columns, index=False).to_numpy()
    digest = hashlib.sha256(rows.tobytes() + problem.target.tobytes() + repr(list(problem.columns)).encode())
    return digest.hexdigest()[:16]


def _finished(study: optuna.Study) -> list[Any]:
    return [trial for trial in study.trials if trial.state.is_finished() and "settings" in trial.user_attrs]


def _candidates(
    space: Space,
    method: Method,
    trials: int | None,
    seed: int,
    finished: list[Any],
    defaults: Settings,
) -> Iterator[Settings] | None:
    """Return the settings that are still to be tried, or None where Optuna proposes them."""
    if method == "optuna":
        return None
    known = [trial.user_attrs["settings"] for trial in finished]
    if method == "grid":
        drawn: Any = ParameterGrid(grid_of(space, trials))
    else:
        spread = {n: list(p.values) if isinstance(p, Choices) else p.distribution() for n, p in space.items()}
        drawn = ParameterSampler(spread, 10**6 if trials is None else trials, random_state=seed)
    first = [] if method == "grid" or not defaults else [defaults]
    every = chain(first, (whole(space, dict(some)) for some in drawn))
    return (settings for settings in every if settings not in known)


def grid_of(space: Space, trials: int | None) -> dict[str, list[Any]]:
    """Return a grid of at most ``trials`` points: settings get another value in turn as long as there is room.

    Examples
    --------
    >>> from offline.lab.spaces import Numbers
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


def _suggest(trial: optuna.Trial, space: Space) -> Settings:
    settings: Settings = {}
    for name, part in space.items():
        if isinstance(part, Choices):
            settings[name] = trial.suggest_categorical(name, part.values)
        elif part.whole:
            settings[name] = trial.suggest_int(name, int(part.low), int(part.high), log=part.log)
        else:
            settings[name] = trial.suggest_float(name, part.low, part.high, log=part.log)
    return settings


def _total(space: Space, method: Method, trials: int | None) -> int | None:
    if method == "grid":
        return len(ParameterGrid(grid_of(space, trials)))
    return trials


def _history(study: optuna.Study) -> pd.DataFrame:
    rows = []
    best = np.inf
    for at, trial in enumerate(_finished(study)):
        complete = trial.value is not None and trial.state.name == "COMPLETE"
        best = min(best, trial.value) if complete else best
        rows.append(
            {
                "trial": at + 1,
                "log_loss": trial.value if complete else np.nan,
                "auc": trial.user_attrs["auc"],
                "best": best,
                "seconds": trial.duration.total_seconds(),
                "state": trial.state.name.lower(),
                **trial.user_attrs["settings"],
            }
        )
    return pd.DataFrame(rows)


def _tell(
    on_progress: OnProgress | None, done: int, total: int | None, begun: float, end: float | None
) -> None:
    if on_progress is None:
        return
    if total is not None:
        on_progress(done, total)
    elif end is not None:
        on_progress(int(time.monotonic() - begun), int(end - begun))

"""The studies that searches are kept in: Optuna's, in a file, so that a search that was stopped goes on.

The file is a journal: every trial is appended when it is done. A process that is killed in the middle of one leaves
all trials before it; the one under way is lost.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from features.exceptions import IntentError
from offline.chapters.tuning.spaces import Choices, Settings, Space
from offline.exceptions import MissingExtra
from offline.problems.problem import Problem

if TYPE_CHECKING:
    import optuna

# Before Optuna gives a trial up for its first folds, it has seen so many.
_UNPRUNED: Final = 6
# Apart from the seed of the random search, whose first points it would otherwise draw again.
_OWN_SEED: Final = 1_000


# The file is locked for milliseconds; a lock that is older was left by a process that was killed.
_LOCKED_S: Final = 4


class TuningError(IntentError):
    """A search cannot be made or resumed."""


def open_study(
    problem: Problem, model: str, method: str, storage: Path | None, seed: int, folds: int
) -> optuna.Study:
    """Return a model's study by a method, with the trials of earlier runs where the file has them.

    Raises
    ------
    TuningError
        The file holds this search on other data or folds.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import optuna
            from optuna.storages import JournalStorage
            from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
    except ImportError:
        raise MissingExtra("Optuna") from None
    optuna.logging.set_verbosity(logging.ERROR)
    kept = None
    if storage is not None:
        storage.parent.mkdir(parents=True, exist_ok=True)
        lock = JournalFileSymlinkLock(str(storage), grace_period=_LOCKED_S)
        kept = JournalStorage(JournalFileBackend(str(storage), lock))
    pruner: Any = optuna.pruners.NopPruner()
    if method == "optuna":
        pruner = optuna.pruners.MedianPruner(n_startup_trials=_UNPRUNED)
    study = optuna.create_study(
        study_name=f"{model} by {method}",
        storage=kept,
        pruner=pruner,
        direction="minimize",
        load_if_exists=True,
    )
    data = f"{_fingerprint(problem)}, {folds} folds, seed {seed}"
    if study.user_attrs.get("data", data) != data:
        raise TuningError(
            f"{storage} holds a search of {model} by {method} on other data or folds: remove it, or name another file"
        )
    study.set_user_attr("data", data)
    # A resumed sampler must not draw again what it drew before.
    study.sampler = optuna.samplers.TPESampler(seed=_OWN_SEED + seed + len(study.trials))
    return study


def add_trial(
    study: optuna.Study, space: Space, settings: Settings, loss: float, about: dict[str, Any]
) -> None:
    """Append a trial whose settings Optuna did not propose."""
    from optuna.trial import create_trial

    known = {name: value for name, value in settings.items() if name in space}
    study.add_trial(
        create_trial(
            value=loss,
            params=known,
            distributions={name: _distribution(space[name]) for name in known},
            user_attrs=about | {"settings": settings},
        )
    )


def suggest(trial: optuna.Trial, space: Space) -> Settings:
    """Return what Optuna proposes."""
    settings: Settings = {}
    for name, part in space.items():
        if isinstance(part, Choices):
            settings[name] = trial.suggest_categorical(name, part.values)
        elif part.whole:
            settings[name] = trial.suggest_int(name, int(part.low), int(part.high), log=part.log)
        else:
            settings[name] = trial.suggest_float(name, part.low, part.high, log=part.log)
    return settings


def finished(study: optuna.Study) -> list[Any]:
    """Return the trials that came to an end, in order."""
    return [trial for trial in study.trials if trial.state.is_finished() and "settings" in trial.user_attrs]


def history(study: optuna.Study) -> pd.DataFrame:
    """Return the trials as a table, as `offline.chapters.tuning.tuning.Search` describes it."""
    rows = []
    best = np.inf
    for at, trial in enumerate(finished(study)):
        complete = trial.value is not None and trial.state.name == "COMPLETE"
        best = min(best, trial.value) if complete else best
        rows.append(
            {
                "trial": at + 1,
                "log_loss": trial.value if complete else np.nan,
                "auc": trial.user_attrs["auc"],
                "best": best,
                "seconds": trial.user_attrs["seconds"],
                "state": trial.state.name.lower(),
                **trial.user_attrs["settings"],
            }
        )
    return pd.DataFrame(rows)


def _distribution(part: Any) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(part, Choices):
        return CategoricalDistribution(part.values)
    if part.whole:
        return IntDistribution(int(part.low), int(part.high), log=part.log)
    return FloatDistribution(part.low, part.high, log=part.log)


def _fingerprint(problem: Problem) -> str:
    rows = pd.util.hash_pandas_object(problem.columns, index=False).to_numpy()
    digest = hashlib.sha256(rows.tobytes() + problem.target.tobytes() + repr(list(problem.columns)).encode())
    return digest.hexdigest()[:16]

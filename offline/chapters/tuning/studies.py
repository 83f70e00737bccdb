"""The studies that searches are kept in: Optuna's, in a file, so that a search that was stopped goes on.

The file is a journal: every trial is appended when it is done. A process that is killed in the middle of one leaves
all trials before it; the one under way is lost.
"""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd

from features.exceptions import IntentError
from offline.exceptions import MissingExtra
from offline.problems.problem import Problem

if TYPE_CHECKING:
    import optuna

Method = Literal["grid", "random", "optuna"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)

# Before Optuna gives a trial up for its first folds, it has seen so many.
_UNPRUNED: Final = 6
# The file is locked for milliseconds; a lock that is older was left by a process that was killed.
_LOCKED_S: Final = 4


class TuningError(IntentError):
    """A search cannot be made or resumed."""


class SavedStudy(NamedTuple):
    """A study in memory, and the one in the file that its trials are saved to.

    Trials run in memory. One that is stopped half-way leaves nothing in the file, so the next run begins with the same
    number and, by its seed, with the same settings.
    """

    study: optuna.Study
    file: optuna.Study | None

    def save(self, trial: optuna.trial.FrozenTrial) -> None:
        """Append a trial to the file."""
        if self.file is not None:
            self.file.add_trial(trial)


def open_study(
    problem: Problem, model: str, method: Method, storage: Path | None, seed: int, folds: int
) -> SavedStudy:
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
    except ImportError:
        raise MissingExtra("Optuna") from None
    optuna.logging.set_verbosity(logging.ERROR)
    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if method == "optuna":
        pruner = optuna.pruners.MedianPruner(n_startup_trials=_UNPRUNED)
    study = optuna.create_study(pruner=pruner, direction="minimize")
    if storage is None:
        return SavedStudy(study, None)
    name = f"{model} by {method}"
    file = optuna.create_study(
        study_name=name, storage=_journal(storage), direction="minimize", load_if_exists=True
    )
    data = f"{_fingerprint(problem)}, {folds} folds, seed {seed}"
    if file.user_attrs.get("data", data) != data:
        raise TuningError(
            f"{storage} holds a search of {name} on other data or folds: remove it, or name another file"
        )
    file.set_user_attr("data", data)
    study.add_trials(trial for trial in file.trials if trial.state.is_finished())
    return SavedStudy(study, file)


def sampler_for(
    method: Method, seed: int, number: int, grid: Mapping[str, Sequence[Any]]
) -> optuna.samplers.BaseSampler:
    """Return what proposes the settings of one trial.

    Each trial has a sampler of its own, seeded by the trial's number. So a resumed search has the same trials as one
    that was never stopped.

    Parameters
    ----------
    number
        Of the trial in its study, from 0.
    grid
        Values of each setting, for a grid search.
    """
    from optuna.samplers import GridSampler, RandomSampler, TPESampler

    if method == "grid":
        return GridSampler(grid, seed=seed)
    # The method takes part, because TPE begins with random points too.
    entropy = np.random.SeedSequence((seed, number, METHODS.index(method)))
    own = int(entropy.generate_state(1)[0])
    return RandomSampler(seed=own) if method == "random" else TPESampler(seed=own)


def finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Return the trials that came to an end, in order."""
    return [trial for trial in study.trials if trial.state.is_finished() and "settings" in trial.user_attrs]


def history(study: optuna.Study) -> pd.DataFrame:
    """Return the trials as a table, as `offline.chapters.tuning.search.Search` describes it."""
    rows = []
    best = float("inf")
    for at, trial in enumerate(finished(study)):
        loss = trial.value if trial.state.name == "COMPLETE" else None
        best = best if loss is None else min(best, loss)
        rows.append(
            {
                "trial": at + 1,
                "log_loss": np.nan if loss is None else loss,
                "auc": trial.user_attrs["auc"],
                "best": best,
                "seconds": trial.user_attrs["seconds"],
                "state": trial.state.name.lower(),
                **trial.user_attrs["settings"],
            }
        )
    return pd.DataFrame(rows)


def _journal(path: Path) -> optuna.storages.JournalStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

    path.parent.mkdir(parents=True, exist_ok=True)
    _check_lines(path)
    lock = JournalFileSymlinkLock(str(path), grace_period=_LOCKED_S)
    return JournalStorage(JournalFileBackend(str(path), lock))


def _check_lines(path: Path) -> None:
    """Cut off a last line that was not written to its end, as after a full disk or a lost machine.

    Raises
    ------
    TuningError
        A line before it is none of a journal.
    """
    if not path.exists():
        return
    good = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            whole = line.endswith(b"\n") and _is_record(line)
            if not whole and file.read(1):
                raise TuningError(
                    f"{path}: line {number} is none of a study: remove the file, or name another one"
                )
            if not whole:
                break
            good += len(line)
    if good < path.stat().st_size:
        with path.open("rb+") as file:
            file.truncate(good)


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _fingerprint(problem: Problem) -> str:
    rows = pd.util.hash_pandas_object(problem.columns, index=False).to_numpy()
    digest = hashlib.sha256(rows.tobytes() + problem.target.tobytes() + repr(list(problem.columns)).encode())
    return digest.hexdigest()[:16]

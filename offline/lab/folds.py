"""Divisions of a problem into rows to train and to test on, the same for every model."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, StratifiedShuffleSplit

from features.counts import counted
from features.durations import duration_words
from offline.exceptions import TrainingError
from offline.problems.problem import Problem

Rows = NDArray[np.intp]
Scheme = Literal["temporal", "stratified", "grouped"]

#: With times, the first fold is trained on this share of the rows at least.
FIRST: Final = 0.4


class Fold(NamedTuple):
    """Rows to train on and rows to test on."""

    train: Rows
    test: Rows


class Folds(NamedTuple):
    """All divisions of a problem.

    Attributes
    ----------
    scheme
        "temporal", "stratified", or "grouped" (stratified, with customers kept whole).
    how
        The scheme in words.
    """

    scheme: Scheme
    how: str
    folds: tuple[Fold, ...]


def make_folds(problem: Problem, count: int = 5, *, seed: int = 0) -> Folds:
    """Divide a problem: temporal with an embargo where it has times, else stratified, customers kept whole.

    Temporal folds grow: the rows after the first two fifths are cut into ``count`` blocks of equal size, and each
    block is predicted from what lies before it by more than the horizon, because later labels look into it.

    Raises
    ------
    TrainingError
        Some fold lacks one of the classes.
    """
    if problem.times is not None:
        found = _temporal(problem, count)
    elif problem.groups is not None:
        grouped = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
        folds = grouped.split(np.zeros(len(problem)), problem.target, problem.groups)
        how = f"{counted(count, 'fold')} at random with equal prevalence, rows of one customer kept together"
        found = Folds("grouped", how, tuple(Fold(*fold) for fold in folds))
    else:
        rarer = min(int(problem.target.sum()), int((~problem.target).sum()))
        if rarer < count:
            raise TrainingError(
                f"the rarer class has {counted(rarer, 'row')}, too few for {counted(count, 'fold')}: use more data"
            )
        plain = StratifiedKFold(count, shuffle=True, random_state=seed)
        folds = plain.split(np.zeros(len(problem)), problem.target)
        found = Folds(
            "stratified",
            f"{counted(count, 'fold')} at random with equal prevalence",
            tuple(Fold(*f) for f in folds),
        )
    _require_classes(problem, found)
    return found


def random_splits(problem: Problem, count: int = 5, *, share: float = 0.3, seed: int = 0) -> Folds:
    """Divide a problem at random ``count`` times into training and a test of the given share."""
    splits = StratifiedShuffleSplit(count, test_size=share, random_state=seed)
    folds = tuple(Fold(*fold) for fold in splits.split(np.zeros(len(problem)), problem.target))
    found = Folds(
        "stratified", f"{count} random {1 - share:.0%}/{share:.0%} splits with equal prevalence", folds
    )
    _require_classes(problem, found)
    return found


def _temporal(problem: Problem, count: int) -> Folds:
    assert problem.times is not None
    times = problem.times.to_numpy()
    ordered = np.sort(times)
    cuts = [ordered[int(len(ordered) * (FIRST + (1 - FIRST) * k / count))] for k in range(count)]
    embargo = problem.horizon.to_timedelta64()
    folds = []
    # Coarse times (months) may put several cuts at one moment.
    starts = list(dict.fromkeys(cuts))
    for begin, end in zip(starts, [*starts[1:], None], strict=True):
        train = np.flatnonzero(times < begin - embargo)
        test = np.flatnonzero((times >= begin) & (True if end is None else times < end))
        if len(train):
            folds.append(Fold(train, test))
    length = duration_words(round(problem.horizon.total_seconds() * 1000))
    if not folds:
        raise TrainingError(
            f"no row lies a horizon of {length} before the first test: use a longer log or a shorter --horizon"
        )
    less = f" less an embargo of {length}" if problem.horizon else ""
    blocks = "one block" if len(folds) == 1 else f"{len(folds)} blocks"
    how = f"{blocks} of time, each predicted from all that lies before it{less}"
    return Folds("temporal", how, tuple(folds))


def _require_classes(problem: Problem, folds: Folds) -> None:
    for number, fold in enumerate(folds.folds):
        for name, rows in zip(("training", "test"), fold, strict=True):
            happened = problem.target[rows]
            if happened.all() or not happened.any():
                raise TrainingError(
                    f"all {len(rows)} {name} rows of fold {number + 1} have the same target: use more data or "
                    "fewer folds"
                )

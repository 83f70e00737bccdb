"""One division of a problem into rows to learn from and rows to judge on, without a leak between them."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from features.durations import duration_words
from offline.exceptions import TrainingError
from offline.problems.problem import Problem

#: Share of the rows (with times: of the rows in order of time) that is judged on.
TEST_SHARE: Final = 0.3

#: Year of rows that are ordered by names of months only.
UNKNOWN_YEAR: Final = 1904

_FOLDS: Final = 10
_LEAST: Final = 2


class Holdout(NamedTuple):
    """Rows to learn from, rows to judge on, and in words how they were divided."""

    train: NDArray[np.intp]
    test: NDArray[np.intp]
    how: str


def hold_out(problem: Problem, *, share: float = TEST_SHARE, seed: int = 0) -> Holdout:
    """Divide a problem: by time with an embargo where it has times, else at random, customers kept whole.

    Training ends one horizon before the test begins, so that no label of it looks into the test.

    Raises
    ------
    TrainingError
        A class has fewer than two rows.
    """
    rarer = min(int(problem.target.sum()), int((~problem.target).sum()))
    if rarer < _LEAST:
        raise TrainingError(
            f"of {len(problem):,} rows {int(problem.target.sum()):,} are positive: at least two rows of either class "
            "are needed, use more data"
        )
    rows = np.arange(len(problem))
    if problem.times is not None:
        times = problem.times
        order = np.argsort(times.to_numpy(), kind="stable")
        begin = times.iloc[order[int((1 - share) * len(order))]]
        test = rows[(times >= begin).to_numpy()]
        train = rows[(times < begin - problem.horizon).to_numpy()]
        if len(train):
            embargo = f" less an embargo of {duration_words(_ms(problem.horizon))}" if problem.horizon else ""
            return Holdout(
                train, test, f"rows before {_moment(begin, times)}{embargo} against rows from then on"
            )
    if problem.groups is not None:
        folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed)
        parts = [test for _, test in folds.split(rows, problem.target, problem.groups)]
        test = np.sort(np.concatenate(parts[: round(share * _FOLDS)]))
        return Holdout(np.setdiff1d(rows, test), test, "at random, rows of one customer kept together")
    train, test = train_test_split(rows, test_size=share, stratify=problem.target, random_state=seed)
    return Holdout(np.sort(train), np.sort(test), "at random, with equal prevalence")


def _moment(begin: pd.Timestamp, times: pd.Series) -> str:
    # Tables that name months and no year are dated in some year, which is nobody's business.
    if (times.dt.year == UNKNOWN_YEAR).all():
        return f"{begin:%B}"
    return f"{begin:%Y-%m-%d}" if begin == begin.normalize() else f"{begin:%Y-%m-%d %H:%M}"


def _ms(length: pd.Timedelta) -> int:
    seconds: float = length.total_seconds()
    return round(seconds * 1000)

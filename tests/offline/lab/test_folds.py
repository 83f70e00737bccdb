"""Folds: nothing of the test is in training, in time and in customers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from offline.exceptions import TrainingError
from offline.lab.folds import make_folds, random_splits
from offline.problems.problem import Problem


def problem(rows: int = 400, *, times: bool = False, groups: bool = False) -> Problem:
    rng = np.random.default_rng(0)
    columns = pd.DataFrame({"x": rng.normal(size=rows)})
    when = pd.Series(pd.date_range("2025-01-01", periods=rows, freq="h", tz="UTC")) if times else None
    return Problem(
        "rows",
        columns,
        {"x": "numeric"},
        rng.random(rows) < 0.3,
        "bought",
        times=when,
        groups=np.arange(rows) // 4 if groups else None,
        horizon=pd.Timedelta("5h"),
    )


def test_training_ends_a_horizon_before_each_test_begins() -> None:
    some = problem(times=True)
    folds = make_folds(some, 4)
    assert folds.scheme == "temporal"
    assert some.times is not None
    for fold in folds.folds:
        gap = some.times.iloc[fold.test].min() - some.times.iloc[fold.train].max()
        assert gap > some.horizon


def test_temporal_tests_cover_the_last_three_fifths_once() -> None:
    tested = np.concatenate([fold.test for fold in make_folds(problem(times=True), 4).folds])
    assert sorted(tested) == list(range(160, 400))


def test_a_customer_is_never_on_both_sides() -> None:
    some = problem(groups=True)
    assert some.groups is not None
    for fold in make_folds(some).folds:
        assert not set(some.groups[fold.train]) & set(some.groups[fold.test])


def test_stratified_folds_have_the_prevalence_of_all_rows() -> None:
    some = problem()
    for fold in (*make_folds(some).folds, *random_splits(some).folds):
        assert abs(some.target[fold.test].mean() - some.prevalence) < 0.02


def test_random_splits_have_the_share_that_was_asked_for() -> None:
    splits = random_splits(problem(), 3, share=0.3)
    assert [len(fold.test) for fold in splits.folds] == [120] * 3
    assert len({tuple(fold.test) for fold in splits.folds}) == 3


def test_too_few_rows_of_a_class_are_refused() -> None:
    some = problem(20)
    some.target[:] = False
    some.target[:3] = True
    with pytest.raises(TrainingError, match="rarer class has 3 rows"):
        make_folds(some, 5)


def test_times_that_are_all_alike_are_refused() -> None:
    some = problem(times=True)
    assert some.times is not None
    some.times[:] = some.times.iloc[0]
    with pytest.raises(TrainingError, match="longer log or a shorter --horizon"):
        make_folds(some)

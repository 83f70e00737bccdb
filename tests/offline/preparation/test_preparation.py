"""Preparation: learned from training rows only, robust, and with honest probabilities."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

from offline.chapters.preparation.section import preparation_section
from offline.preparation import RobustClip, Unskew, class_weights, correct_prior, preparation, resample
from offline.problems import problem_from_table
from offline.problems.duplicates import drop_duplicates, find_duplicates
from offline.problems.holdout import hold_out
from offline.problems.problem import Problem
from tests.data_sets import data_set


@parametrize_with_checks([Unskew(), RobustClip()])
def test_transformers_keep_the_contract_of_scikit_learn(estimator: object, check: object) -> None:
    check(estimator)  # type: ignore[operator]


def test_an_outlier_is_pulled_to_the_fence_and_its_neighbours_stay() -> None:
    values = np.append(np.linspace(0, 1, 999), 1e9)[:, None]
    clipped = RobustClip().fit_transform(values)
    assert np.array_equal(clipped[:-1], values[:-1])
    assert clipped[-1, 0] < 10


def test_a_second_mode_is_no_outlier() -> None:
    values = np.append(np.random.default_rng(0).normal(0, 1, 900), np.full(100, 1e6))[:, None]
    clip = RobustClip().fit(values)
    assert clip.outliers_[0] == 100
    assert clip.clipped_[0] == 0
    assert np.array_equal(clip.transform(values), values)


def test_a_column_of_mostly_zeros_keeps_what_is_not_zero() -> None:
    rng = np.random.default_rng(0)
    values = np.where(rng.random(5_000) < 0.8, 0.0, rng.normal(10, 1, 5_000))[:, None]
    assert RobustClip().fit(values).clipped_[0] == 0


def test_a_skewed_column_becomes_more_symmetric_and_a_symmetric_one_stays() -> None:
    rng = np.random.default_rng(0)
    columns = np.column_stack(
        [rng.lognormal(3, 1, 4_000), rng.normal(0, 1, 4_000), -rng.lognormal(0, 1, 4_000)]
    )
    unskew = Unskew().fit(columns)
    assert unskew.methods_ == ["log1p", "none", "yeo-johnson"]
    assert np.all(np.abs(unskew.skewness_after_) < 0.3)


def test_nothing_of_other_rows_gets_into_the_preparation() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.lognormal(0, 1, 200), "c": pd.Categorical(rng.choice(["a", "b"], 200))})
    kinds = {"x": "numeric", "c": "categorical"}
    prepared = preparation(kinds).fit(frame[:100])  # type: ignore[arg-type]
    before = prepared.transform(frame[:100])
    other = frame[100:].assign(x=1e9)
    prepared.transform(other)
    assert np.array_equal(prepared.transform(frame[:100]), before)


def test_missing_and_unseen_values_are_prepared() -> None:
    frame = pd.DataFrame(
        {
            "x": [1.0, np.nan, 3.0, 4.0] * 20,
            "c": pd.Categorical(["a", "b", None, "a"] * 20),
            "b": [True, False, True, True] * 20,
        }
    )
    prepared = preparation({"x": "numeric", "c": "categorical", "b": "boolean"}).fit(frame)
    names = list(prepared.get_feature_names_out())
    assert "missingindicator_x" in names
    new = pd.DataFrame({"x": [np.nan], "c": pd.Categorical(["new"]), "b": [False]})
    row = dict(zip(names, prepared.transform(new)[0], strict=True))
    assert row["missingindicator_x"] == 1
    assert np.isfinite(list(row.values())).all()


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.floats(0.0, 1.0))
def test_prior_correction_is_undone_by_the_reverse(
    trained: float, natural: float, probability: float
) -> None:
    there = correct_prior(np.array([probability]), trained, natural)
    assert correct_prior(there, natural, trained)[0] == pytest.approx(probability, abs=1e-9)


def test_balanced_models_are_honest_after_prior_correction() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (60_000, 1))
    target = rng.random(60_000) < 1 / (1 + np.exp(4 - 1.5 * x[:, 0]))
    train, test = slice(0, 40_000), slice(40_000, None)
    for how in ("under", "over"):
        rows = resample(target[train], how)  # type: ignore[arg-type]
        assert target[train][rows].mean() == pytest.approx(0.5, abs=0.01)
        guess = LogisticRegression().fit(x[train][rows], target[train][rows]).predict_proba(x[test])[:, 1]
        assert guess.mean() > 3 * target[test].mean()
        corrected = correct_prior(guess, float(target[train][rows].mean()), float(target[train].mean()))
        assert corrected.mean() == pytest.approx(target[test].mean(), rel=0.1)


def test_class_weights_give_both_classes_the_same_total() -> None:
    target = np.array([True] * 3 + [False] * 17)
    weights = class_weights(target)
    assert weights[True] * 3 == pytest.approx(weights[False] * 17)
    assert weights[True] * 3 + weights[False] * 17 == pytest.approx(20)


def test_copies_are_found_and_contradictions_are_told_from_them() -> None:
    columns = pd.DataFrame({"x": [1.0, 1.0, 1.0, 2.0]})
    problem = Problem("t", columns, {"x": "numeric"}, np.array([True, True, False, False]), "y")
    found = find_duplicates(problem)
    assert found.copies.tolist() == [False, True, False, False]
    assert found.contradictions == 1
    assert len(drop_duplicates(problem)) == 3


def test_the_section_tells_what_was_changed_on_online_shoppers() -> None:
    problem = problem_from_table(data_set("online_shoppers_intention.csv"))
    section = preparation_section(problem, hold_out(problem), most_rows=3_000)
    assert section.figures["duplicates"] == 125
    assert section.figures["outliers_after"] < section.figures["outliers_before"] / 4
    balance = section.figures["balance"].set_index("balancing")
    assert balance.loc["class weights", "mean probability"] > 0.25
    assert balance.loc["class weights, prior corrected", "mean probability"] == pytest.approx(0.155, abs=0.02)
    assert [part.title for part in section.parts][:2] == [
        "What is done, step by step",
        "What was changed: numbers",
    ]
    steps = section.figures["steps"].set_index("step")
    assert steps.loc["standardisation", "columns"] == 10
    assert steps.loc["missing values", "columns"] == 0
    assert steps.loc["duplicates", "how much"] == "125 rows"


def test_the_steps_count_what_is_missing_and_what_is_constant() -> None:
    rng = np.random.default_rng(0)
    columns = pd.DataFrame({"x": rng.lognormal(0, 1, 400), "same": np.ones(400), "y": rng.normal(size=400)})
    columns.loc[:39, "y"] = np.nan
    problem = Problem("t", columns, dict.fromkeys(columns, "numeric"), rng.random(400) < 0.4, "bought")
    section = preparation_section(problem, hold_out(problem))
    steps = section.figures["steps"].set_index("step")
    assert steps.loc["constant", "columns"] == 1
    assert steps.loc["missing values", "how much"] == "40 values"
    assert steps.loc["result", "columns"] == 4
    assert "same" not in section.parts[1].frame["column"].tolist()  # type: ignore[union-attr]


def test_a_problem_of_leaks_only_has_no_trial_of_balances() -> None:
    target = np.arange(100) % 3 == 0
    columns = pd.DataFrame({"told": target * 1.0})
    problem = Problem("t", columns, {"told": "numeric"}, target, "bought", leaks={"told": "as told"})
    section = preparation_section(problem, hold_out(problem))
    assert section.figures["balance"] is None


def test_a_power_that_overflows_is_no_candidate_and_warns_of_nothing() -> None:
    # Nearly constant and large: the likeliest power is so extreme that the third moment overflows.
    rng = np.random.default_rng(0)
    column = 34_560_000 - rng.choice([0.0, 1.0, 5e6], 400, p=[0.9, 0.09, 0.01])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = Unskew().fit(column[:, None])
    assert np.isfinite(fitted.transform(column[:, None])).all()

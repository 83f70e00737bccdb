"""The recursive-Newton logistic regression."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from river import checks
from sklearn.linear_model import LogisticRegression

from stream.learning.model.newton import NewtonLogisticRegression
from tests.stream.learning.lessons import batches


def _checks() -> list[Callable[[NewtonLogisticRegression], None]]:
    model = NewtonLogisticRegression()
    skipped = model._unit_test_skips()
    return [
        check
        for check in checks.yield_checks(model)
        if getattr(check, "__name__", "") not in skipped
        and getattr(getattr(check, "func", None), "__name__", "") not in skipped
    ]


@pytest.mark.parametrize("check", _checks())
def test_river_takes_it_for_one_of_its_own(check: Callable[[NewtonLogisticRegression], None]) -> None:
    check(NewtonLogisticRegression())


def drawn(count: int, seed: int, beta: tuple[float, ...]) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    chance = np.random.default_rng(seed)
    rows = chance.normal(3.0, 2.0, size=(count, len(beta) - 1))
    logit = rows @ np.array(beta[1:]) + beta[0]
    return rows, (chance.random(count) < 1 / (1 + np.exp(-logit))).astype(np.uint8)


def taught(
    model: NewtonLogisticRegression, rows: NDArray[np.float64], labels: NDArray[np.uint8], size: int = 256
) -> NewtonLogisticRegression:
    for part in batches(len(rows), size):
        model.learn_many(pd.DataFrame(rows[part], columns=list("abc")[: rows.shape[1]]), labels[part])
    return model


def probabilities(model: NewtonLogisticRegression, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return model.predict_proba_many(pd.DataFrame(rows, columns=list("abc")[: rows.shape[1]]))[True].to_numpy()


def test_without_forgetting_it_finds_what_a_batch_fit_finds() -> None:
    rows, labels = drawn(20_000, 1, (-2.0, 0.5, -0.3, 0.1))
    online = probabilities(taught(NewtonLogisticRegression(half_life=1e12), rows, labels), rows)
    fitted = LogisticRegression(C=np.inf).fit(rows, labels).predict_proba(rows)[:, 1]
    assert np.abs(online - fitted).max() < 0.01


def test_it_follows_a_change_as_fast_as_it_forgets() -> None:
    before, after = drawn(10_000, 1, (-2.0, 0.5, 0.0)), drawn(4_000, 2, (-2.0, 0.0, 0.5))
    truth = 1 / (1 + np.exp(2.0 - after[0][:, 1] / 2))
    errors = [
        np.abs(
            probabilities(taught(taught(NewtonLogisticRegression(h), *before), *after), after[0]) - truth
        ).mean()
        for h in (1_000.0, 10_000.0)
    ]
    assert errors[0] < 0.05 < errors[1]


def test_what_is_forgotten_gives_way_to_the_offset() -> None:
    rows, labels = drawn(5_000, 1, (1.0, -0.5, 0.5))
    model = taught(NewtonLogisticRegression(1_000.0, offset="a"), rows, labels)
    offset_alone = 1 / (1 + np.exp(-rows[:, 0]))
    assert np.abs(probabilities(model, rows) - offset_alone).mean() > 0.1
    model.learn_rows(rows[:1], labels[:1], np.zeros(1), elapsed=1e6)
    model.learn_rows(rows[:1], labels[:1], np.full(1, 1e-9), elapsed=0.0)
    assert np.abs(probabilities(model, rows) - offset_alone).max() < 1e-6


def test_it_survives_an_offset_that_is_far_off() -> None:
    chance = np.random.default_rng(1)
    rows = chance.normal(-9.0, 1.0, size=(2_000, 1))
    labels = (chance.random(2_000) < 0.5).astype(np.uint8)
    model = taught(NewtonLogisticRegression(1e6, intercept_deviation=10.0, offset="a"), rows, labels)
    assert abs(probabilities(model, rows).mean() - 0.5) < 0.05


def test_a_rare_input_does_not_overrule_the_others() -> None:
    rows, labels = drawn(5_000, 1, (-2.0, 0.5, 0.0))
    rows[:, 1] = 0.0
    rows[2_500, 1], labels[2_500] = 1.0, 0
    effects = []
    for least in (1e-3, 1.0):
        model = taught(NewtonLogisticRegression(1e6, deviation=0.3, least_scale=least), rows, labels)
        p = probabilities(model, np.array([[1.0, 0.0], [1.0, 1.0]]))
        effects.append(abs(float(np.diff(np.log(p / (1 - p)))[0])))
    assert effects[1] < 0.2 < effects[0]


def test_two_examples_of_weight_one_are_one_of_weight_two() -> None:
    rows, labels = drawn(300, 1, (-1.0, 0.5, 0.1))
    twice, heavy = NewtonLogisticRegression(), NewtonLogisticRegression()
    for model in (twice, heavy):
        model.expect("ab")
    twice.learn_rows(np.repeat(rows, 2, axis=0), np.repeat(labels, 2), np.ones(600), elapsed=1.0)
    heavy.learn_rows(rows, labels, np.full(300, 2.0), elapsed=1.0)
    assert np.allclose(probabilities(twice, rows), probabilities(heavy, rows), atol=1e-9)


def test_means_that_move_change_no_prediction_by_themselves() -> None:
    rows, labels = drawn(2_000, 1, (-1.0, 0.5, 0.1))
    shifted = np.concatenate([rows[:1_000], rows[1_000:] + [4.0, 0.0]])
    model = taught(NewtonLogisticRegression(1e9), rows[:1_000], labels[:1_000], 1_000)
    before = probabilities(model, rows)
    # the second thousand moves means and deviations, and by its tiny weight little else
    for _ in range(2):
        model.learn_rows(shifted[1_000:], labels[1_000:], np.full(1_000, 0.001), elapsed=0.0)
    assert np.abs(probabilities(model, rows) - before).max() < 0.01

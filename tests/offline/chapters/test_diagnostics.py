"""The model in detail: counts that add up, groups judged on their own, effects that add up to the row's log-odds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from offline.chapters.insight.diagnostics import (
    LEAST_EXAMPLES,
    confusion,
    confusion_matrix,
    groups_look,
    groups_of_table,
    judged,
    share_interval,
)
from offline.chapters.insight.drivers import explain
from offline.chapters.insight.effect_pictures import effects_by_value, example_rows, steps_of, waterfalls
from offline.chapters.insight.learning_curve import learning_curve, part_of
from offline.chapters.insight.model import InsightModel, fit_insight_model, logits
from offline.problems.holdout import hold_out
from offline.problems.problem import Problem
from tests.offline.chapters.test_insight import problem


@pytest.fixture(scope="module")
def model() -> InsightModel:
    made = problem()
    return fit_insight_model(made, hold_out(made), quick=True)


def test_the_confusion_matrix_is_that_of_precision_and_recall(model: InsightModel) -> None:
    found = confusion(model).figures["confusion"]
    counts = found["counts"]
    hits = counts.loc["flagged", "happened"]
    assert hits / counts.loc["flagged", "all"] == pytest.approx(model.metrics["precision"])
    assert hits / counts.loc["all", "happened"] == pytest.approx(model.metrics["recall"])
    assert counts.loc["all", "all"] == len(model.test)
    empty = confusion_matrix(np.array([True, False]), np.array([0.1, 0.2]), 0.5)
    assert empty.loc["flagged"].tolist() == [0, 0, 0]


def test_the_interval_of_a_share_counts_customers_and_not_their_rows() -> None:
    happened = np.repeat(np.arange(100) % 4 == 0, 10)
    apart = share_interval(happened, np.arange(1_000))
    alike = share_interval(happened, np.repeat(np.arange(100), 10))
    assert apart == pytest.approx((0.224, 0.278), abs=0.001)  # Wilson, 250 of 1,000
    assert alike == pytest.approx((0.175, 0.343), abs=0.001)  # Wilson, 25 of 100


def test_groups_that_are_small_or_of_one_kind_are_not_judged() -> None:
    rng = np.random.default_rng(0)
    names = np.repeat(["large", "small", "never"], [1_000, LEAST_EXAMPLES - 1, 500])
    target = (rng.random(len(names)) < 0.4) & (names != "never")
    test = Problem("made", pd.DataFrame({"x": target * 1.0}), {"x": "numeric"}, target, "bought")
    frame = judged(test, rng.random(len(names)), pd.Series(names, dtype=object))
    assert frame["group"].tolist() == ["large"]
    assert frame["auc low"].iloc[0] < 0.5 < frame["auc high"].iloc[0]


def test_only_groups_that_are_off_by_more_than_chance_are_told(model: InsightModel) -> None:
    odd = np.arange(len(model.test)) % 2
    names = pd.Series(np.where(odd, "odd", "even"), dtype=object)
    assert not groups_look(model, {"parity": names}).details
    p = model.probabilities.copy()
    p[odd == 1] *= 0.5
    skewed = InsightModel(**{**model.__dict__, "probabilities": p})
    (sentence,) = groups_look(skewed, {"parity": names}).details
    assert sentence.startswith(
        "The model promises too little, by more than chance, in odd (parity; predicted"
    )
    assert "even" not in sentence


def test_a_tables_groups_are_its_categories(model: InsightModel) -> None:
    assert list(groups_of_table(model, explain(model).ranking)) == ["colour"]


def test_the_steps_of_a_waterfall_add_up_to_the_log_odds(model: InsightModel) -> None:
    drivers = explain(model)
    examples = example_rows(drivers, model.probabilities)
    assert model.probabilities[drivers.rows[examples["likeliest"]]] == model.probabilities.max()
    for row in examples.values():
        steps = steps_of(drivers, row, log=False)
        assert steps["effect"][:-1].sum() == pytest.approx(steps["effect"].iloc[-1])
        assert steps["effect"].iloc[-1] == pytest.approx(
            logits(model.booster, drivers.columns)[row], abs=1e-6
        )
    assert len(waterfalls(model, drivers, log=False).figure.data) == len(examples)


def test_the_effect_of_a_value_rises_where_the_chance_does(model: InsightModel) -> None:
    figure = effects_by_value(model, explain(model), log=False).figure
    first = figure.data[0]  # of x, the most important column
    assert np.corrcoef(first.x, first.y)[0, 1] > 0.8


def test_more_rows_help_where_there_is_something_to_learn() -> None:
    made = problem(4_000, seed=3)
    look = learning_curve(made, hold_out(made))
    frame = look.figures["learning_curve"]
    assert frame["rows"].is_monotonic_increasing
    assert frame["rows"].iloc[-1] == len(hold_out(made).train)
    assert frame["auc"].iloc[-1] > frame["auc"].iloc[0] + 0.01
    assert ((frame["low"] < frame["auc"]) & (frame["auc"] < frame["high"])).all()


def test_smaller_parts_lie_in_larger_ones_and_keep_customers_whole() -> None:
    made = problem(1_000)
    groups = np.arange(1_000) // 4
    made = Problem("made", made.columns, made.kinds, made.target, "bought", groups=groups)
    rows = np.arange(800)
    small, large = (part_of(made, rows, share, 0) for share in (0.1, 0.5))
    assert set(small) < set(large)
    assert len(large) == 400
    assert (np.bincount(groups[large])[np.unique(groups[large])] == 4).all()

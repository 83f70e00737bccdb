"""All models behind one interface, and compared on the same folds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from offline.chapters.comparison.section import section
from offline.lab.comparison import compare
from offline.lab.folds import make_folds
from offline.lab.models import MODELS, ModelError, choose_models, fit, probabilities
from offline.lab.sampling import sampled
from offline.problems.problem import Problem

FAST = ["dummy", "rule", "logistic", "random_forest", "lightgbm", "xgboost", "svm"]


def shop(rows: int = 600, seed: int = 0) -> Problem:
    """Return visits with numbers, a category, a yes or no, and missing values."""
    rng = np.random.default_rng(seed)
    pages = rng.poisson(6, rows).astype(float)
    channel = rng.choice(["web", "app", "store"], rows)
    member = rng.random(rows) < 0.4
    happened = rng.random(rows) < 1 / (1 + np.exp(3.2 - 0.35 * pages - 1.2 * (channel == "app")))
    seconds = rng.lognormal(4, 1, rows)
    seconds[::17] = np.nan
    columns = pd.DataFrame(
        {"pages": pages, "seconds": seconds, "channel": pd.Categorical(channel), "member": member}
    )
    kinds = {"pages": "numeric", "seconds": "numeric", "channel": "categorical", "member": "boolean"}
    return Problem("shop", columns, kinds, happened, "bought", "visit")  # type: ignore[arg-type]


@pytest.mark.parametrize("key", list(MODELS))
def test_every_model_gives_probabilities_that_repeat_and_take_what_was_never_seen(key: str) -> None:
    problem = shop()
    model = fit(MODELS[key].make(problem.kinds, 0, True), problem)
    p = probabilities(model, problem.columns)
    assert p.shape == (600,)
    assert ((p >= 0) & (p <= 1)).all()
    assert abs(p.mean() - problem.prevalence) < 0.06
    again = fit(MODELS[key].make(problem.kinds, 0, True), problem)
    np.testing.assert_allclose(probabilities(again, problem.columns), p, atol=1e-5)
    some = problem.columns.iloc[:5].copy()
    some["channel"] = pd.Categorical(["kiosk"] * 5, categories=["app", "kiosk", "store", "web"])
    some["pages"] = [1e6, -5.0, np.nan, 0.0, 3.5]
    if (
        key != "xgboost"
    ):  # XGBoost refuses categories that it was not told of, which one table's splits never have
        assert np.isfinite(probabilities(model, some)).all()


@pytest.mark.parametrize("key", [key for key in MODELS if key != "dummy"])
def test_every_model_predicts_a_row_as_it_predicts_many(key: str) -> None:
    problem = shop()
    model = fit(MODELS[key].make(problem.kinds, 0, True), problem)
    together = probabilities(model, problem.columns.iloc[:20])
    alone = np.concatenate([probabilities(model, problem.columns.iloc[at : at + 1]) for at in range(20)])
    np.testing.assert_allclose(alone, together, atol=1e-6)


def test_a_model_that_is_not_there_is_refused_with_all_that_are() -> None:
    with pytest.raises(ModelError, match="no model 'forest': the models are dummy, rule"):
        choose_models(["forest"])


def test_all_models_are_judged_on_the_same_rows_and_the_simple_ones_lose() -> None:
    problem = shop(1500)
    folds = make_folds(problem, 3)
    told: list[tuple[int, int]] = []
    found = compare(
        problem, choose_models(FAST), folds, quick=True, on_progress=lambda *step: told.append(step)
    )
    assert list(found.models) == FAST
    assert {len(found.pooled(key)) for key in FAST} == {1500}
    assert found.models["dummy"].figures["auc"] == 0.5
    assert found.best not in ("dummy", "rule")
    assert found.tests["dummy"]["auc"].low > 0
    assert set(found.tests) == set(FAST) - {found.best}
    assert told[-1] == (21_000, 21_000)
    assert len(found.rule) == 3 and found.rule[0].startswith("If pages")


def test_a_rule_can_be_read_and_says_what_its_tree_does() -> None:
    problem = shop(1500)
    rule = fit(MODELS["rule"].make(problem.kinds, 0, False), problem)
    first, second, rest = rule.lines_
    assert second.startswith("else, if ") and rest.startswith("else: ")
    name, sign, number = first.removeprefix("If ").split(":")[0].split(" ")
    values = problem.columns[name]
    asked = values > float(number) if sign == ">" else values <= float(number)
    assert f"{problem.target[asked].mean():.1%}" == first.split(": ")[1]


def test_intervals_of_temporal_folds_come_from_the_customers() -> None:
    problem = shop(1200)
    when = pd.Series(pd.date_range("2025-01-01", periods=1200, freq="h", tz="UTC"))
    problem = replace(problem, times=when, groups=np.arange(1200) // 3, horizon=pd.Timedelta("6h"))
    found = compare(problem, choose_models(["logistic", "lightgbm"]), make_folds(problem, 3), quick=True)
    figures = found.models["logistic"].figures
    assert figures["customers"] == 240
    assert figures["ci"]["auc"][0] < figures["auc"] < figures["ci"]["auc"][1]


def test_the_section_names_the_best_model_and_what_leaks() -> None:
    problem = shop(900)
    leaky = replace(
        problem,
        columns=problem.columns.assign(paid=np.where(problem.target, 1.0, 0.0)),
        kinds={**problem.kinds, "paid": "numeric"},
        leaks={"paid": "it is the target"},
    )
    folds = make_folds(problem, 3)
    models = choose_models(["dummy", "rule", "logistic"])
    found = section(compare(problem, models, folds), compare(leaky, models, folds))
    assert found.summary[0].startswith("Logistic regression ranks best")
    assert any("without paid" in sentence for sentence in found.summary)
    assert found.figures["with_leaks"]["models"]["logistic"]["auc"] > 0.99
    titles = [part.title for part in found.parts]
    assert {"ROC curves", "Precision and recall", "Reliability", "Cumulative gain", "Lift"} <= set(titles)


def test_a_sample_keeps_customers_whole() -> None:
    problem = replace(shop(900), groups=np.arange(900) // 3)
    some = sampled(problem, 300)
    assert 200 < len(some) < 400
    assert some.groups is not None
    assert (np.unique(some.groups, return_counts=True)[1] == 3).all()

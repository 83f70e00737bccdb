"""One rule for what is worth it, and p-values that can reach it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from offline.corrections import holm
from offline.lab.comparison import Comparison, judge
from offline.lab.figures import REPLICATES, Difference, figures
from offline.lab.folds import Fold, Folds, make_folds
from offline.lab.models import MODELS
from offline.lab.worthwhile import WORTHWHILE, changes, leads, main_model
from offline.problems.problem import Problem
from tests.offline.lab.paired import bootstrap_test


def compared(noise: dict[str, float], rows: int = 1_500) -> Comparison:
    """Return models that know the truth, each blurred by so much noise."""
    rng = np.random.default_rng(3)
    logit = rng.normal(-1, 1.5, rows)
    happened = rng.random(rows) < 1 / (1 + np.exp(-logit))
    columns = pd.DataFrame({"x": logit})
    problem = Problem("rows", columns, {"x": "numeric"}, happened, "bought")
    folds = Folds("temporal", "one test", (Fold(np.arange(0), np.arange(rows)),))
    blur = rng.normal(size=rows)
    tested = {key: [1 / (1 + np.exp(-(logit + by * blur)))] for key, by in noise.items()}
    return judge(problem, folds, {key: MODELS[key].title for key in noise}, tested)


def test_a_clear_lead_over_seven_models_stays_below_five_per_cent_when_corrected() -> None:
    noise = dict.fromkeys(MODELS, 3.0) | {"network": 0.0}
    found = leads(compared(noise))
    assert len(found) == 7
    assert max(lead.p for lead in found.values()) < 0.05
    assert {lead.verdict for lead in found.values()} == {"gain"}


def test_the_least_p_value_is_small_enough_for_forty_comparisons() -> None:
    target = np.arange(400) % 2 == 0
    found = bootstrap_test(target, np.where(target, 0.9, 0.1), np.full(400, 0.5))
    assert found["auc"].p == pytest.approx(2 / (REPLICATES + 1))
    assert holm([found["auc"].p] * 40)[0] < 0.05


@pytest.mark.parametrize(
    ("gap", "verdict"),
    [
        (Difference(0.02, 0.01, 0.03, 0.001), "gain"),
        (Difference(-0.02, -0.03, -0.01, 0.001), "loss"),
        (Difference(0.003, 0.001, 0.008, 0.001), "same"),  # sure, and too small
        (Difference(0.001, -0.003, 0.004, 0.6), "same"),  # not sure, and surely small
        (Difference(0.02, -0.01, 0.05, 0.2), "unclear"),
    ],
)
def test_a_change_is_worth_it_if_it_is_large_enough_and_more_than_chance(
    gap: Difference, verdict: str
) -> None:
    assert changes({"a": gap})["a"].verdict == verdict


def test_a_p_value_that_is_small_by_itself_is_not_when_many_were_tried() -> None:
    gap = Difference(0.02, 0.001, 0.04, 0.03)
    assert changes({"a": gap})["a"].verdict == "gain"
    assert changes(dict.fromkeys("abc", gap))["a"].verdict == "unclear"


def test_the_usual_model_stays_unless_another_one_is_worth_it() -> None:
    slight = compared({"lightgbm": 0.3, "svm": 0.25})
    assert slight.best == "svm"
    assert slight.tests["lightgbm"]["auc"].value < WORTHWHILE
    assert main_model(slight) == "lightgbm"
    assert main_model(compared({"lightgbm": 3.0, "svm": 0.0})) == "svm"
    assert main_model(compared({"logistic": 1.0, "rule": 3.0})) == "logistic"


def test_folds_at_random_have_the_intervals_of_the_bootstrap() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=900)
    happened = rng.random(900) < 1 / (1 + np.exp(1 - x))
    problem = Problem("rows", pd.DataFrame({"x": x}), {"x": "numeric"}, happened, "bought")
    folds = make_folds(problem, 3)
    p = 1 / (1 + np.exp(1 - x))
    found = judge(problem, folds, {"m": "m"}, {"m": [p[fold.test] for fold in folds.folds]}).models["m"]
    by_fold = [figures(happened[fold.test], p[fold.test])["auc"] for fold in folds.folds]
    assert found.figures["auc"] == pytest.approx(np.mean(by_fold))
    # With three folds, a t-interval over folds would be several times as wide or as narrow as that of the rows.
    low, high = found.figures["ci"]["auc"]
    whole = figures(happened, p, replicates=REPLICATES)["ci"]["auc"]
    assert high - low == pytest.approx(whole[1] - whole[0], rel=0.15)

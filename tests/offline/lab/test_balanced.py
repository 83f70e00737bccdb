"""Balancing: chosen for any model, probabilities stay honest, and only training rows are touched."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from offline.chapters import workspace
from offline.chapters.comparison.section import compare_models
from offline.chapters.workspace import LabOptions, Workspace
from offline.lab.balanced import BALANCES, Balance, PriorCorrected, fit_balanced
from offline.lab.comparison import compare
from offline.lab.folds import make_folds
from offline.lab.models import MODELS, choose_models, probabilities
from offline.problems import TableOptions
from offline.problems.problem import Problem
from tests.offline.lab.problems import visits, write_csv

WAYS = ("weights", "under", "over")


def rare(rows: int = 4_000, seed: int = 0) -> Problem:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows)
    happened = rng.random(rows) < 1 / (1 + np.exp(3.2 - 1.2 * x))
    return Problem("rows", pd.DataFrame({"x": x}), {"x": "numeric"}, happened, "bought")


@pytest.mark.parametrize("balance", WAYS)
@pytest.mark.parametrize("key", ["rule", "logistic", "random_forest", "lightgbm", "svm", "network"])
def test_a_balanced_model_keeps_the_natural_prevalence(key: str, balance: Balance) -> None:
    problem = rare()
    fitted = fit_balanced(MODELS[key].make(problem.kinds, 0, True), problem, balance)
    assert isinstance(fitted, PriorCorrected)
    assert fitted.trained == pytest.approx(0.5, abs=0.02)
    columns = rare(seed=1).columns
    assert probabilities(fitted.model, columns).mean() > 2 * problem.prevalence
    assert probabilities(fitted, columns).mean() == pytest.approx(problem.prevalence, rel=0.5)


def test_without_balancing_a_model_is_what_it_was() -> None:
    problem = rare()
    plain = MODELS["logistic"].make(problem.kinds, 0, True).fit(problem.columns, problem.target)
    fitted = fit_balanced(MODELS["logistic"].make(problem.kinds, 0, True), problem)
    assert np.array_equal(probabilities(fitted, problem.columns), probabilities(plain, problem.columns))


def test_a_comparison_of_balanced_models_tests_on_rows_as_they_come() -> None:
    problem = rare()
    folds = make_folds(problem, 3)
    found = compare(problem, choose_models(["dummy", "logistic"]), folds, balance="over", quick=True)
    assert found.balance == "over"
    assert len(found.target) == len(problem)
    # The dummy knows the prevalence only, and after correction it is the natural one.
    assert found.pooled("dummy") == pytest.approx(problem.prevalence, abs=0.01)


def test_the_report_says_how_models_were_balanced(tmp_path: Path) -> None:
    path = write_csv(tmp_path, visits(700).to_csv(index=False))
    options = LabOptions(table=TableOptions(target="bought"), balance="under", quick=True)
    section = compare_models(Workspace(path, tmp_path, options), choose_models(["dummy", "logistic"]))
    assert section.figures["balance"] == "under"
    assert "undersampling" in section.parts[0].caption  # type: ignore[union-attr]


def test_options_and_models_know_the_same_ways() -> None:
    assert set(get_args(workspace.Balance)) == set(BALANCES) == {"none", *WAYS}

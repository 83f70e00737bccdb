"""`intent compare`, `select`, `tune` and `network` from the outside, and the benchmark's protocols."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.lab.protocol import blended, run
from benchmarks.lab.shoppers import FILE, shoppers_random, shoppers_temporal, shoppers_without_page_values
from features.exceptions import IntentError
from offline.lab.models import choose_models
from stream.cli import create_app
from tests.offline.lab import data_set, visits

runner = CliRunner()


def told(*arguments: object) -> str:
    result = runner.invoke(create_app(), [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "visits.csv"
    visits(700).to_csv(path, index=False)
    return path


def test_compare_writes_figures_of_the_models_that_were_asked_for(table: Path, tmp_path: Path) -> None:
    found = json.loads(
        told(
            "compare",
            table,
            "-o",
            tmp_path / "out",
            "--quick",
            "--json",
            "--model",
            "dummy",
            "--model",
            "logistic",
        )
    )
    figures = found.get("comparison", found)
    models = figures.get("figures", figures)["models"]
    assert list(models) == ["dummy", "logistic"]
    low, high = models["logistic"]["ci"]["auc"]
    assert low < models["logistic"]["auc"] < high
    assert "ROC curves" in (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")


def test_compare_refuses_a_model_that_is_not_there(table: Path, tmp_path: Path) -> None:
    result = runner.invoke(create_app(), ["compare", str(table), "-o", str(tmp_path), "--model", "magic"])
    assert isinstance(result.exception, IntentError)
    assert "there is no model 'magic'" in str(result.exception)


def test_select_says_why_and_what_it_does_to_models(table: Path, tmp_path: Path) -> None:
    said = told(
        "select", table, "-o", tmp_path / "out", "--quick", "--model", "logistic", "--model", "lightgbm"
    )
    assert "columns are kept; the most needed are pages" in said
    assert "Effect on every model" in (tmp_path / "out" / "selection.html").read_text(encoding="utf-8")


def test_tune_resumes_in_the_same_folder(table: Path, tmp_path: Path) -> None:
    line = [
        "tune",
        table,
        "-o",
        tmp_path / "out",
        "--quick",
        "--json",
        "--model",
        "logistic",
        "--method",
        "random",
    ]
    told(*line, "--trials", "2")
    found = json.loads(told(*line, "--trials", "3"))
    search = found.get("figures", found)["logistic"]["searches"]["random"]
    assert search["resumed"] == 2 and len(search["trials"]) == 3


def test_tune_refuses_a_method_that_is_not_there(table: Path, tmp_path: Path) -> None:
    result = runner.invoke(create_app(), ["tune", str(table), "-o", str(tmp_path), "--method", "luck"])
    assert result.exit_code == 2
    assert "'luck' is none of grid, random, optuna" in result.output


def test_network_tries_and_draws(table: Path, tmp_path: Path) -> None:
    said = told("network", table, "-o", tmp_path / "out", "--quick", "--boundary", "pages", "seconds")
    assert "networks were tried" in said
    page = (tmp_path / "out" / "network.html").read_text(encoding="utf-8")
    assert "Decision boundary on pages and seconds" in page and "Log-loss by epoch" in page


def test_the_protocols_divide_online_shoppers_as_they_say() -> None:
    path = data_set(FILE)
    random, without, temporal = (
        protocol(path) for protocol in (shoppers_random, shoppers_without_page_values, shoppers_temporal)
    )
    assert [len(fold.test) for fold in random.folds.folds] == [3699] * 5
    assert "PageValues" in random.problem.columns and "PageValues leaks the label" in random.warning
    assert "PageValues" not in without.problem.columns
    np.testing.assert_array_equal(random.folds.folds[0].test, without.folds.folds[0].test)
    (fold,) = temporal.folds.folds
    assert len(fold.test) == 2998 + 1727 and len(fold.train) == 12_330 - 4725
    assert "Month" not in temporal.problem.columns


def test_a_protocol_gives_each_measure_with_its_interval() -> None:
    result = run(shoppers_temporal(data_set(FILE)), choose_models(["dummy", "logistic"]))
    figures = result.figures()
    assert set(figures["logistic"]) == {"auc", "pr_auc", "brier", "ece", "ci"}
    low, high = figures["logistic"]["ci"]["auc"]
    assert low < figures["logistic"]["auc"] < high
    assert figures["dummy"]["auc"] == 0.5


def test_a_blend_lies_between_its_members() -> None:
    one, other = np.array([0.1, 0.5, 0.9]), np.array([0.3, 0.5, 1.0])
    both = blended([one, other])
    assert ((both >= one) & (both <= other)).all()
    assert both[0] == pytest.approx(0.179, abs=0.001)

"""The section of the models: what it says follows from the figures, and warns where figures would lie."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from offline.chapters.comparison.curves import pictures
from offline.chapters.comparison.section import rows_at_random, section
from offline.lab.comparison import compare
from offline.lab.figures import Difference
from offline.lab.folds import make_folds
from offline.lab.models import choose_models
from offline.problems.problem import Problem
from offline.report.section import Table

MODELS = choose_models(["dummy", "logistic", "lightgbm"])


def customers_with_habits(customers: int = 240, each: int = 5) -> Problem:
    """Return rows of customers who each come for a short while only and always do the same, for no visible reason."""
    rng = np.random.default_rng(0)
    number = np.repeat(np.arange(customers), each)
    habit = rng.random(customers) < 0.4
    columns = pd.DataFrame(
        {"size": rng.normal(size=customers)[number], "noise": rng.normal(size=len(number))}
    )
    times = pd.Series(
        pd.Timestamp("2025-01-01", tz="UTC") + pd.to_timedelta(np.arange(len(number)), unit="h")
    )
    return Problem(
        "rows",
        columns,
        dict.fromkeys(columns, "numeric"),
        habit[number],
        "bought",
        times=times,
        groups=number,
    )


def test_a_division_at_random_that_flatters_is_warned_of() -> None:
    problem = customers_with_habits()
    found = compare(problem, MODELS, make_folds(problem, 3), quick=True)
    shuffled = rows_at_random(problem, MODELS, 0)
    assert shuffled is not None
    assert shuffled[1] > 0.75
    assert found.models["lightgbm"].figures["auc"] < 0.65
    said = section(found, shuffled=shuffled)
    assert said.figures["rows_at_random"] == {"model": "lightgbm", "auc": shuffled[1]}
    assert any(sentence.startswith("Beware of rows divided at random: LightGBM") for sentence in said.summary)


def test_nobody_is_warned_where_customers_are_unknown() -> None:
    problem = customers_with_habits()
    unknown = Problem("rows", problem.columns, problem.kinds, problem.target, "bought", times=problem.times)
    assert rows_at_random(unknown, MODELS, 0) is None


def test_the_section_has_every_measure_every_curve_and_the_tests() -> None:
    rng = np.random.default_rng(0)
    columns = pd.DataFrame({"x": rng.normal(size=900)})
    happened = rng.random(900) < 1 / (1 + np.exp(1 - 2 * columns["x"].to_numpy()))
    problem = Problem("rows", columns, {"x": "numeric"}, happened, "bought")
    said = section(compare(problem, MODELS, make_folds(problem, 5), quick=True))
    tables = {part.title: part.frame for part in said.parts if isinstance(part, Table)}
    assert list(tables["Models compared"]) == ["model", "AUC", "PR-AUC", "log-loss", "Brier", "ECE"]
    assert list(tables["Decisions by the models"]) == [
        "model",
        "accuracy",
        "precision",
        "recall",
        "F1",
        "threshold",
    ]
    assert all("(" in text for text in tables["Models compared"]["AUC"])
    assert "ci" in said.figures["models"]["lightgbm"]
    against = tables["Logistic regression against the others"]
    assert (against["p, all"] >= against["p (AUC)"]).all()
    assert against.set_index("against").loc["prevalence only", "worth it"] == "yes"
    titles = [part.title for part in said.parts]
    for curve in ("ROC curves", "Precision and recall", "Reliability", "Cumulative gain", "Lift"):
        assert curve in titles


def test_the_caption_of_the_gain_counts_the_likeliest_tenth() -> None:
    target = np.arange(100) < 20
    drawn = {"good": np.linspace(1, 0, 100), "blind": np.full(100, 0.2)}
    gain = {p.title: p for p in pictures(target, drawn, "row", "good")}["Cumulative gain"]
    assert "50% by the likeliest tenth with good" in gain.caption
    blind = {p.title: p for p in pictures(target, drawn, "row", "blind")}["Lift"]
    assert "Blind: 1.0 in the likeliest tenth" in blind.caption


def test_precision_is_not_drawn_where_hardly_a_row_is_flagged() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(1_000)
    target = rng.random(1_000) < p
    line = {c.title: c for c in pictures(target, {"m": p}, "row")}["Precision and recall"].figure.data[0]
    assert min(line.x) >= 0.9 * 10 / target.sum()
    assert line.x[-1] == 1.0
    assert line.y[-1] == pytest.approx(target.mean(), abs=0.01)


def test_the_summary_goes_by_corrected_p_values_and_names_one_main_model() -> None:
    problem = customers_with_habits()
    found = compare(problem, MODELS, make_folds(problem, 3), quick=True)
    near = Difference(0.02, 0.001, 0.04, 0.03)
    others = [key for key in found.models if key != found.best]
    tests = {key: dict.fromkeys(("auc", "pr_auc"), near) for key in others}
    said = section(dataclasses.replace(found, tests=tests))
    # .03 twice is .06 when corrected: chance, whatever one of them says by itself.
    assert all(lead["p_corrected"] == pytest.approx(0.06) for lead in said.figures["leads"].values())
    assert any("may be chance (p corrected for 2 comparisons)" in text for text in said.summary)
    assert said.figures["main"] == "lightgbm"
    assert sum("main model" in text for text in said.summary) == 1

"""Selection: what says nothing, says the same, or adds nothing goes; what matters stays."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from offline.chapters.selection.section import section
from offline.chapters.selection.selection import select
from offline.lab.comparison import ComparedModel
from offline.lab.figures import Difference
from offline.lab.models import MODELS
from offline.lab.worthwhile import WORTHWHILE
from offline.problems.problem import Problem
from offline.report.section import Section


def problem(rows: int = 900) -> Problem:
    rng = np.random.default_rng(0)
    strong, weak = rng.normal(size=rows), rng.normal(size=rows)
    channel = rng.choice(["web", "app"], rows)
    happened = rng.random(rows) < 1 / (1 + np.exp(1 - 2 * strong - weak - 1.5 * (channel == "app")))
    columns = pd.DataFrame(
        {
            "strong": strong,
            "copy": np.exp(strong) + 0.001 * rng.normal(size=rows),
            "weak": weak,
            "channel": pd.Categorical(channel),
            "noise": rng.normal(size=rows),
            "always": np.ones(rows),
        }
    )
    kinds = {name: "numeric" for name in columns} | {"channel": "categorical"}
    return Problem("rows", columns, kinds, happened, "bought")  # type: ignore[arg-type]


def test_every_column_has_a_reason_and_the_right_ones_stay() -> None:
    told: list[tuple[int, int]] = []
    found = select(problem(), quick=True, on_progress=lambda *step: told.append(step))
    why = dict(zip(found.columns["column"], found.columns["why"], strict=True))
    assert set(why) == {"strong", "copy", "weak", "channel", "noise", "always"}
    assert {"weak", "channel"} <= set(found.kept)
    assert len({"strong", "copy"} & set(found.kept)) == 1
    assert "noise" not in found.kept
    assert why["always"].startswith("dropped: one value in 100.00%")
    dropped = "copy" if "strong" in found.kept else "strong"
    assert why[dropped].startswith("dropped: says the same as")
    assert why["weak"].startswith("kept: rank")
    assert told[-1][0] == told[-1][1]


def test_importances_agree_on_what_matters() -> None:
    found = select(problem(), quick=True).columns.set_index("column")
    for measure in ("permutation", "tree importance", "mutual information"):
        assert found[measure].drop(["copy", "strong", "always"]).idxmax() in ("weak", "channel")
    assert found["rank"].min() == 1
    assert abs(found.loc["strong", "twin correlation"]) > 0.97 and found.loc["strong", "twin"] == "copy"


def test_elimination_goes_from_all_columns_to_one() -> None:
    path = select(problem(), quick=True).path
    assert path["columns"].tolist() == [4, 3, 2, 1]
    assert path["auc"].iloc[0] > path["auc"].iloc[-1]


def test_the_set_that_is_kept_lies_less_than_a_worthwhile_gain_below_the_best() -> None:
    found = select(problem(), quick=True)
    path = found.path.set_index("columns")["auc"]
    own = path[len(found.kept)]
    assert own > path.max() - WORTHWHILE
    smaller = path[path.index < len(found.kept)]
    assert (smaller <= path.max() - WORTHWHILE).all()


def said(main: Difference, other: Difference) -> Section:
    """Return the section of a selection that changes the AUC of LightGBM and of two others by so much."""
    figures = dict.fromkeys(("auc", "pr_auc", "brier", "log_loss"), 0.5) | {"ci": {}}
    models = {key: ComparedModel(MODELS[key].title, (), (), figures) for key in ("lightgbm", "svm", "rule")}
    gaps = {
        key: dict.fromkeys(("auc", "pr_auc", "brier", "log_loss"), gap)
        for key, gap in zip(models, (main, other, other), strict=True)
    }
    return section(select(problem(400), quick=True), models, models, gaps, "a test", main="lightgbm")


@pytest.mark.parametrize(
    ("gap", "use", "advice"),
    [
        (Difference(-0.02, -0.03, -0.01, 0.001), "all", "loses without the others"),
        (Difference(-0.001, -0.003, 0.002, 0.4), "selected", "is as good without the others"),
        (Difference(-0.01, -0.03, 0.01, 0.3), "all", "do not tell"),
        (Difference(0.01, 0.006, 0.02, 0.001), "selected", "gains without the others"),
    ],
)
def test_the_main_model_decides_whether_columns_are_left_out(gap: Difference, use: str, advice: str) -> None:
    found = said(gap, Difference(-0.02, -0.03, -0.01, 0.001))
    assert found.figures["use"] == use
    assert advice in found.summary[1]
    assert ("keep all columns" in found.summary[1]) == (use == "all")


def test_a_change_that_is_chance_when_corrected_is_not_told_as_one() -> None:
    # .03 for each of two other models: .06 when corrected. The main one is a question of its own.
    change = Difference(-0.02, -0.04, -0.001, 0.03)
    found = said(change, change)
    assert "loses without the others" in found.summary[1]
    assert found.summary[2].startswith("The AUC of no other model changes by 0.005 or more beyond chance")
    assert [found.figures["effect"][key]["p_corrected"] for key in ("lightgbm", "svm", "rule")] == [
        0.03,
        0.06,
        0.06,
    ]

"""Selection: what says nothing, says the same, or adds nothing goes; what matters stays."""

from __future__ import annotations

import numpy as np
import pandas as pd

from offline.chapters.selection.selection import select
from offline.problems.problem import Problem


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

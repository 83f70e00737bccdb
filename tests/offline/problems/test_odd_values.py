"""Odd values in columns of numbers are named and missing; they cost neither the column nor the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from offline.chapters.selection.selection import select
from offline.chapters.workspace import Workspace
from offline.lab.models import MODELS, fit, probabilities
from offline.problems import TableError, read_problem_from_table

ROWS = 200


def table(**more: list[object]) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    return pd.DataFrame(
        {"spend": rng.gamma(2, 20, ROWS).round(2), "bought": (rng.random(ROWS) < 0.4).astype(int)} | more
    )


def column(*odd: object) -> list[object]:
    values = [f"{at * 1.37 + 0.11:.2f}" for at in range(ROWS)]
    return [*odd, *values[len(odd) :]]


@pytest.mark.parametrize("word", ["#DIV/0!", "(not set)", "inf", "-inf", "#N/A!", "1e39", "unknown"])
def test_an_odd_word_is_missing_and_named(tmp_path: Path, word: str) -> None:
    table(margin=column(*[word] * 5)).to_csv(tmp_path / "t.csv", index=False)
    reading = read_problem_from_table(tmp_path / "t.csv")
    assert reading.problem.kinds["margin"] == "numeric"
    assert reading.problem.columns["margin"].isna().sum() == 5
    note = f"Column 'margin': 5 values are no numbers a model can use and are taken as missing ({word!r}, row 1)."
    assert note in reading.notes
    assert Workspace(tmp_path / "t.csv", tmp_path).notes == (note,), "every page says what was changed"


def test_a_single_unknown_word_is_still_refused_with_its_row(tmp_path: Path) -> None:
    table(margin=column("12.3o")).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(TableError, match=r"row 1, column 'margin': '12.3o' is no number"):
        read_problem_from_table(tmp_path / "t.csv")


def test_words_of_categories_stay(tmp_path: Path) -> None:
    table(source=["ads", "(not set)"] * (ROWS // 2), size=["10+", *["1", "2", "3"] * 3] * 20).to_csv(
        tmp_path / "t.csv", index=False
    )
    reading = read_problem_from_table(tmp_path / "t.csv")
    assert set(reading.problem.columns["source"].unique()) == {"ads", "(not set)"}


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["(39.14)", "10.06"], [-39.14, 10.06]),
        (["($39.14)", "$10.06"], [-39.14, 10.06]),
        (["-39,14 €", "10,06 €"], [-39.14, 10.06]),
        (["39,14-", "10,06"], [-39.14, 10.06]),
        (["\N{MINUS SIGN}39.14", "10.06"], [-39.14, 10.06]),
        (["12%", "5%"], [12.0, 5.0]),
    ],
)
def test_signs_of_accountants_are_read(tmp_path: Path, texts: list[str], values: list[float]) -> None:
    table(neg=[*texts, *[texts[1]] * (ROWS - 2)], n=column()).to_csv(tmp_path / "t.csv", index=False)
    reading = read_problem_from_table(tmp_path / "t.csv")
    assert reading.problem.columns["neg"].iloc[:2].tolist() == values


@pytest.mark.parametrize("odd", [np.inf, -np.inf, 1e50])
def test_infinite_and_huge_numbers_of_a_typed_file_are_missing_and_named(tmp_path: Path, odd: float) -> None:
    frame = table()
    frame.loc[7, "spend"] = odd
    frame.to_parquet(tmp_path / "t.parquet")
    reading = read_problem_from_table(tmp_path / "t.parquet")
    assert reading.problem.columns["spend"].isna().tolist() == [at == 7 for at in range(ROWS)]
    assert any("1 value is no number a model can use" in note and "row 8" in note for note in reading.notes)


NAMES = ["recency [days]", "visits{n}", "a:b", 'spend, "EUR"', "<script>alert(1)</script>", "[/red]x"]


@pytest.mark.parametrize("model", ["lightgbm", "xgboost"])
def test_models_take_any_name_of_a_column(tmp_path: Path, model: str) -> None:
    rng = np.random.default_rng(4)
    frame = table(**{name: rng.random(ROWS) for name in NAMES})
    frame.to_csv(tmp_path / "odd.csv", index=False)
    frame.rename(columns=dict(zip(NAMES, "abcdef", strict=True))).to_csv(tmp_path / "plain.csv", index=False)
    found = []
    for name in ("odd", "plain"):
        problem = read_problem_from_table(tmp_path / f"{name}.csv").problem
        fitted = fit(MODELS[model].make(problem.kinds, 0, True), problem)
        found.append(probabilities(fitted, problem.columns))
    np.testing.assert_array_equal(*found)


def test_selection_ranks_columns_whose_names_hold_commas(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    table(**{name: rng.random(ROWS) for name in NAMES[2:4]}).to_csv(tmp_path / "t.csv", index=False)
    selection = select(read_problem_from_table(tmp_path / "t.csv").problem, quick=True)
    assert sorted(selection.columns["rank"]) == [1, 2, 3]

"""The preparation step by step: what each did, to how many columns and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd
from sklearn.compose import ColumnTransformer

from features.counts import counted
from offline.preparation.transformers import FENCE
from offline.problems.duplicates import Duplicates
from offline.problems.problem import Problem


class Totals(NamedTuple):
    """Sums over all columns.

    Attributes
    ----------
    missing
        Values missing in all rows, by column that misses any.
    transformed, constant
        Numeric columns that are transformed, and that have one value only.
    before, after, clipped
        Outliers of the training rows before and after the transform, and values that are pulled to a fence.
    """

    missing: Mapping[str, int]
    transformed: int
    constant: int
    before: int
    after: int
    clipped: int


def totals(problem: Problem, train: Problem, numeric: pd.DataFrame) -> Totals:
    """Return the sums over the columns of a problem and its table of numeric changes."""
    missing = {str(name): int(count) for name, count in problem.columns.isna().sum().items() if count}
    if not len(numeric):
        return Totals(missing, 0, 0, 0, 0, 0)
    constant = sum(train.columns[name].nunique(dropna=False) <= 1 for name in numeric["column"])
    before, after, clipped = (
        int(numeric[name].sum()) for name in ("outliers before", "outliers after", "clipped")
    )
    return Totals(missing, int((numeric["transform"] != "none").sum()), constant, before, after, clipped)


def steps(
    problem: Problem, prepared: ColumnTransformer, sums: Totals, duplicates: Duplicates
) -> pd.DataFrame:
    """Return one row for each step, in the order in which they are done."""
    kinds = list(problem.kinds.values())
    numbers, categories, yes_or_no = (kinds.count(kind) for kind in ("numeric", "categorical", "boolean"))
    made = len(prepared.get_feature_names_out())
    rows: list[dict[str, Any]] = [
        _step("duplicates", "counted; --drop-duplicates leaves them out", None,
              f"{counted(int(duplicates.copies.sum()), 'row')}"),
        _step("missing values", "numbers: the median, and a column that marks them; categories: a category",
              len(sums.missing), f"{counted(sum(sums.missing.values()), 'value')}"),
        _step("skew", "log(1 + x) or a Yeo-Johnson power, whichever is less skewed after", sums.transformed, ""),
        _step("outliers", f"beyond {FENCE:g} robust deviations and in the outermost 0.5%: pulled to that fence",
              numbers,
              f"{sums.before:,} before the transform, {sums.after:,} after, {sums.clipped:,} pulled"),
        _step("standardisation", "mean 0, standard deviation 1", numbers, ""),
        _step("categories", "a column of 0 and 1 for each, rare ones together", categories, ""),
        _step("yes or no", "0 and 1", yes_or_no, ""),
    ]  # fmt: skip
    if sums.constant:
        rows.append(
            _step("constant", "one value in all training rows: says nothing, becomes 0", sums.constant, "")
        )
    rows.append(_step("result", "columns that models get", made, ""))
    return pd.DataFrame([row for row in rows if row["columns"] != 0 or row["step"] == "missing values"])


def _step(name: str, done: str, columns: int | None, count: str) -> dict[str, Any]:
    return {"step": name, "what is done": done, "columns": columns, "how much": count}

"""Columns that know the target: they look like features and are consequences.

Three signs, none of them a proof; whatever is found is shown with its figures, can be overruled, and every model
is reported with and without it:

- one column alone tells the classes (almost) perfectly apart;
- a value that most rows have never goes with the positive class, in the whole table or from its first month up to
  some month: the column then is a condition of the target, not a hint (page values that an analytics tool
  computes from transactions, a discount booked with the order);
- it is known from the documentation of a public data set (`offline.problems.known`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from offline.problems.known import known_leaks
from offline.problems.problem import Kind

#: A column that alone reaches this AUC (of a small tree, cross-validated) is taken for a leak.
LEAK_AUC: Final = 0.97

# A missing class is no accident if this many positive rows were to be expected among the rows of the value, which
# must be most rows: that almost no bouncing visitor buys is knowledge, that all buyers have something is a condition.
_LEAST_EXPECTED: Final = 30
_LEAST_SHARE: Final = 0.5
_FOLDS: Final = 3
# A column is judged on at most this many rows; more would not change the verdict.
_ROWS: Final = 50_000


class _Condition(NamedTuple):
    value: str
    rows: int
    expected: float
    until: str | None


def find_leaks(
    columns: pd.DataFrame, kinds: Mapping[str, Kind], target: NDArray[np.bool_], unit: str = "record"
) -> dict[str, str]:
    """Return the columns that seem to know the target, each with the reason.

    Parameters
    ----------
    columns, kinds, target
        As in `offline.problems.problem.Problem`.
    unit
        What a row is, for the reasons.
    """
    rng = np.random.default_rng(0)
    rows = np.arange(len(target))
    if len(rows) > _ROWS:
        rows = np.sort(rng.choice(rows, _ROWS, replace=False))
    periods = _periods(columns)
    documented = known_leaks(columns)
    found: dict[str, str] = {}
    for name in columns:
        reasons = []
        auc = alone(columns[name].iloc[rows], kinds[name], target[rows])
        if auc >= LEAK_AUC:
            reasons.append(f"alone it tells the classes apart with an AUC of {auc:.3f}")
        condition = _condition(
            columns[name], target, periods if periods is None or periods[0] != name else None
        )
        if condition is not None:
            when = "" if condition.until is None else f"until {condition.until} "
            reasons.append(
                f"{when}none of {condition.rows:,} {unit}s with {name} = {condition.value} is positive, "
                f"{condition.expected:,.0f} were to be expected"
            )
        if name in documented:
            reasons.append(documented[name])
        if reasons:
            found[name] = "; ".join(reasons)
    return found


def alone(column: pd.Series, kind: Kind, target: NDArray[np.bool_]) -> float:
    """Return how well one column alone tells the classes apart: cross-validated AUC of a tree with 16 leaves."""
    least = min(int(target.sum()), int((~target).sum()))
    if least < _FOLDS:
        return 0.5
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    if kind == "categorical":
        codes = column.cat.codes.to_numpy(dtype=np.int64) + 1
        guess = np.empty(len(target))
        for train, test in folds.split(codes, target):
            size = int(codes.max()) + 1
            positive = np.bincount(codes[train], target[train], size)
            seen = np.bincount(codes[train], minlength=size)
            guess[test] = ((positive + target.mean()) / (seen + 1))[codes[test]]
    else:
        values = column.astype("float64").to_numpy()
        lowest = np.nanmin(values) if np.isfinite(values).any() else 0.0
        values = np.where(np.isnan(values), lowest - 1.0, values)[:, None]
        tree = DecisionTreeClassifier(max_leaf_nodes=16, min_samples_leaf=5, random_state=0)
        guess = cross_val_predict(tree, values, target, cv=folds, method="predict_proba")[:, 1]
    return float(roc_auc_score(target, guess))


def _periods(columns: pd.DataFrame) -> tuple[str, NDArray[np.int64], list[str]] | None:
    """Return the column that orders the table roughly in time (months), the period of every row and their names."""
    for name in columns:
        dtype = columns[name].dtype
        if isinstance(dtype, pd.CategoricalDtype) and dtype.ordered:
            return name, columns[name].cat.codes.to_numpy(dtype=np.int64), [str(c) for c in dtype.categories]
    return None


def _condition(
    column: pd.Series, target: NDArray[np.bool_], periods: tuple[str, NDArray[np.int64], list[str]] | None
) -> _Condition | None:
    usual = column.mode(dropna=False)
    value = usual.iloc[0]
    has = column.isna().to_numpy() if pd.isna(value) else (column == value).to_numpy(dtype=bool)
    shown = "nothing" if pd.isna(value) else f"{value:g}" if isinstance(value, float) else str(value)
    spans: list[tuple[str | None, NDArray[np.bool_]]] = [(None, np.ones(len(target), bool))]
    if periods is not None:
        _, period, names = periods
        spans += [(names[at], period <= at) for at in range(len(names) - 2, 0, -1)]
    for until, rows in spans:
        those = has & rows
        if those.sum() < _LEAST_SHARE * rows.sum() or target[those].any():
            continue
        expected = float(target[rows].mean() * those.sum())
        if expected >= _LEAST_EXPECTED:
            return _Condition(shown, int(those.sum()), expected, until)
    return None

"""What drives conversion: SHAP values, partial dependence, and reasons for single rows.

A SHAP value is what a column's value adds to the log-odds of a row, compared with not knowing it; the values of a row
sum to its log-odds [Lundberg et al. 2020, doi 10.1038/s42256-019-0138-9]. They tell what the model goes by, which is
not always what would change if somebody changed the column.
"""

from __future__ import annotations

import warnings
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from offline.exceptions import MissingExtra
from offline.insight.model import InsightModel, encoded

#: Rows that are explained, at most, and rows that a partial dependence is averaged over.
MOST_ROWS: Final = 4_000
_AVERAGED: Final = 400
_GRID: Final = 25
_GRID_CATEGORIES: Final = 12
_TAIL: Final = 0.95  # beyond, few rows stretch the axis
#: Reasons for one row.
REASONS: Final = 3


class Drivers(NamedTuple):
    """SHAP values of some test rows.

    Attributes
    ----------
    rows
        Positions among the model's test rows.
    columns
        The rows as they are.
    values
        Effect of each column's value on the log-odds, shape ``(rows, columns)``.
    base
        Log-odds that effects are added to.
    ranking
        One row for each column, most important first: ``column``, ``effect`` (mean absolute SHAP value), ``share``,
        ``direction`` (rank correlation of value and effect; NaN for categories).
    """

    rows: NDArray[np.intp]
    columns: pd.DataFrame
    values: NDArray[np.float64]
    base: float
    ranking: pd.DataFrame


class Dependence(NamedTuple):
    """Partial dependence of the probability on one column.

    Attributes
    ----------
    grid
        Values (numbers) or categories (texts).
    mean
        Mean probability if all rows had that value.
    low, high
        Between which the rows' own probabilities lie, quartiles.
    """

    name: str
    grid: list[Any]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def explain(model: InsightModel, *, most_rows: int = MOST_ROWS, seed: int = 0) -> Drivers:
    """Return the SHAP values of the test rows, of a sample where there are many."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of packages that shap imports
            import shap
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "shap") from None
    rng = np.random.default_rng(seed)
    count = len(model.test)
    rows = np.arange(count) if count <= most_rows else np.sort(rng.choice(count, most_rows, replace=False))
    columns = model.test.columns.iloc[rows]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the shape of what LightGBM returns
        explainer = shap.TreeExplainer(model.booster)
        found = np.asarray(explainer.shap_values(encoded(columns)), np.float64)
        expected = explainer.expected_value
    values = found[-1] if found.ndim == 3 else found  # noqa: PLR2004  (older releases: one array for each class)
    effect = np.abs(values).mean(axis=0)
    ranking = pd.DataFrame(
        {
            "column": model.names,
            "effect": effect,
            "share": effect / max(effect.sum(), 1e-12),
            "direction": [_direction(columns[name], values[:, at]) for at, name in enumerate(model.names)],
        }
    ).sort_values("effect", ascending=False, ignore_index=True)
    return Drivers(rows, columns, values, float(np.ravel(expected)[-1]), ranking)


def _direction(values: pd.Series, effects: NDArray[np.float64]) -> float:
    if isinstance(values.dtype, pd.CategoricalDtype):
        return float("nan")
    numbers = values.to_numpy(np.float64)
    known = ~np.isnan(numbers)
    if known.sum() < 3 or np.ptp(numbers[known]) == 0 or np.ptp(effects[known]) == 0:  # noqa: PLR2004
        return float("nan")
    ranks = pd.Series(numbers[known]).rank(), pd.Series(effects[known]).rank()
    return float(np.corrcoef(*ranks)[0, 1])


def dependence(model: InsightModel, name: str, *, seed: int = 0) -> Dependence:
    """Return how the probability depends on one column [Friedman 2001, doi 10.1214/aos/1013203451].

    Every row of a sample gets every value of a grid in turn; the others of its columns stay as they are. Where columns
    hang together, some of these rows are such as do not occur.
    """
    columns = model.test.columns
    rng = np.random.default_rng(seed)
    some = columns.iloc[rng.choice(len(columns), min(_AVERAGED, len(columns)), replace=False)]
    rows, at = encoded(some), list(columns).index(name)
    series = columns[name]
    grid: list[Any]
    if isinstance(series.dtype, pd.CategoricalDtype):
        counts = series.value_counts()
        grid = [str(value) for value in counts.index[:_GRID_CATEGORIES] if counts[value]]
        codes = [float(list(map(str, series.cat.categories)).index(value)) for value in grid]
    else:
        known = series.dropna().to_numpy(np.float64)
        codes = np.unique(np.quantile(known, np.linspace(0.01, _TAIL, _GRID))).tolist()
        grid = codes
    found = np.empty((len(codes), len(rows)))
    for nth, value in enumerate(codes):
        rows[:, at] = value
        raw = np.asarray(model.booster.predict(rows, raw_score=True), np.float64)
        found[nth] = model.calibration.probabilities(raw)
    low, high = np.quantile(found, [0.25, 0.75], axis=1)
    return Dependence(name, grid, found.mean(axis=1), low, high)


def by_group(drivers: Drivers, groups: NDArray[np.int64], names: list[str], *, top: int = 10) -> pd.DataFrame:
    """Return the mean SHAP value of the most important columns in every group: what lifts or lowers it.

    Parameters
    ----------
    groups
        Group of each explained row, -1 where it belongs to none.
    """
    at = [list(drivers.columns).index(name) for name in drivers.ranking["column"][:top]]
    frame = pd.DataFrame(
        {
            name: drivers.values[groups == k][:, at].mean(axis=0)
            for k, name in enumerate(names)
            if (groups == k).any()
        },
        index=drivers.ranking["column"][:top].to_list(),
    )
    frame.index.name = "column"
    return frame


def reasons(drivers: Drivers, row: int, *, most: int = REASONS) -> list[dict[str, Any]]:
    """Return the columns that moved one explained row most: ``column``, ``value``, ``effect`` on the log-odds."""
    order = np.argsort(-np.abs(drivers.values[row]), kind="stable")[:most]
    return [
        {
            "column": str(drivers.columns.columns[at]),
            "value": drivers.columns.iloc[row, at],
            "effect": float(drivers.values[row, at]),
        }
        for at in order
    ]

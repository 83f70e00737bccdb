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

from offline.chapters.insight.model import InsightModel, encoded
from offline.exceptions import MissingExtra
from offline.report.words import is_half, natural_order, thing_words

#: Rows that are explained, at most, and rows that a partial dependence is averaged over.
MOST_ROWS: Final = 4_000
_AVERAGED: Final = 400
_GRID: Final = 25
_GRID_CATEGORIES: Final = 12
_LEAST_OF_GROUP: Final = 30
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


class Attribution(NamedTuple):
    """A column, its value in a row, and its effect on the row's log-odds.

    Of a thing that two columns hold, it is the first of them, with the effect of both; the value is that of the first.
    """

    column: str
    value: Any
    effect: float


def explain(model: InsightModel, *, most_rows: int = MOST_ROWS, seed: int = 0) -> Drivers:
    """Return the SHAP values of the test rows, of a sample where there are many."""
    rng = np.random.default_rng(seed)
    count = len(model.test)
    rows = np.arange(count) if count <= most_rows else np.sort(rng.choice(count, most_rows, replace=False))
    columns = model.test.columns.iloc[rows]
    values, base = effects(model, columns)
    effect = np.abs(values).mean(axis=0)
    ranking = pd.DataFrame(
        {
            "column": model.names,
            "effect": effect,
            "share": effect / max(effect.sum(), 1e-12),
            "direction": [_direction(columns[name], values[:, at]) for at, name in enumerate(model.names)],
        }
    ).sort_values("effect", ascending=False, ignore_index=True)
    return Drivers(rows, columns, values, base, ranking)


def effects(model: InsightModel, columns: pd.DataFrame) -> tuple[NDArray[np.float64], float]:
    """Return the SHAP values of rows, shape ``(rows, columns)``, and the log-odds that they are added to."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of packages that shap imports
            import shap
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "shap") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the shape of what LightGBM returns
        explainer = shap.TreeExplainer(model.booster)
        found = np.asarray(explainer.shap_values(encoded(columns)), np.float64)
        expected = explainer.expected_value
    values = found[-1] if found.ndim == 3 else found  # noqa: PLR2004  (older releases: one array for each class)
    return values, float(np.ravel(expected)[-1])


def _direction(values: pd.Series, effects: NDArray[np.float64]) -> float:
    if isinstance(values.dtype, pd.CategoricalDtype):
        return float("nan")
    numbers = values.to_numpy(np.float64)
    known = ~np.isnan(numbers)
    if known.sum() < 3 or np.ptp(numbers[known]) == 0 or np.ptp(effects[known]) == 0:  # noqa: PLR2004
        return float("nan")
    ranks = pd.Series(numbers[known]).rank(), pd.Series(effects[known]).rank()
    return float(np.corrcoef(*ranks)[0, 1])


def dependence(
    model: InsightModel, name: str, *, among: pd.DataFrame | None = None, seed: int = 0
) -> Dependence:
    """Return how the probability depends on one column [Friedman 2001, doi 10.1214/aos/1013203451].

    Every row of a sample gets every value of a grid in turn; the others of its columns stay as they are. Where columns
    hang together, some of these rows are such as do not occur.

    Parameters
    ----------
    among
        The rows to average over, by default a sample of all test rows; the grid is that of all in either case.
    """
    columns = model.test.columns
    rng = np.random.default_rng(seed)
    some = columns if among is None else among
    some = some.iloc[rng.choice(len(some), min(_AVERAGED, len(some)), replace=False)]
    rows, at = encoded(some), list(columns).index(name)
    grid, codes = _grid(columns[name])
    found = np.empty((len(codes), len(rows)))
    for nth, value in enumerate(codes):
        rows[:, at] = value
        raw = np.asarray(model.booster.predict(rows, raw_score=True), np.float64)
        found[nth] = model.calibration.probabilities(raw)
    low, high = np.quantile(found, [0.25, 0.75], axis=1)
    return Dependence(name, grid, found.mean(axis=1), low, high)


def _grid(series: pd.Series) -> tuple[list[Any], list[float]]:
    """Return the values that a column is given in turn, and as the booster takes them."""
    if isinstance(series.dtype, pd.CategoricalDtype):
        counts = series.value_counts()
        grid = natural_order([str(value) for value in counts.index[:_GRID_CATEGORIES] if counts[value]])
        places = {str(value): float(code) for code, value in enumerate(series.cat.categories)}
        return grid, [places[value] for value in grid]
    if series.dtype == bool:
        return ["no", "yes"], [0.0, 1.0]
    known = series.dropna().to_numpy(np.float64)
    codes = np.unique(np.quantile(known, np.linspace(0.01, _TAIL, _GRID))).tolist()
    return codes, codes


def dependence_by_group(
    model: InsightModel, drivers: Drivers, name: str, groups: NDArray[np.int64], count: int, *, seed: int = 0
) -> dict[int, Dependence]:
    """Return how the probability depends on one column in every group that has enough rows."""
    return {
        group: dependence(model, name, among=drivers.columns.iloc[np.flatnonzero(groups == group)], seed=seed)
        for group in range(count)
        if np.count_nonzero(groups == group) >= _LEAST_OF_GROUP
    }


def by_group(drivers: Drivers, groups: NDArray[np.int64], names: list[str], *, top: int = 10) -> pd.DataFrame:
    """Return the mean SHAP value of the most important columns in every group: what lifts or lowers it.

    Parameters
    ----------
    groups
        Group of each explained row, -1 where it belongs to no group.
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


def things(drivers: Drivers, *, log: bool) -> pd.DataFrame:
    """Return the ranking by things: of a log, the two columns of a time of day or of the week are one.

    Returns
    -------
    DataFrame
        Indexed by the thing in words, most important first: ``share`` of all effects, and ``direction``, NaN where
        "the more, the likelier" says nothing.
    """
    effects = things_of(drivers, log=log)
    effect = effects.abs().mean()
    direction = {
        thing_words(str(row.column), log=log): np.nan if is_half(str(row.column), log=log) else row.direction
        for row in drivers.ranking.itertuples()
    }
    frame = pd.DataFrame(
        {"share": effect / max(float(effect.sum()), 1e-12), "direction": pd.Series(direction)}
    )
    return frame.sort_values("share", ascending=False, kind="stable")


def things_of(drivers: Drivers, *, log: bool) -> pd.DataFrame:
    """Return the effect of each thing on every row: those of its columns added up."""
    names = [thing_words(str(name), log=log) for name in drivers.columns]
    return pd.DataFrame(drivers.values, columns=names).T.groupby(level=0, sort=False).sum().T


def shares_by_group(drivers: Drivers, groups: NDArray[np.int64], names: list[str]) -> pd.DataFrame:
    """Return the share of all effects that every column has in each group: how much goes by it there.

    Returns
    -------
    DataFrame
        One row for each column, one column for each group that has rows; each adds up to 1.
    """
    found = {}
    for group, name in enumerate(names):
        own = groups == group
        if own.any():
            effect = np.abs(drivers.values[own]).mean(axis=0)
            found[name] = effect / max(float(effect.sum()), 1e-12)
    return pd.DataFrame(found, index=pd.Index(list(drivers.columns), name="column"))


def reasons(
    columns: pd.DataFrame,
    values: NDArray[np.float64],
    row: int,
    *,
    most: int = REASONS,
    log: bool = False,
) -> list[Attribution]:
    """Return the things that moved one row most, by its SHAP values; of a log, halves of one thing are added up."""
    effects: dict[str, float] = {}
    first: dict[str, int] = {}
    for at, name in enumerate(columns.columns):
        thing = thing_words(str(name), log=True) if is_half(str(name), log=log) else str(name)
        effects[thing] = effects.get(thing, 0.0) + float(values[row, at])
        first.setdefault(thing, at)
    order = sorted(effects, key=lambda thing: -abs(effects[thing]))[:most]
    return [
        Attribution(str(columns.columns[first[thing]]), columns.iloc[row, first[thing]], effects[thing])
        for thing in order
    ]

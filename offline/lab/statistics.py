"""Small statistics that several looks share: descriptions, intervals, regression lines with bands."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.proportion import proportion_confint
from statsmodels.tools.sm_exceptions import ConvergenceWarning, PerfectSeparationWarning

COVERAGE: Final = 0.95
#: Corrected p-values below it count as more than chance.
ALPHA: Final = 0.05
_LEAST: Final = 3
_TOLERANCE: Final = 1e-13  # of the deviance, relative
# A slope per standard deviation with a larger error has no end: one value of x, say, has a single class.
_DIVIDED: Final = 100.0


class Line(NamedTuple):
    """A regression line: positions, the line, its 95% band, and what it says.

    ``slope`` and its interval are per unit of x; ``r2`` is the share of the variance that it explains.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    slope: float
    slope_interval: tuple[float, float]
    r2: float


def describe(frame: pd.DataFrame) -> pd.DataFrame:
    """Return count, mean, spread, quantiles and skewness of every column, one row each."""
    rows = []
    for name in frame:
        known = frame[name].dropna().astype("float64").to_numpy()
        if not len(known):
            rows.append({"column": name, "known": 0})
            continue
        quantiles = np.quantile(known, [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1])
        rows.append(
            {
                "column": name,
                "known": len(known),
                "mean": known.mean(),
                "sd": known.std(ddof=1) if len(known) > 1 else np.nan,
            }
            | dict(zip(("min", "5%", "25%", "median", "75%", "95%", "max"), quantiles, strict=True))
            | {
                "skewness": float(stats.skew(known)) if np.ptp(known) > 0 else 0.0,
                "zero": float((known == 0).mean()),
            }
        )
    return pd.DataFrame(rows)


def wilson(successes: ArrayLike, trials: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the 95% intervals of shares [Wilson 1927, doi 10.1080/01621459.1927.10502953].

    Examples
    --------
    >>> [float(end[0].round(3)) for end in wilson([0], [10])]
    [0.0, 0.278]
    """
    low, high = proportion_confint(
        np.asarray(successes), np.maximum(np.asarray(trials), 1), alpha=1 - COVERAGE, method="wilson"
    )
    return low, high


def ordinary_line(x: NDArray[np.float64], y: NDArray[np.float64], points: int = 60) -> Line | None:
    """Return the least-squares line with the band of its mean, None where x hardly varies."""
    if len(x) < _LEAST or np.ptp(x) == 0:
        return None
    grid = np.linspace(x.min(), x.max(), points)
    fit = OLS(y, _design(x)).fit()
    middle, low, high = _band(fit, grid)
    return Line(
        grid,
        middle,
        low,
        high,
        float(fit.params[1]),
        tuple(fit.conf_int(1 - COVERAGE)[1].tolist()),
        float(fit.rsquared) if np.ptp(y) > 0 else 0.0,
    )


def logistic_line(x: NDArray[np.float64], happened: NDArray[np.bool_], points: int = 80) -> Line | None:
    """Return the curve of a logistic regression on one column with its band (normal on the logit).

    None where x hardly varies, where there is one class, or where the classes are perfectly divided.
    """
    centre, spread = float(x.mean()), float(x.std())
    if spread == 0 or happened.all() or not happened.any():
        return None
    model = GLM(happened.astype(float), _design((x - centre) / spread), family=Binomial())
    with warnings.catch_warnings(), np.errstate(over="ignore"):  # exp overflows where a probability is 0
        for unusable in (PerfectSeparationWarning, ConvergenceWarning):
            warnings.simplefilter("error", unusable)
        try:
            fit = model.fit(tol=_TOLERANCE)
        except (PerfectSeparationWarning, ConvergenceWarning):
            return None
    if fit.bse[1] > _DIVIDED:
        return None
    grid = np.linspace(x.min(), x.max(), points)
    middle, low, high = _band(fit, (grid - centre) / spread)
    return Line(
        grid,
        middle,
        low,
        high,
        float(fit.params[1] / spread),
        tuple((fit.conf_int(1 - COVERAGE)[1] / spread).tolist()),
        float(1 - fit.deviance / fit.null_deviance),
    )


def _band(fit: Any, x: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Return the fitted mean at ``x``, and the ends of its interval."""
    frame = fit.get_prediction(_design(x)).summary_frame(alpha=1 - COVERAGE)
    return (frame[name].to_numpy() for name in ("mean", "mean_ci_lower", "mean_ci_upper"))


def _design(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([np.ones(len(x)), x])


def gini(values: NDArray[np.float64]) -> float:
    """Return the Gini coefficient of values that are not negative: 0 all alike, towards 1 one has everything.

    Examples
    --------
    >>> gini(np.array([1.0, 1.0, 1.0])), round(gini(np.array([0.0, 0.0, 3.0])), 3)
    (0.0, 0.667)
    """
    ordered = np.sort(values)
    total = ordered.sum()
    if total <= 0:
        return 0.0
    n = len(ordered)
    return float(max(0.0, 2 * np.sum(np.arange(1, n + 1) * ordered) / (n * total) - (n + 1) / n))

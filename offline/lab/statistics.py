"""Small statistics that several looks share: descriptions, intervals, regression lines with bands."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

COVERAGE: Final = 0.95
_Z: Final = float(stats.norm.ppf((1 + COVERAGE) / 2))
_ITERATIONS: Final = 50
_LEAST: Final = 3


class Line(NamedTuple):
    """A regression line: positions, the line, its 95 % band, and what it says.

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
            | dict(zip(("min", "5 %", "25 %", "median", "75 %", "95 %", "max"), quantiles, strict=True))
            | {
                "skewness": float(stats.skew(known)) if np.ptp(known) > 0 else 0.0,
                "zero": float((known == 0).mean()),
            }
        )
    return pd.DataFrame(rows)


def wilson(successes: ArrayLike, trials: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the 95 % intervals of shares [Wilson 1927, doi 10.1080/01621459.1927.10502953].

    Examples
    --------
    >>> [float(end[0].round(3)) for end in wilson([0], [10])]
    [0.0, 0.278]
    """
    k, n = np.asarray(successes, np.float64), np.maximum(np.asarray(trials, np.float64), 1.0)
    share = k / n
    centre = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def ordinary_line(x: NDArray[np.float64], y: NDArray[np.float64], points: int = 60) -> Line | None:
    """Return the least-squares line with the band of its mean, None where x hardly varies."""
    if len(x) < _LEAST or np.ptp(x) == 0:
        return None
    fit = stats.linregress(x, y)
    grid = np.linspace(x.min(), x.max(), points)
    freedom = len(x) - 2
    t = float(stats.t.ppf((1 + COVERAGE) / 2, freedom)) if freedom else np.nan
    residual = np.sqrt(np.sum((y - fit.intercept - fit.slope * x) ** 2) / max(freedom, 1))
    half = t * residual * np.sqrt(1 / len(x) + (grid - x.mean()) ** 2 / np.sum((x - x.mean()) ** 2))
    line = fit.intercept + fit.slope * grid
    interval = (fit.slope - t * fit.stderr, fit.slope + t * fit.stderr)
    return Line(grid, line, line - half, line + half, float(fit.slope), interval, float(fit.rvalue**2))


def logistic_line(x: NDArray[np.float64], happened: NDArray[np.bool_], points: int = 80) -> Line | None:
    """Return the curve of a logistic regression on one column with its band (delta method on the logit).

    None where x hardly varies, where there is one class, or where the classes are perfectly divided.
    """
    spread = float(x.std())
    if spread == 0 or happened.all() or not happened.any():
        return None
    centre = float(x.mean())
    design = np.column_stack([np.ones(len(x)), (x - centre) / spread])
    beta = np.array([np.log(happened.mean() / (1 - happened.mean())), 0.0])
    for _ in range(_ITERATIONS):  # Newton's method
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -30, 30)))
        information = (design * (p * (1 - p))[:, None]).T @ design
        if np.linalg.cond(information) > 1 / np.finfo(float).eps:
            return None
        step = np.linalg.solve(information, design.T @ (happened - p))
        beta = beta + step
        if np.abs(step).max() < 1e-8:  # noqa: PLR2004  (converged)
            break
    else:
        return None
    covariance = np.linalg.inv(information)
    grid = np.linspace(x.min(), x.max(), points)
    rows = np.column_stack([np.ones(points), (grid - centre) / spread])
    logit = rows @ beta
    half = _Z * np.sqrt(np.einsum("ij,jk,ik->i", rows, covariance, rows))
    slope, error = beta[1] / spread, np.sqrt(covariance[1, 1]) / spread
    base = happened.mean()
    p = np.clip(1 / (1 + np.exp(-np.clip(design @ beta, -30, 30))), 1e-12, 1 - 1e-12)
    likelihood = np.sum(np.where(happened, np.log(p), np.log(1 - p)))
    null = len(x) * (base * np.log(base) + (1 - base) * np.log(1 - base))
    curve, low, high = (
        1 / (1 + np.exp(-np.clip(values, -30, 30))) for values in (logit, logit - half, logit + half)
    )
    interval = (slope - _Z * error, slope + _Z * error)
    return Line(grid, curve, low, high, float(slope), interval, float(1 - likelihood / null))


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

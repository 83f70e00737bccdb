"""Intervals as wide as the errors of earlier forecasts, for days and for sums of days.

No model's assumption about errors enters [Vovk et al. 2005, split conformal]: an interval is as wide as the errors at
earlier times, relative to the level of the forecast. Errors of days are pooled with those of the days around them in
the horizon, and never shrink with it. A sum has its own errors: those of days cancel out, or add up.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

#: Coverage of the intervals, per cent.
LEVELS: Final = (80, 95)

_AROUND: Final = 3  # days of the horizon on either side whose errors are pooled
_NOTHING: Final = 1e-9

Past = NDArray[np.float64]  # shape (origins, steps)


def day_intervals(
    made: NDArray[np.float64], past: Past, actual: Past, closed: NDArray[np.bool_] | None = None
) -> pd.DataFrame:
    """Return a forecast of days with its intervals, one row for each.

    Parameters
    ----------
    made
        The forecast, shape (steps,).
    past, actual
        Earlier forecasts and what came, shape (origins, steps); what is not a number is left out.
    closed
        Days on which nothing is sold for sure.
    """
    level = max(float(made.mean()), _NOTHING)
    errors = np.abs(past - actual) / np.maximum(past.mean(axis=1, keepdims=True), _NOTHING)
    result = pd.DataFrame({"forecast": made})
    for share in LEVELS:
        half = np.array(
            [
                _quantile(errors[:, max(step - _AROUND, 0) : step + _AROUND + 1].ravel(), share)
                for step in range(len(made))
            ]
        )
        half = np.maximum.accumulate(half) * level
        if closed is not None:
            half = np.where(closed, 0.0, half)
        result[f"low_{share}"] = np.maximum(made - half, 0.0)
        result[f"high_{share}"] = made + half
    return result


def widened(rows: pd.DataFrame, values: NDArray[np.float64], closed: NDArray[np.bool_]) -> pd.DataFrame:
    """Widen the intervals of days by what days were: errors of the many days without orders say nothing of the next."""
    for level in LEVELS:
        high = np.where(closed, 0.0, np.quantile(values, 0.5 + level / 200, method="higher"))
        rows[f"low_{level}"] = 0.0
        rows[f"high_{level}"] = np.maximum(rows[f"high_{level}"], high)
    return rows


def sum_interval(
    made: NDArray[np.float64], past: Past, actual: Past, share: int, days: NDArray[np.bool_] | None = None
) -> tuple[float, float, float]:
    """Return the sum of a forecast, over all days or some of them, and its interval.

    Parameters
    ----------
    days
        Those to sum, shape (steps,).
    """
    days = np.ones(len(made), bool) if days is None else days
    # The level of the whole forecast, lest a part of which nothing was expected make an error endless.
    level = np.maximum(past.mean(axis=1), _NOTHING)
    errors = np.abs(actual[:, days].sum(axis=1) - past[:, days].sum(axis=1)) / level
    total = float(made[days].sum())
    half = _quantile(errors, share) * max(float(made.mean()), _NOTHING)
    return total, max(total - half, 0.0), total + half


def _quantile(errors: NDArray[np.float64], share: int) -> float:
    """Return what a new error stays below in ``share`` per cent of cases, if it is like the others."""
    known = np.sort(errors[~np.isnan(errors)])
    if not len(known):
        return 0.0
    rank = min(int(np.ceil(share / 100 * (len(known) + 1))), len(known))
    return float(known[rank - 1])

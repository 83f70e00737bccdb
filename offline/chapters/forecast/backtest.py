"""Forecast a series by several methods, judged by what each would have said at earlier times.

At several origins in the past every method sees only what was known then and forecasts the steps that followed
[Tashman 2000, doi 10.1016/S0169-2070(00)00065-0], and all are compared with the seasonal naive forecast (as in the last
season), which is what an attentive shop keeper would say. The default is the plain mean of three simple methods: such
means are hard to beat [Makridakis et al. 2020, doi 10.1016/j.ijforecast.2019.04.014]. Another method replaces it if it
was clearly better at the earlier origins: by a twentieth, and beyond chance (t-test of the differences), because of
several methods one is always ahead by luck. The choice is repeated at every origin from earlier origins only, so the
figures of "as chosen" are those of a forecaster who did not know the future.
"""

from __future__ import annotations

import warnings
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from offline.chapters.forecast.series import Series
from offline.exceptions import MissingExtra, TrainingError
from offline.progress import OnProgress

BASELINE: Final = "SeasonalNaive"
COMBINED: Final = "combination"
CHOSEN: Final = "chosen"
#: Coverage of the intervals, per cent.
LEVELS: Final = (80, 95)
NAMES: Final = {
    BASELINE: "seasonal naive",
    "AutoETS": "exponential smoothing (ETS)",
    "AutoTheta": "Theta",
    "MSTL": "decomposition (STL) with ETS",
    "SeasonalWindowAverage": "mean of four seasons",
    COMBINED: "mean of ETS, Theta and four seasons",
    CHOSEN: "as chosen at the time",
}
#: Seasons that a mean is taken of.
SEASONS: Final = 4
#: Another method replaces the combination if its mean absolute error was at most this share of it.
CLEARLY_BETTER: Final = 0.95

_METHODS: Final = (BASELINE, "SeasonalWindowAverage", "AutoETS", "AutoTheta")
_MEMBERS: Final = ("AutoETS", "AutoTheta", "SeasonalWindowAverage")
_ORIGINS, _QUICK_ORIGINS, _LEAST_ORIGINS = 12, 8, 6
_SURE: Final = 0.975
_LEAST_COMPARED: Final = 3  # fewer origins say too little of a method
_REPLICATES: Final = 1_000
# A series with fewer steps above 0 is intermittent.
_INTERMITTENT: Final = 0.3

Past = NDArray[np.float64]  # shape (origins, steps)


class Forecast(NamedTuple):
    """A forecast of one measure and how the methods did before.

    Attributes
    ----------
    method
        The one that the forecast is from, in words.
    ahead
        One row for each coming step: ``date``, ``forecast``, ``low_80``, ``high_80``, ``low_95``, ``high_95``.
    total
        Sum over the coming steps with its 80 % interval.
    scores
        One row for each method and one for the choice, at the judged origins: ``method``, ``mae``, ``rmse``,
        ``relative`` (mean absolute error as a share of the seasonal naive forecast's), ``total error`` (of the sum over
        all steps, as a share of the sum), ``covered 80``, ``covered 95`` (share of steps inside the intervals).
    relative_interval
        95 % interval of ``relative`` for the choice, by a bootstrap over origins.
    backtest
        Every past forecast: ``origin``, ``date``, ``actual``, and a column for each method.
    judged
        How many origins the scores are from; the first ones only serve to choose and to measure errors.
    """

    method: str
    ahead: pd.DataFrame
    total: tuple[float, float, float]
    scores: pd.DataFrame
    relative_interval: tuple[float, float]
    backtest: pd.DataFrame
    judged: int

    @property
    def relative(self) -> float:
        """Mean absolute error of the choice as a share of the seasonal naive forecast's."""
        return float(self.scores.set_index("method").loc[NAMES[CHOSEN], "relative"])


def forecast_series(
    series: Series,
    measure: str,
    steps: int,
    *,
    quick: bool = False,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Forecast:
    """Choose a method on past origins and forecast the coming steps.

    Parameters
    ----------
    measure
        "orders" or "revenue".
    steps
        How many days or weeks to forecast.
    quick
        Fewer methods and origins.
    on_progress
        Called with methods done and in all.

    Raises
    ------
    TrainingError
        The series is too short for a backtest.
    """
    values = series.frame[measure].to_numpy(np.float64)
    origins = _origins(len(values), steps, series.season, series.step, quick)
    methods = [*_METHODS, "MSTL"] if series.season > 1 and not quick else list(_METHODS)
    past: dict[str, Past] = {}
    ahead: dict[str, NDArray[np.float64]] = {}
    for done, method in enumerate(methods):
        past[method], ahead[method] = _run(method, series.season, values, steps, origins)
        if on_progress is not None:
            on_progress(done + 1, len(methods))
    past[COMBINED] = np.mean([past[method] for method in _MEMBERS], axis=0)
    ahead[COMBINED] = np.mean([ahead[method] for method in _MEMBERS], axis=0)
    actual = values[len(values) - origins * steps :].reshape(origins, steps)
    chosen = [choose_method(past, actual, before) for before in range(origins + 1)]
    past[CHOSEN] = np.stack([past[method][at] for at, method in enumerate(chosen[:-1])])
    first, now = origins // 3, chosen[-1]
    rows = _intervals(ahead[now], past[now], actual)
    total = _total(ahead[now], past[now], actual)
    if np.mean(values > 0) < _INTERMITTENT:
        rows, total = _widened(rows, total, values, steps)
    rows.insert(0, "date", series.coming(steps))
    return Forecast(
        NAMES[now],
        rows,
        total,
        pd.DataFrame([_score(method, past, actual, first) for method in past]),
        _relative_interval(past, actual, first, seed),
        _backtest(series, past, actual),
        origins - first,
    )


def _backtest(series: Series, past: dict[str, Past], actual: Past) -> pd.DataFrame:
    """Return every past forecast beside what happened, one row for each step."""
    origins, steps = actual.shape
    at = len(series) - origins * steps + np.arange(origins * steps)
    known = {
        "origin": np.repeat(np.arange(origins), steps),
        "date": series.frame.index[at],
        "actual": actual.ravel(),
    }
    return pd.DataFrame(known | {method: made.ravel() for method, made in past.items()})


def choose_method(past: dict[str, Past], actual: Past, before: int) -> str:
    """Return the method that the errors at the first ``before`` origins speak for."""
    if before < _LEAST_COMPARED:
        return COMBINED
    errors = {method: np.abs(made[:before] - actual[:before]).mean(axis=1) for method, made in past.items()}
    best = min(errors, key=lambda method: float(errors[method].mean()))
    gain = errors[COMBINED] - errors[best]
    bound = stats.t.ppf(_SURE, before - 1) * gain.std(ddof=1) / np.sqrt(before)
    enough = errors[best].mean() <= CLEARLY_BETTER * errors[COMBINED].mean()
    return best if enough and gain.mean() > bound else COMBINED


def _origins(length: int, steps: int, season: int, step: str, quick: bool) -> int:
    # The mean of four seasons needs as many.
    least = max(SEASONS * season, 2 * steps, 12)
    origins = min(_QUICK_ORIGINS if quick else _ORIGINS, (length - least) // steps)
    if origins < _LEAST_ORIGINS:
        raise TrainingError(
            f"{length} whole {step}s are too few to try forecasts of {steps} {step}{'s' * (steps > 1)} at "
            f"{_LEAST_ORIGINS} earlier times ({least + _LEAST_ORIGINS * steps} would do): use a longer log"
            f"{' or a shorter forecast' * (steps > 1)}"
        )
    return int(origins)


def _run(
    method: str, season: int, values: NDArray[np.float64], steps: int, origins: int
) -> tuple[Past, NDArray[np.float64]]:
    """Return what a method would have forecast at past origins, and what it forecasts now; never less than nothing."""
    try:
        import statsforecast
        from statsforecast import models
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "statsforecast") from None
    arguments: dict[str, Any] = {"season_length": season}
    if method == "SeasonalWindowAverage":
        arguments["window_size"] = SEASONS
    if method == "MSTL":
        arguments["trend_forecaster"] = models.AutoETS(model="ZZN")
    model = getattr(models, method)(alias="value", **arguments)
    frame = pd.DataFrame({"unique_id": "all", "ds": np.arange(len(values)), "y": values})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numerical remarks about single candidates within a search
        runner = statsforecast.StatsForecast(models=[model], freq=1, n_jobs=1)
        past = runner.cross_validation(df=frame, h=steps, step_size=steps, n_windows=origins)
        ahead = runner.forecast(df=frame, h=steps)
    made = past.sort_values("ds")["value"].to_numpy(np.float64).reshape(origins, steps)
    return np.maximum(made, 0.0), np.maximum(ahead["value"].to_numpy(np.float64), 0.0)


def _score(method: str, past: dict[str, Past], actual: Past, first: int) -> dict[str, Any]:
    made, truth = past[method][first:], actual[first:]
    error = made - truth
    naive = np.abs(past[BASELINE][first:] - truth).mean()
    sums = truth.sum(axis=1)
    score: dict[str, Any] = {
        "method": NAMES[method],
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt(np.square(error).mean())),
        "relative": float(np.abs(error).mean() / max(naive, 1e-12)),
        "total error": float((np.abs(made.sum(axis=1) - sums) / np.maximum(sums, 1.0)).mean()),
    }
    inside: dict[int, list[NDArray[np.bool_]]] = {level: [] for level in LEVELS}
    for at in range(first, len(actual)):
        bands = _intervals(past[method][at], past[method][:at], actual[:at])
        for level in LEVELS:
            low, high = bands[f"low_{level}"].to_numpy(), bands[f"high_{level}"].to_numpy()
            inside[level].append((actual[at] >= low) & (actual[at] <= high))
    return score | {f"covered {level}": float(np.mean(found)) for level, found in inside.items()}


def _intervals(made: NDArray[np.float64], past: Past, actual: Past) -> pd.DataFrame:
    """Return a forecast with intervals as wide as past errors [Vovk et al. 2005], which grow with the level.

    No model's assumption about errors enters; they are only taken to be alike relative to the level of the forecast.
    """
    levels = np.maximum(past.mean(axis=1, keepdims=True), 1e-9)
    errors = np.sort((np.abs(past - actual) / levels).ravel()) * max(float(made.mean()), 1e-9)
    result = pd.DataFrame({"forecast": made})
    for level in LEVELS:
        rank = min(int(np.ceil(level / 100 * (len(errors) + 1))), len(errors)) - 1
        result[f"low_{level}"] = np.maximum(made - errors[rank], 0.0)
        result[f"high_{level}"] = made + errors[rank]
    return result


def _widened(
    rows: pd.DataFrame, total: tuple[float, float, float], values: NDArray[np.float64], steps: int
) -> tuple[pd.DataFrame, tuple[float, float, float]]:
    """Widen the intervals of a series that is mostly 0 by the quantiles of its past values and sums.

    There a method is best by absolute errors if it says 0 for ever, and its errors say nothing of the next order.
    """
    sums = np.lib.stride_tricks.sliding_window_view(values, steps).sum(axis=1)
    for level in LEVELS:
        low, high = np.quantile(values, [0.5 - level / 200, 0.5 + level / 200], method="higher")
        rows[f"low_{level}"] = np.minimum(rows[f"low_{level}"], low)
        rows[f"high_{level}"] = np.maximum(rows[f"high_{level}"], high)
    low, high = np.quantile(sums, [0.1, 0.9])
    return rows, (total[0], min(total[1], float(low)), max(total[2], float(high)))


def _relative_interval(past: dict[str, Past], actual: Past, first: int, seed: int) -> tuple[float, float]:
    own, naive = (np.abs(past[m][first:] - actual[first:]).sum(axis=1) for m in (CHOSEN, BASELINE))
    drawn = np.random.default_rng(seed).integers(len(own), size=(_REPLICATES, len(own)))
    ratio = own[drawn].sum(axis=1) / np.maximum(naive[drawn].sum(axis=1), 1e-12)
    low, high = np.quantile(ratio, [0.025, 0.975])
    return float(low), float(high)


def _total(made: NDArray[np.float64], past: Past, actual: Past) -> tuple[float, float, float]:
    sums = past.sum(axis=1)
    off = np.sort(np.abs(actual.sum(axis=1) - sums) / np.maximum(sums, 1e-9))
    rank = min(int(np.ceil(LEVELS[0] / 100 * (len(off) + 1))), len(off)) - 1
    total = float(made.sum())
    return total, total * max(1 - float(off[rank]), 0.0), total * (1 + float(off[rank]))

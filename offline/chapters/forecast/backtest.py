"""Forecast a series by several methods, judged by what each would have said at earlier times.

At many origins in the past every method sees only what was known then and forecasts the days that followed
[Tashman 2000, doi 10.1016/S0169-2070(00)00065-0], and all are compared with the seasonal naive forecast (as in the last
week), which is what an attentive shop keeper would say. The default is the plain mean of three simple methods: such
means are hard to beat [Makridakis et al. 2020, doi 10.1016/j.ijforecast.2019.04.014]. Another method replaces it if it
was clearly better at the earlier origins: by a twentieth, and beyond chance (t-test of the differences), because of
several methods one is always ahead by luck. The choice is repeated at every origin from earlier origins only, so the
figures of "as chosen" are those of a forecaster who did not know the future.

Origins overlap by half: a forecast of four weeks begins every other week. That gives intervals more errors to be made
of. Whatever needs independent errors (the choice, the interval of the gain) takes every second.

Where most days have no order, the mean of past weeks and Croston's method for intermittent demand [Syntetos, Boylan
2005, doi 10.1016/j.ijforecast.2004.10.001] take part instead, and squared errors are compared: the absolute ones would
always prefer a forecast of nothing.
"""

from __future__ import annotations

import warnings
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from features.counts import counted
from offline.chapters.forecast.intervals import LEVELS, day_intervals, sum_interval, widened
from offline.chapters.forecast.series import Series
from offline.exceptions import MissingExtra, TrainingError
from offline.progress import OnProgress

BASELINE: Final = "SeasonalNaive"
COMBINED: Final = "combination"
CHOSEN: Final = "chosen"
NAMES: Final = {
    BASELINE: "seasonal naive",
    "AutoETS": "exponential smoothing (ETS)",
    "AutoTheta": "Theta",
    "MSTL": "decomposition (STL) with ETS",
    "CrostonSBA": "Croston's method (SBA)",
    "SeasonalWindowAverage": "mean of four weeks",
    COMBINED: "mean of simple methods",
    CHOSEN: "as chosen at the time",
}
#: Weeks that a mean is taken of.
SEASONS: Final = 4
#: Another method replaces the combination if its error was at most this share of it.
CLEARLY_BETTER: Final = 0.95

_SMOOTH: Final = (BASELINE, "SeasonalWindowAverage", "AutoETS", "AutoTheta")
_INTERMITTENT: Final = (BASELINE, "SeasonalWindowAverage", "CrostonSBA")
_PERIODS, _QUICK_PERIODS, _LEAST_PERIODS = 12, 8, 6
_OVERLAP: Final = 2
_SURE: Final = 0.975
_LEAST_COMPARED: Final = 3  # fewer origins say too little of a method
_REPLICATES: Final = 1_000
_NO_ERROR: Final = 1e-9

Past = NDArray[np.float64]  # shape (origins, steps)


class Origins(NamedTuple):
    """Times in the past at which forecasts are made.

    Attributes
    ----------
    number
        How many.
    stride
        Days of business between two.
    apart
        How many origins lie between two whose forecasts do not overlap.
    """

    number: int
    stride: int
    apart: int

    def known(self, at: int) -> slice:
        """Return the origins whose outcomes are known at another one."""
        return slice(0, max(at - self.apart + 1, 0))


class Forecast(NamedTuple):
    """A forecast of one measure and how the methods did before.

    Attributes
    ----------
    method
        The one that the forecast is from, in words.
    ahead
        One row for each coming day but closed weekdays: ``date``, ``forecast``, ``low_80``, ``high_80``, ``low_95``,
        ``high_95``, ``closed`` (the past says that the shop will be closed; the forecast is nothing).
    weeks
        The same for calendar weeks, of which the first and the last may be cut: sums of the days, with intervals for
        the sums; ``closed`` where the shop will be closed all week.
    total
        Sum over all coming days with its 80% interval.
    scores
        One row for each method and one for the choice, at the judged origins: ``method``, ``mae``, ``rmse``,
        ``relative`` (mean absolute error as a share of the seasonal naive forecast's), ``total error`` (of the sum over
        all days, as a share of the sum), ``covered 80``, ``covered 95`` (share of days inside the intervals).
    totals_covered
        How many sums were inside their 80% interval, and of how many.
    relative_interval
        95% interval of ``relative`` for the choice, by a bootstrap over blocks of origins that overlap.
    backtest
        Past forecasts that do not overlap: ``origin``, ``date``, ``actual``, and a column for each method.
    judged
        How many origins the scores are from; the first ones only serve to choose and to measure errors.
    """

    method: str
    ahead: pd.DataFrame
    weeks: pd.DataFrame
    total: tuple[float, float, float]
    scores: pd.DataFrame
    totals_covered: tuple[int, int]
    relative_interval: tuple[float, float]
    backtest: pd.DataFrame
    judged: int

    @property
    def relative(self) -> float:
        """Mean absolute error of the choice as a share of the seasonal naive forecast's; 1 if both made none."""
        return float(self.scores.set_index("method").loc[NAMES[CHOSEN], "relative"])

    def exact(self, method: str) -> bool:
        """Whether a method was never wrong."""
        return bool(self.scores.set_index("method").loc[NAMES[method], "mae"] < _NO_ERROR)


def forecast_series(
    series: Series,
    measure: str,
    days: int,
    *,
    quick: bool = False,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Forecast:
    """Choose a method on past origins and forecast the coming days.

    Parameters
    ----------
    measure
        "orders" or "revenue".
    days
        How many days to forecast, closed ones included.
    quick
        Fewer methods and origins.
    on_progress
        Called with methods done and in all.

    Raises
    ------
    TrainingError
        The series is too short for a backtest, or the shop is closed on all of the coming days.
    """
    coming = series.coming(days)
    steps = len(coming)
    if not steps:
        raise TrainingError(
            f"the next {counted(days, 'day')} are weekdays on which the shop is closed: forecast more days"
        )
    values = series.filled(measure)
    origins = origins_of(len(values), steps, series.season, quick=quick)
    intermittent = float(np.median(series.frame["orders"])) == 0
    methods = _INTERMITTENT if intermittent else _SMOOTH if quick else (*_SMOOTH, "MSTL")
    members = [method for method in methods if method not in (BASELINE, "MSTL")]
    past: dict[str, Past] = {}
    ahead: dict[str, NDArray[np.float64]] = {}
    for done, method in enumerate(methods):
        past[method], ahead[method] = _run(method, series.season, values, steps, origins)
        if on_progress is not None:
            on_progress(done + 1, len(methods))
    past[COMBINED] = np.mean([past[method] for method in members], axis=0)
    ahead[COMBINED] = np.mean([ahead[method] for method in members], axis=0)

    at = _positions(len(values), steps, origins)
    every = pd.DatetimeIndex(series.frame.index)
    shut = np.stack([series.shut(rows[0], every[rows]) for rows in at])
    past = {method: np.where(shut, 0.0, made) for method, made in past.items()}
    actual = np.where(series.missing[at], np.nan, series.frame[measure].to_numpy(np.float64)[at])
    chosen = [
        choose_method(past, actual, before, apart=origins.apart, squared=intermittent)
        for before in range(origins.number)
    ]
    # All outcomes are known now: as if the next origin were where the last forecast ends.
    now = choose_method(
        past, actual, origins.number - 1 + origins.apart, apart=origins.apart, squared=intermittent
    )
    past[CHOSEN] = np.stack([past[method][at] for at, method in enumerate(chosen)])
    first = max(origins.number // 3, origins.apart)
    closed = series.shut(len(values), coming)
    made = np.where(closed, 0.0, ahead[now])
    rows = day_intervals(made, past[now], actual, closed)
    if intermittent:
        rows = widened(rows, values, closed)
    rows.insert(0, "date", coming)
    scores, covered = zip(
        *(_score(method, past, actual, shut, first, origins) for method in past), strict=True
    )
    return Forecast(
        NAMES[now],
        rows.assign(closed=closed),
        _weeks(rows, past[now], actual, ~closed),
        sum_interval(made, past[now], actual, LEVELS[0], ~closed),
        pd.DataFrame(scores),
        covered[-1],
        _relative_interval(past, actual, first, origins.apart, seed),
        _backtest(every, at, past, actual, origins.apart),
        int((~np.isnan(actual[first:]).all(axis=1)).sum()),
    )


def choose_method(
    past: dict[str, Past], actual: Past, at: int, *, apart: int = 1, squared: bool = False
) -> str:
    """Return the method that the errors known at origin ``at`` speak for.

    Parameters
    ----------
    apart
        Origins from one forecast to the next that does not overlap it.
    squared
        Compare squared errors.
    """
    known = np.arange(at - apart, -1, -apart)
    known = known[~np.isnan(actual[known]).all(axis=1)]
    errors = {
        method: np.nanmean(np.abs(made[known] - actual[known]) ** (2 if squared else 1), axis=1)
        for method, made in past.items()
    }
    compared = len(errors[COMBINED])
    if compared < _LEAST_COMPARED:
        return COMBINED
    best = min(errors, key=lambda method: float(errors[method].mean()))
    gain = errors[COMBINED] - errors[best]
    bound = stats.t.ppf(_SURE, compared - 1) * gain.std(ddof=1) / np.sqrt(compared)
    enough = errors[best].mean() <= CLEARLY_BETTER * errors[COMBINED].mean()
    return best if enough and gain.mean() > bound else COMBINED


def origins_of(length: int, steps: int, season: int, *, quick: bool = False) -> Origins:
    """Return the times at which forecasts of ``steps`` days can be tried in a series.

    Raises
    ------
    TrainingError
        It is too short.
    """
    # The mean of four weeks needs as many.
    least = max(SEASONS * season, 2 * steps, 12)
    periods = min(_QUICK_PERIODS if quick else _PERIODS, (length - least) // steps)
    if periods < _LEAST_PERIODS:
        raise TrainingError(
            f"{length} whole days are too few to try forecasts of {counted(steps, 'day')} at {_LEAST_PERIODS} "
            f"earlier times ({least + _LEAST_PERIODS * steps} would do): use a longer log"
            f"{' or a shorter forecast' * (steps > 1)}"
        )
    stride = max(steps // _OVERLAP, 1)
    return Origins((periods - 1) * steps // stride + 1, stride, -(-steps // stride))


def _positions(length: int, steps: int, origins: Origins) -> NDArray[np.intp]:
    """Return the positions of the days that each origin forecasts, shape (origins, steps)."""
    begins = length - steps - origins.stride * np.arange(origins.number - 1, -1, -1)
    return np.asarray(begins[:, None] + np.arange(steps), np.intp)


def _backtest(
    every: pd.DatetimeIndex, at: NDArray[np.intp], past: dict[str, Past], actual: Past, apart: int
) -> pd.DataFrame:
    """Return past forecasts that do not overlap beside what happened, one row for each day."""
    shown = np.arange(len(at) - 1, -1, -apart)[::-1]
    known = {
        "origin": np.repeat(shown, at.shape[1]),
        "date": every[at[shown].ravel()],
        "actual": actual[shown].ravel(),
    }
    return pd.DataFrame(known | {method: made[shown].ravel() for method, made in past.items()})


def _run(
    method: str, season: int, values: NDArray[np.float64], steps: int, origins: Origins
) -> tuple[Past, NDArray[np.float64]]:
    """Return what a method would have forecast at past origins, and what it forecasts now; never less than nothing."""
    try:
        import statsforecast
        from statsforecast import models
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "statsforecast") from None
    arguments: dict[str, Any] = {} if method == "CrostonSBA" else {"season_length": season}
    if method == "SeasonalWindowAverage":
        arguments["window_size"] = SEASONS
    if method == "MSTL":
        arguments["trend_forecaster"] = models.AutoETS(model="ZZN")
    model = getattr(models, method)(alias="value", **arguments)
    frame = pd.DataFrame({"unique_id": "all", "ds": np.arange(len(values)), "y": values})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numerical remarks about single candidates within a search
        runner = statsforecast.StatsForecast(models=[model], freq=1, n_jobs=1)
        past = runner.cross_validation(df=frame, h=steps, step_size=origins.stride, n_windows=origins.number)
        ahead = runner.forecast(df=frame, h=steps)
    made = past.sort_values(["cutoff", "ds"])["value"].to_numpy(np.float64).reshape(origins.number, steps)
    return np.maximum(made, 0.0), np.maximum(ahead["value"].to_numpy(np.float64), 0.0)


def _score(
    method: str, past: dict[str, Past], actual: Past, shut: NDArray[np.bool_], first: int, origins: Origins
) -> tuple[dict[str, Any], tuple[int, int]]:
    """Return how a method did at the judged origins, and how many sums were inside their interval, of how many."""
    made, truth = past[method], actual
    error = (made - truth)[first:]
    naive = float(np.nanmean(np.abs(past[BASELINE] - truth)[first:]))
    own = float(np.nanmean(np.abs(error)))
    sums = truth[first:].sum(axis=1)  # of a gap: not a number
    score: dict[str, Any] = {
        "method": NAMES[method],
        "mae": own,
        "rmse": float(np.sqrt(np.nanmean(np.square(error)))),
        "relative": 1.0 if max(own, naive) < _NO_ERROR else own / max(naive, _NO_ERROR),
        "total error": float(np.nanmean(np.abs(made[first:].sum(axis=1) - sums) / np.maximum(sums, 1.0))),
    }
    inside: dict[int, list[NDArray[np.bool_]]] = {level: [] for level in LEVELS}
    held = tried = 0
    for at in range(first, origins.number):
        known = origins.known(at)
        bands = day_intervals(made[at], made[known], truth[known], shut[at])
        judged = ~np.isnan(truth[at])
        for level in LEVELS:
            low, high = bands[f"low_{level}"].to_numpy(), bands[f"high_{level}"].to_numpy()
            inside[level].append(((truth[at] >= low) & (truth[at] <= high))[judged])
        if judged.all():
            _, least, most = sum_interval(made[at], made[known], truth[known], LEVELS[0], ~shut[at])
            tried += 1
            held += bool(least <= truth[at].sum() <= most)
    shares = {f"covered {level}": float(np.mean(np.concatenate(found))) for level, found in inside.items()}
    return score | shares, (held, tried)


def _weeks(rows: pd.DataFrame, past: Past, actual: Past, opened: NDArray[np.bool_]) -> pd.DataFrame:
    """Return a forecast of days as one of calendar weeks, of which the days that are open count."""
    dates = pd.DatetimeIndex(rows["date"])
    monday = dates - pd.to_timedelta(dates.day_of_week, unit="D")
    made = rows["forecast"].to_numpy(np.float64)
    weeks = []
    for week in monday.unique():
        own = np.asarray(monday == week)
        found: dict[str, Any] = {"date": dates[own][0]}
        for level in LEVELS:
            found["forecast"], found[f"low_{level}"], found[f"high_{level}"] = sum_interval(
                made, past, actual, level, own & opened
            )
        weeks.append(found | {"closed": not (own & opened).any()})
    return pd.DataFrame(weeks)


def _relative_interval(
    past: dict[str, Past], actual: Past, first: int, apart: int, seed: int
) -> tuple[float, float]:
    """Return the interval by a circular block bootstrap [Politis and Romano 1992]: blocks of origins that overlap."""
    own, naive = (np.nansum(np.abs(past[m][first:] - actual[first:]), axis=1) for m in (CHOSEN, BASELINE))
    blocks = -(-len(own) // apart)
    starts = np.random.default_rng(seed).integers(len(own), size=(_REPLICATES, blocks, 1))
    drawn = ((starts + np.arange(apart)) % len(own)).reshape(_REPLICATES, -1)[:, : len(own)]
    mine, its = own[drawn].sum(axis=1), naive[drawn].sum(axis=1)
    ratio = np.where(np.maximum(mine, its) < _NO_ERROR, 1.0, mine / np.maximum(its, _NO_ERROR))
    low, high = np.quantile(ratio, [0.025, 0.975])
    return float(low), float(high)

"""The stage "forecast": orders and revenue of the coming days and weeks, and how far to trust them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go

from features.whole_files import whole_file
from offline.chapters.forecast.backtest import BASELINE, CHOSEN, NAMES, SEASONS, Forecast, forecast_series
from offline.chapters.forecast.series import MEASURES, Series, daily, weekly
from offline.chapters.workspace import Workspace
from offline.exceptions import TrainingError
from offline.report.section import Picture, Section, Table
from offline.report.theme import BLUE, GREY, ORANGE, faint

#: Days and weeks that are forecast by default.
_DAYS, _WEEKS = 28, 4
_SHOWN_SEASONS: Final = 14
_EIGHT: Final = 8
# What binary fractions leave of an error of 0.
_NO_ERROR: Final = 1e-9
#: Where all steps of the forecast go in the report's folder.
FORECAST_FILE: Final = "forecast.csv"
_WORDS: Final = {
    "mae": "mean error",
    "rmse": "RMSE",
    "relative": "against naive",
    "total error": "error of the sum",
    "covered 80": "inside 80 %",
    "covered 95": "inside 95 %",
}
_SHARES: Final = {
    "against naive": ".2f",
    "error of the sum": ".1%",
    "inside 80 %": ".0%",
    "inside 95 %": ".0%",
}
_LAST_OF_WEEK: Final = pd.Timedelta(days=6)


def forecast(workspace: Workspace) -> Section:
    """Run the stage on the log of a report."""
    view = workspace.customer_view
    with workspace.progress("Forecasting") as on_progress:
        every = daily(view)
        asked = workspace.options.forecast_days
        days = asked if asked is not None else _usual_days(every)
        steps = max(1, round(days * every.season / 7))
        made: list[tuple[Series, int]] = [(every, steps)]
        with suppress(TrainingError):  # what is too short for weeks still has days
            made.append((weekly(view), max(1, round(days / 7)) if asked is not None else _WEEKS))
        parts: list[Table | Picture] = []
        summary: list[str] = []
        figures: dict[str, Any] = {}
        written: list[pd.DataFrame] = []
        for at, (series, ahead) in enumerate(made):
            found: dict[str, Forecast] = {}
            for nth, measure in enumerate(MEASURES):
                if not series.frame[measure].any():
                    if series is every:
                        summary.append(
                            f"Every order is worth nothing, so there is no {MEASURES[measure]} to forecast."
                        )
                    continue
                try:
                    found[measure] = forecast_series(
                        series, measure, ahead, quick=workspace.options.quick, seed=workspace.options.seed
                    )
                except TrainingError:
                    if series is every:
                        raise
                    break
                on_progress(at * len(MEASURES) + nth + 1, len(made) * len(MEASURES))
            for measure, result in found.items():
                summary.append(_sentence(series, measure, ahead, result))
                parts += _parts(series, measure, result)
            if found:
                parts.append(_ahead_table(series, found))
                written.append(_rows(series, found))
            figures[series.step] = {m: _figures(series, ahead, f) for m, f in found.items()}
    _write(written, workspace.directory / FORECAST_FILE)
    summary.append(
        "Public holidays, campaigns and price changes are not known to it: a coming Christmas is forecast as ordinary "
        "days unless the log has enough of them."
    )
    return Section("forecast", "Forecast", summary, parts, {name: f for name, f in figures.items() if f})


def _usual_days(series: Series) -> int:
    """Return as many days as the series allows to be tried at eight earlier times."""
    return max(1, min(_DAYS, (len(series) - SEASONS * series.season) // _EIGHT))


def _sentence(series: Series, measure: str, steps: int, result: Forecast) -> str:
    total, low, high = result.total
    unit = f" {series.currency}" if measure == "revenue" else ""
    what = MEASURES[measure]
    until = _end(series, result.ahead["date"].iloc[-1])
    inside = result.scores.set_index("method").loc[NAMES[CHOSEN], "covered 80"]
    naive = _baseline(series)
    least, most = result.relative_interval
    verdict = _without_error(result, naive) or (
        f"its errors were {1 - result.relative:.0%} smaller than those of the {naive}"
        if most < 1
        else f"there is no proof that it beats the {naive}"
        if least < 1
        else f"it was worse than the {naive}: take that one"
    )
    compared = (
        ""
        if _without_error(result, naive)
        else f" (error as a share of that one's: {result.relative:.2f}, {least:.2f} to {most:.2f})"
    )
    return (
        f"{what.capitalize()} over the next {steps} {_words(series)}, to {until:%d %b %Y}: {total:,.0f}{unit} "
        f"(80 % interval {low:,.0f} to {high:,.0f}). Tried at {result.judged} earlier times, {verdict}{compared}; "
        f"its 80 % intervals held {inside:.0%} of the {series.step}s."
    )


def _without_error(result: Forecast, naive: str) -> str | None:
    """Say that there was nothing to beat, where that is so."""
    errors = result.scores.set_index("method")["mae"]
    if float(errors.loc[NAMES[BASELINE]]) > _NO_ERROR:
        return None
    if float(errors.loc[NAMES[CHOSEN]]) <= _NO_ERROR:
        return f"it and the {naive} were both without error"
    return f"the {naive} was without error, so take that one"


def _end(series: Series, date: pd.Timestamp) -> pd.Timestamp:
    """Return the last day of a step."""
    return date + _LAST_OF_WEEK if series.step == "week" else date


def _ahead_table(series: Series, found: dict[str, Forecast]) -> Table:
    """Return what is forecast for every step, with 80 % intervals."""
    dates = next(iter(found.values())).ahead["date"]
    form = "%d %b %Y" if series.step == "week" else "%a %d %b %Y"
    frame = pd.DataFrame(
        {"week from" if series.step == "week" else "day": [f"{date:{form}}" for date in dates]}
    )
    for measure, result in found.items():
        unit = f" ({series.currency})" if measure == "revenue" else ""
        frame[f"{MEASURES[measure]}{unit}"] = result.ahead["forecast"].to_numpy()
        frame[f"{MEASURES[measure]}, 80 %"] = [
            f"{low:,.0f} to {high:,.0f}"
            for low, high in zip(result.ahead["low_80"], result.ahead["high_80"], strict=True)
        ]
    caption = f"With 80 % intervals; 95 % intervals too: {FORECAST_FILE}."
    if series.closed:
        caption += " Weekdays on which the shop never sells are left out."
    return Table(f"Forecast per {series.step}", frame, caption, dict.fromkeys(frame.columns, ",.0f"))


def _rows(series: Series, found: dict[str, Forecast]) -> pd.DataFrame:
    return pd.concat(
        [result.ahead.assign(step=series.step, measure=measure) for measure, result in found.items()]
    )


def _write(written: list[pd.DataFrame], path: Path) -> None:
    """Write the steps of all forecasts as one table (CSV)."""
    frame = pd.concat(written)
    first = ["step", "measure", "date"]
    frame = frame[first + [name for name in frame if name not in first]]
    with whole_file(path) as partial:
        frame.to_csv(partial, index=False, float_format="%.2f")


def _words(series: Series) -> str:
    if series.step == "week":
        return "weeks"
    return "days of business" if series.closed else "days"


def _baseline(series: Series) -> str:
    if series.season > 1:
        return f"{NAMES[BASELINE]} forecast"
    return f"naive forecast (as in the last {series.step})"


def _parts(series: Series, measure: str, result: Forecast) -> list[Table | Picture]:
    scores = result.scores.assign(method=result.scores["method"].map(lambda name: _method(name, series)))
    what = f"{MEASURES[measure].capitalize()} per {series.step}"
    unit = f" in {series.currency}" if measure == "revenue" else ""
    digits = dict.fromkeys((_WORDS["mae"], _WORDS["rmse"]), ",.0f" if measure == "revenue" else ",.1f")
    return [
        Picture(
            f"{what}: forecast",
            _picture(series, measure, result),
            f"{'Before refunds. ' if measure == 'revenue' else ''}Dark band: 80 % interval, light band: 95 %, as wide "
            f"as errors were at earlier times. Forecast by: {_method(result.method, series)}. Orange: what would have "
            "been forecast at earlier times, knowing nothing of what came after.",
        ),
        Table(
            f"{what}: methods at earlier times",
            scores.rename(columns=_WORDS),
            f"At {result.judged} earlier times: errors per {series.step}{unit} (RMSE: root of the mean "
            f"squared error, which large ones dominate); against naive: mean error as a share "
            f"of that of the {_baseline(series)} (below 1: better); error of the sum over all {series.step}s of a "
            "forecast; inside: share of what happened that lay inside the intervals, which are made from the errors "
            "before each time only. “As chosen”: the method that would have been chosen then.",
            _SHARES | digits,
        ),
    ]


def _method(name: str, series: Series) -> str:
    if name == NAMES[BASELINE] and series.season == 1:
        return f"naive (as in the last {series.step})"
    return name if series.season > 1 else name.replace("four seasons", f"four {series.step}s")


def _picture(series: Series, measure: str, result: Forecast) -> go.Figure:
    figure = go.Figure()
    shown = max(_SHOWN_SEASONS * series.season, 3 * len(result.ahead), 40)
    past = series.frame[measure].iloc[-shown:]
    ahead = result.ahead
    for level, share in ((95, 0.12), (80, 0.25)):
        figure.add_scatter(
            x=[*ahead["date"], *ahead["date"][::-1]],
            y=[*ahead[f"high_{level}"], *ahead[f"low_{level}"][::-1]],
            fill="toself", mode="lines", fillcolor=faint(BLUE, share), line={"width": 0}, hoverinfo="skip",
            name=f"{level} % interval", showlegend=True,
        )  # fmt: skip
    figure.add_scatter(
        x=past.index, y=past, mode="lines", name="what happened", line={"color": GREY, "width": 1.6},
        hovertemplate="%{x|%a %d %b %Y}: %{y:,.0f}<extra></extra>",
    )  # fmt: skip
    tested = result.backtest[result.backtest["date"] >= past.index[0]]
    for nth, (_, rows) in enumerate(tested.groupby("origin")):
        figure.add_scatter(
            x=rows["date"], y=rows[CHOSEN], mode="lines", name="forecast then", legendgroup="then",
            showlegend=nth == 0, line={"color": ORANGE, "width": 1.4},
            hovertemplate="%{x|%a %d %b %Y}: %{y:,.0f} forecast<extra></extra>",
        )  # fmt: skip
    figure.add_scatter(
        x=ahead["date"], y=ahead["forecast"], mode="lines", name="forecast",
        line={"color": BLUE, "width": 2.5},
        hovertemplate="%{x|%a %d %b %Y}: %{y:,.0f}<extra></extra>",
    )  # fmt: skip
    unit = f" ({series.currency})" if measure == "revenue" else ""
    figure.update_yaxes(title_text=f"{MEASURES[measure]} per {series.step}{unit}", rangemode="tozero")
    figure.update_layout(height=420)
    return figure


def _figures(series: Series, steps: int, result: Forecast) -> dict[str, Any]:
    return {
        "steps": steps,
        "season": series.season,
        "closed_weekdays": list(series.closed),
        "method": result.method,
        "total": result.total,
        "relative": result.relative,
        "relative_interval": result.relative_interval,
        "origins": result.judged,
        "scores": result.scores,
        "ahead": result.ahead,
    }

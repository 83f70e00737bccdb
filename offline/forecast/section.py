"""The stage "forecast": orders and revenue of the coming days and weeks, and how far to trust them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import plotly.graph_objects as go

from offline.exceptions import TrainingError
from offline.forecast.backtest import BASELINE, CHOSEN, NAMES, Forecast, forecast_series
from offline.forecast.series import MEASURES, Series, daily, weekly
from offline.report.section import Picture, Section, Table
from offline.report.theme import BLUE, GREY, ORANGE, faint
from offline.report.workspace import Workspace
from offline.segments.section import log_view

#: Where a command may leave how many days to forecast.
DAYS: Final = "forecast_days"
#: Days and weeks that are forecast where nothing else is said, and what a log must have for so many.
_DAYS, _WEEKS = 28, 4
_SHOWN_SEASONS: Final = 14
_EIGHT: Final = 8
_FORMATS: Final = {"mae": ",.1f", "rmse": ",.1f", "relative": ".3f", "total error": ".1%", "covered 80": ".0%",
                   "covered 95": ".0%"}  # fmt: skip


def forecast(workspace: Workspace) -> Section:
    """Run the stage on the log of a report."""
    view = log_view(workspace)
    with workspace.progress("Forecasting") as on_progress:
        every = daily(view)
        asked = workspace.shared.get(DAYS)
        days = asked if asked is not None else min(_DAYS, len(every) // (_EIGHT + 2))
        steps = max(1, round(days * every.season / 7))
        made: list[tuple[Series, int]] = [(every, steps)]
        with suppress(TrainingError):  # what is too short for weeks still has days
            made.append((weekly(view), max(1, round(days / 7)) if asked is not None else _WEEKS))
        parts: list[Table | Picture] = []
        summary: list[str] = []
        figures: dict[str, Any] = {}
        for at, (series, ahead) in enumerate(made):
            found: dict[str, Forecast] = {}
            for nth, measure in enumerate(MEASURES):
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
            figures[series.step] = {m: _figures(series, ahead, f) for m, f in found.items()}
    summary.append(
        "Public holidays, campaigns and price changes are not known to it: a coming Christmas is forecast as ordinary "
        "days unless the log has enough of them."
    )
    return Section("forecast", "Forecast", summary, parts, {name: f for name, f in figures.items() if f})


def _sentence(series: Series, measure: str, steps: int, result: Forecast) -> str:
    total, low, high = result.total
    unit = f" {series.currency}" if measure == "revenue" else ""
    what = MEASURES[measure]
    until = result.ahead["date"].iloc[-1]
    naive = _baseline(series)
    least, most = result.relative_interval
    verdict = (
        f"errors are {1 - result.relative:.0%} smaller than those of the {naive} forecast"
        if most < 1
        else f"no proof that it beats the {naive} forecast"
        if least < 1
        else f"worse than the {naive} forecast: take that one"
    )
    return (
        f"{what.capitalize()} over the next {steps} {_words(series)}, to {until:%d %b %Y}: {total:,.0f}{unit} "
        f"(80 % interval {low:,.0f} to {high:,.0f}). Tried at {result.judged} earlier times: {verdict} "
        f"(ratio {result.relative:.2f}, {least:.2f} to {most:.2f})."
    )


def _words(series: Series) -> str:
    if series.step == "week":
        return "weeks"
    return "days of business" if series.closed else "days"


def _baseline(series: Series) -> str:
    if series.season > 1:
        return NAMES[BASELINE]
    return f"naive (like the last {series.step})"


def _parts(series: Series, measure: str, result: Forecast) -> list[Table | Picture]:
    scores = result.scores.assign(method=result.scores["method"].map(lambda name: _method(name, series)))
    what = f"{MEASURES[measure].capitalize()} per {series.step}"
    unit = f" in {series.currency}" if measure == "revenue" else ""
    return [
        Picture(
            f"{what}: forecast",
            _picture(series, measure, result),
            f"{'Before refunds. ' if measure == 'revenue' else ''}Dark band: 80 %, light band: 95 % interval, from "
            f"errors at earlier times. Forecast by: "
            f"{_method(result.method, series)}. Orange: what would have been forecast at earlier times.",
        ),
        Table(
            f"{what}: methods at earlier times",
            scores,
            f"Mean absolute and root mean squared error{unit} at {result.judged} origins; relative: as a share of the "
            f"{_baseline(series)} forecast's. Covered: share of steps inside the intervals, which are made from the "
            "errors before each origin.",
            _FORMATS,
        ),
    ]


def _method(name: str, series: Series) -> str:
    if name == NAMES[BASELINE]:
        return _baseline(series)
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

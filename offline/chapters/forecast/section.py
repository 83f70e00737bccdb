"""The stage "forecast": orders and revenue of the coming days, and how far to trust them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go

from features.counts import counted
from features.whole_files import whole_file
from offline.chapters.forecast.backtest import BASELINE, CHOSEN, SEASONS, Forecast, forecast_series
from offline.chapters.forecast.remarks import TOO_SHORT, ahead_words, is_short, remarks
from offline.chapters.forecast.series import MEASURES, Series, daily
from offline.chapters.workspace import Workspace
from offline.report.section import Finding, Picture, Section, Table
from offline.report.theme import BLUE, GREY, ORANGE, faint

#: Days that are forecast by default.
_DAYS: Final = 28
_WEEK: Final = 7
_SHOWN_SEASONS: Final = 14
_EIGHT: Final = 8
# Sums inside their 80% interval, of ten: what may happen by chance if the interval is right.
_AS_PROMISED: Final = 0.65
#: Where all days and weeks of the forecast go in the report's folder.
FORECAST_FILE: Final = "forecast.csv"
_WORDS: Final = {
    "mae": "mean error",
    "rmse": "RMSE",
    "relative": "against naive",
    "total error": "error of the sum",
    "covered 80": "inside 80%",
    "covered 95": "inside 95%",
}
_SHARES: Final = {
    "against naive": ".2f",
    "error of the sum": ".1%",
    "inside 80%": ".0%",
    "inside 95%": ".0%",
}
_NAIVE: Final = "seasonal naive forecast (as in the week before)"


def forecast(workspace: Workspace) -> Section:
    """Run the stage on the log of a report."""
    series = daily(workspace.customer_view)
    asked = workspace.options.forecast_days
    days = asked if asked is not None else _usual_days(series)
    measures = [measure for measure in MEASURES if series.frame[measure].any()]
    found: dict[str, Forecast] = {}
    with workspace.progress("Forecasting") as on_progress:
        for done, measure in enumerate(measures):
            found[measure] = forecast_series(
                series, measure, days, quick=workspace.options.quick, seed=workspace.options.seed
            )
            on_progress(done + 1, len(measures))
    summary = [_sentence(series, measure, days, result) for measure, result in found.items()]
    summary += remarks(series, days, found, asked=asked is not None)
    parts: list[Table | Picture] = [_table(series, days, found, step) for step in ("week", "day")]
    for measure, result in found.items():
        parts += _parts(series, measure, result)
    _write(series, days, found, workspace.directory / FORECAST_FILE)
    short = asked is None and is_short(days)
    findings = [_too_short(series)] if short else _findings(series, days, found)
    figures = {measure: _figures(series, days, result) for measure, result in found.items()}
    return Section("forecast", "Forecast", summary, parts, figures, findings=findings)


def _usual_days(series: Series) -> int:
    """Return as many days as the series allows to be tried at eight earlier times, one of business at least."""
    steps = (len(series) - SEASONS * series.season) // _EIGHT
    days = max(1, min(_DAYS, steps * _WEEK // series.season))
    return next(some for some in range(days, days + _WEEK + 1) if len(series.coming(some)))


def _sentence(series: Series, measure: str, days: int, result: Forecast) -> str:
    total, low, high = result.total
    unit = f" {series.currency}" if measure == "revenue" else ""
    until = series.end + pd.Timedelta(days=days)
    held, tried = result.totals_covered
    return (
        f"{MEASURES[measure].capitalize()} over {ahead_words(days)}, to {until:%d %b %Y}: "
        f"{total:,.0f}{unit} (80% interval {low:,.0f} to {high:,.0f}). Tried at {result.judged} earlier times, "
        f"{_verdict(result)}. The sum was inside its 80% interval {held} of {tried} times{_promise(held, tried)}."
    )


def _verdict(result: Forecast) -> str:
    least, most = result.relative_interval
    if result.exact(BASELINE):
        if result.exact(CHOSEN):
            return f"both it and the {_NAIVE} were without error"
        return f"the {_NAIVE} was without error: take that one"
    if most < 1:
        return (
            f"its errors were {1 - result.relative:.0%} smaller than those of the {_NAIVE}; 95% interval "
            f"{1 - most:.0%} to {1 - least:.0%}"
        )
    if least < 1:
        return f"there is no proof that it beats the {_NAIVE}"
    return f"it was worse than the {_NAIVE}: take that one"


def _promise(held: int, tried: int) -> str:
    if held < _AS_PROMISED * tried:
        return ", which is less often than it should be: allow for more"
    return ""


def _too_short(series: Series) -> Finding:
    return Finding(
        TOO_SHORT,
        f"Counted: {counted(len(series), 'whole day')} of business.",
        "Come back with a longer log before you plan by a forecast.",
    )


def _findings(series: Series, days: int, found: dict[str, Forecast]) -> list[Finding]:
    measure, result = next(iter(found.items()))
    total, low, high = result.total
    held, tried = result.totals_covered
    until = series.end + pd.Timedelta(days=days)
    span = f"{ahead_words(days)}, to {until:%d %b %Y}"
    what = f"About {total:,.0f} {MEASURES[measure]} are expected over {span}."
    if "revenue" in found and measure != "revenue":
        what = f"{what[:-1]}, worth about {found['revenue'].total[0]:,.0f} {series.currency}."
    return [
        Finding(
            what,
            f"Orders between {low:,.0f} and {high:,.0f} (80% interval). At earlier times the sum was inside such an "
            f"interval {held} of {tried} times{_promise(held, tried)}.",
            "Plan stock and staff by week, for the upper end where running out costs more than what is left over.",
            file=FORECAST_FILE,
        )
    ]


def _table(series: Series, days: int, found: dict[str, Forecast], step: str) -> Table:
    """Return what is forecast for every day or week, with 80% intervals."""
    ahead = {
        measure: result.weeks if step == "week" else series.every_day(result.ahead, days)
        for measure, result in found.items()
    }
    dates = next(iter(ahead.values()))["date"]
    form = "%d %b %Y" if step == "week" else "%a %d %b %Y"
    frame = pd.DataFrame({"week from" if step == "week" else "day": [f"{date:{form}}" for date in dates]})
    for measure, rows in ahead.items():
        unit = f" ({series.currency})" if measure == "revenue" else ""
        frame[f"{MEASURES[measure]}{unit}"] = rows["forecast"].to_numpy()
        frame[f"{MEASURES[measure]}, 80%"] = [
            "closed" if shut else f"{low:,.0f} to {high:,.0f}"
            for low, high, shut in zip(rows["low_80"], rows["high_80"], rows["closed"], strict=True)
        ]
    caption = f"With 80% intervals; 95% intervals too: {FORECAST_FILE}."
    if step == "week":
        caption += " The first and the last week may be cut by the forecast's ends."
    formats = dict.fromkeys(frame.columns, ",.0f")
    return Table(f"Forecast per {step}", frame, caption, formats, "open" if step == "week" else "folded")


def _write(series: Series, days: int, found: dict[str, Forecast], path: Path) -> None:
    """Write all days, closed ones too, and weeks as one table (CSV)."""
    frame = pd.concat(
        rows.assign(step=step, measure=measure)
        for measure, result in found.items()
        for step, rows in (("day", series.every_day(result.ahead, days)), ("week", result.weeks))
    )
    first = ["step", "measure", "date"]
    frame = frame[first + [name for name in frame if name not in first]]
    with whole_file(path) as partial:
        frame.to_csv(partial, index=False, float_format="%.2f")


def _parts(series: Series, measure: str, result: Forecast) -> list[Table | Picture]:
    what = f"{MEASURES[measure].capitalize()} per day"
    unit = f" in {series.currency}" if measure == "revenue" else ""
    digits = dict.fromkeys((_WORDS["mae"], _WORDS["rmse"]), ",.0f" if measure == "revenue" else ",.1f")
    return [
        Picture(
            f"{what}: forecast",
            _picture(series, measure, result),
            f"{'Before refunds. ' if measure == 'revenue' else ''}Dark band: 80% interval, light band: 95%, as wide "
            f"as errors were at earlier times. Forecast by: {result.method}. Orange: what would have "
            "been forecast at earlier times, knowing nothing of what came after.",
            "lead" if measure == "orders" else "folded",
        ),
        Table(
            f"{what}: methods at earlier times",
            result.scores.rename(columns=_WORDS),
            f"At {result.judged} earlier times, of which some overlap: errors per day{unit} (RMSE: root of the mean "
            f"squared error, which large ones dominate); against naive: mean error as a share "
            f"of that of the {_NAIVE} (below 1: better); error of the sum over all days of a "
            "forecast; inside: share of the days that lay inside the intervals, which are made from the errors "
            "known at each time only. “As chosen”: the method that would have been chosen then.",
            _SHARES | digits,
        ),
    ]


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
            name=f"{level}% interval", showlegend=len(ahead) > 1,
        )  # fmt: skip
    figure.add_scatter(
        x=past.index, y=past, mode="lines", name="what happened", line={"color": GREY, "width": 1.6},
        hovertemplate="%{x|%a %d %b %Y}: %{y:,.0f}<extra></extra>",
    )  # fmt: skip
    tested = result.backtest[result.backtest["date"] >= past.index[0]]
    for nth, (_, rows) in enumerate(tested.groupby("origin")):
        figure.add_scatter(
            x=rows["date"], y=rows[CHOSEN], mode="lines" if len(rows) > 1 else "markers", name="forecast then",
            legendgroup="then", showlegend=nth == 0, line={"color": ORANGE, "width": 1.4},
            hovertemplate="%{x|%a %d %b %Y}: %{y:,.0f} forecast<extra></extra>",
        )  # fmt: skip
    figure.add_scatter(
        x=ahead["date"], y=ahead["forecast"], mode="lines" if len(ahead) > 1 else "markers", name="forecast",
        line={"color": BLUE, "width": 2.5}, error_y=_whisker(ahead),
        hovertemplate="%{x|%a %d %b %Y}: %{y:,.0f}<extra></extra>",
    )  # fmt: skip
    unit = f" ({series.currency})" if measure == "revenue" else ""
    figure.update_yaxes(title_text=f"{MEASURES[measure]} per day{unit}", rangemode="tozero")
    figure.update_layout(height=420)
    return figure


def _whisker(ahead: pd.DataFrame) -> dict[str, Any] | None:
    """Return the 80% interval of a single day, which a band cannot show."""
    if len(ahead) > 1:
        return None
    made = ahead["forecast"]
    return {
        "type": "data",
        "array": ahead["high_80"] - made,
        "arrayminus": made - ahead["low_80"],
        "color": BLUE,
    }


def _figures(series: Series, days: int, result: Forecast) -> dict[str, Any]:
    return {
        "days": days,
        "season": series.season,
        "closed_weekdays": list(series.closed),
        "closed_dates": [f"{day}" for day in series.days.dates],
        "gaps": [[f"{first}", f"{last}"] for first, last in series.days.gaps],
        "method": result.method,
        "total": result.total,
        "totals_covered": result.totals_covered,
        "relative": result.relative,
        "relative_interval": result.relative_interval,
        "origins": result.judged,
        "scores": result.scores,
        "ahead": series.every_day(result.ahead, days),
        "weeks": result.weeks,
    }

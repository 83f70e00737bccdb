"""When customers buy: by hour, weekday and month of the shop's local time."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from offline.chapters.exploration.findings import Findings
from offline.report.section import Picture
from offline.report.theme import BLUE, SEQUENTIAL, scale
from offline.views.log_view import LogView

WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_Z: Final = 1.96
_WEEK: Final = 7


def patterns(view: LogView) -> Findings:
    """Return orders per day by hour, weekday and month, weekdays with the spread from day to day."""
    orders = view.orders
    if not len(orders):
        return Findings("patterns")
    time = orders["time"].dt
    days = pd.date_range(view.first.normalize(), view.last.normalize(), freq="D")
    daily = time.normalize().value_counts().reindex(days, fill_value=0)
    hours = time.hour.value_counts().reindex(range(24), fill_value=0) / len(days)
    by_weekday = daily.groupby(daily.index.day_of_week).agg(["mean", "std", "size"]).reindex(range(_WEEK))
    by_month = daily.groupby(daily.index.to_period("M")).agg(["mean", "std", "size"])
    weekday_hour = (
        pd.crosstab(time.day_of_week, time.hour).reindex(index=range(_WEEK), columns=range(24), fill_value=0)
    ).div(by_weekday["size"].fillna(1), axis=0)
    best_hour, best_day = int(hours.idxmax()), int(by_weekday["mean"].idxmax())
    summary = [
        f"Most orders come between {best_hour}:00 and {best_hour + 1}:00 ({hours[best_hour] / hours.sum():.0%} "
        f"of all) and on {_LONG[best_day]} "
        f"({by_weekday['mean'][best_day]:.1f} a day, {by_weekday['mean'][best_day] / daily.mean() - 1:+.0%} "
        f"against the average day)."
    ]
    closed = [
        _LONG[day] for day in range(_WEEK) if by_weekday["mean"][day] == 0 and by_weekday["size"][day] > 1
    ]
    if closed:
        summary.append(f"No order ever came on a {' or '.join(closed)}.")
    if len(by_month) > 2:  # noqa: PLR2004  (two months are no season)
        top = by_month["mean"].idxmax()
        summary.append(
            f"The strongest month is {top.strftime('%B %Y')} with {by_month['mean'][top]:.1f} orders a day."
        )
    parts = [
        Picture(
            "Orders by hour, weekday and month",
            _bars(hours, by_weekday, by_month),
            f"Orders per day, local time of {view.timezone}; lines at weekdays and months: 95 % intervals from "
            f"how much days differ. Months are "
            "divided by the days that the log covers.",
        ),
        Picture(
            "The week at a glance",
            _heat(weekday_hour),
            "Orders per hour, averaged over all weeks of the log.",
        ),
    ]
    figures = {
        "orders_per_day_by_hour": hours,
        "orders_per_day_by_weekday": dict(zip(WEEKDAYS, by_weekday["mean"], strict=True)),
        "orders_per_day_by_month": {str(month): value for month, value in by_month["mean"].items()},
    }
    return Findings("patterns", summary, parts, figures)


_LONG: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _bars(hours: pd.Series, weekdays: pd.DataFrame, months: pd.DataFrame) -> go.Figure:
    figure = make_subplots(
        rows=2, cols=2, specs=[[{}, {}], [{"colspan": 2}, None]],
        subplot_titles=["hour of the day", "weekday", "month"], vertical_spacing=0.2, horizontal_spacing=0.1,
    )  # fmt: skip
    style = {
        "marker_color": BLUE,
        "showlegend": False,
        "hovertemplate": "%{x}: %{y:.2f} a day<extra></extra>",
    }
    figure.add_bar(x=list(range(24)), y=hours.to_numpy(), row=1, col=1, **style)
    figure.add_bar(x=list(WEEKDAYS), y=weekdays["mean"], error_y=_error(weekdays), row=1, col=2, **style)
    figure.add_bar(
        x=[m.strftime("%b %Y") for m in months.index],
        y=months["mean"],
        error_y=_error(months),
        row=2,
        col=1,
        **style,
    )
    figure.update_xaxes(dtick=3, row=1, col=1)
    figure.update_yaxes(rangemode="tozero")
    figure.update_yaxes(title_text="orders per day", col=1)
    figure.update_layout(height=540)
    return figure


def _error(frame: pd.DataFrame) -> dict[str, object]:
    half = _Z * frame["std"] / np.sqrt(frame["size"])
    return {
        "type": "data",
        "array": half.fillna(0).to_numpy(),
        "color": "#5b6573",
        "thickness": 1.2,
        "width": 3,
    }


def _heat(frame: pd.DataFrame) -> go.Figure:
    figure = go.Figure(
        go.Heatmap(
            z=frame.to_numpy(),
            x=list(range(24)),
            y=list(WEEKDAYS),
            colorscale=scale(SEQUENTIAL),
            xgap=1,
            ygap=1,
            colorbar={"title": {"text": "orders<br>per hour"}, "thickness": 12},
            hovertemplate="%{y} %{x}:00: %{z:.2f}<extra></extra>",
        )  # fmt: skip
    )
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(title_text="hour of the day", dtick=1, showgrid=False)
    figure.update_layout(height=320)
    return figure

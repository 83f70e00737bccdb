"""When customers buy: by hour, weekday and month of the shop's local time."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from scipy import stats

from offline.chapters.exploration.findings import Findings
from offline.lab.differences import LEAST, Claim, values_p_value
from offline.report.section import Picture
from offline.report.theme import BLUE, SEQUENTIAL, scale
from offline.views.log_view import LogView

WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_Z: Final = 1.96
_PART: Final = "#c3cad4"  # of what the log has only a part of
_WEEK: Final = 7
_NEVER: Final = 0.01


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
    summary = []
    closed = [_LONG[day] for day in _closed(daily)]
    if closed:
        summary.append(f"No order ever came on a {' or '.join(closed)}.")
    by_month["whole"] = [_whole(month, view) for month in by_month.index]
    claims = [*_hour_claims(orders["time"], days), *_weekday_claims(daily), *_month_claims(daily, by_month)]
    parts = [
        Picture(
            "Orders by hour, weekday and month",
            _bars(hours, by_weekday, by_month),
            f"Orders per day, local time of {view.timezone}; lines at weekdays and months: 95% intervals from "
            "how much days differ. Months are divided by the days that the log covers; grey: the log has only a part "
            "of the month.",
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
    return Findings("patterns", summary, parts, figures, claims)


def _whole(month: pd.Period, view: LogView) -> bool:
    """Say whether the log covers all days of a month."""
    return bool(
        view.first.normalize() <= month.start_time and view.last.normalize() >= month.end_time.normalize()
    )


def _closed(daily: pd.Series) -> list[int]:
    """Return the weekdays on which no order ever came, where chance would hardly have left them out.

    The days with orders are drawn from all days of the log: on a weekday of so many days, none of them falls with the
    probability of the hypergeometric distribution, for all weekdays together (Bonferroni).
    """
    weekday = daily.index.day_of_week
    filled = int((daily > 0).sum())
    return [
        day
        for day in range(_WEEK)
        if not daily[weekday == day].any()
        and _WEEK * stats.hypergeom.pmf(0, len(daily), int((weekday == day).sum()), filled) < _NEVER
    ]


def _hour_claims(orders: pd.Series, days: pd.DatetimeIndex) -> list[Claim]:
    """Return the hour that has more orders than other open hours, day by day."""
    table = pd.crosstab(orders.dt.normalize(), orders.dt.hour).reindex(index=days, fill_value=0)
    if len(days) < LEAST or table.shape[1] < 2:  # noqa: PLR2004  (an hour is compared with others)
        return []
    best = int(table.sum().idxmax())
    more = table[best] - table.drop(columns=best).mean(axis=1)
    if np.ptp(more) == 0:
        return []
    one = float(stats.ttest_1samp(more, 0, alternative="greater").pvalue)
    share = table[best].sum() / table.to_numpy().sum()
    text = f"The busiest hour is that from {best}:00 to {best + 1}:00, with {share:.0%} of all orders."
    return [Claim(text, min(1.0, one * table.shape[1]))]


def _weekday_claims(daily: pd.Series) -> list[Claim]:
    """Return the weekday that has more orders than the other open ones."""
    found = {day: own for day, own in daily.groupby(daily.index.day_of_week) if own.sum()}
    if len(daily) < LEAST or len(found) < 2:  # noqa: PLR2004  (a weekday is compared with others)
        return []
    best = max(found, key=lambda day: found[day].mean())
    others = pd.concat([own for day, own in found.items() if day != best])
    one = values_p_value(found[best].to_numpy(float), others.to_numpy(float))
    text = (
        f"{_LONG[best]} is the strongest weekday: {found[best].mean():.1f} orders a day, on the other weekdays with "
        f"orders {others.mean():.1f}."
    )
    return [Claim(text, min(1.0, one * len(found)))]


def _month_claims(daily: pd.Series, by_month: pd.DataFrame) -> list[Claim]:
    """Return the month that has more orders a day than the others, of those that the log has in full."""
    whole = by_month[by_month["whole"]]
    if len(whole) < 3:  # noqa: PLR2004  (two months are no season)
        return []
    of = daily.index.to_period("M")
    best = whole["mean"].idxmax()
    others = daily[of.isin(whole.index) & (of != best)].to_numpy(float)
    one = values_p_value(daily[of == best].to_numpy(float), others)
    text = (
        f"The strongest month is {best.strftime('%B %Y')} with {whole['mean'][best]:.1f} orders a day, in the other "
        f"whole months {others.mean():.1f}."
    )
    return [Claim(text, min(1.0, one * len(whole)))]


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
        **style | {"marker_color": [BLUE if whole else _PART for whole in months["whole"]]},
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
        "arrayminus": np.minimum(half.fillna(0), frame["mean"]).to_numpy(),  # no day has less than no order
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

"""How orders, revenue and customers develop over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots
from statsmodels.regression.linear_model import OLS

from offline.chapters.exploration.findings import Findings
from offline.chapters.exploration.periods import whole_period
from offline.chapters.exploration.regression import add_band
from offline.lab.differences import Claim
from offline.lab.statistics import Line, ordinary_line
from offline.report.section import Picture
from offline.report.theme import BLUE, GREY, ORANGE
from offline.views.log_view import LogView, period_label

_WORDS: Final = {"M": "month", "W": "week", "D": "day"}
_FINER: Final = {"M": "W", "W": "D"}
_DAYS_FOR_DAYS: Final = 7
_PALE: Final = 0.4
_LEAST: Final = 4
_MOVING: Final = {"W": 4, "D": 7, "h": 24}
_MOVING_WORDS: Final = {"W": "four weeks", "D": "a week", "h": "a day"}
_STEPS: Final = {"W": "week", "D": "day", "h": "hour"}


def trends(view: LogView) -> Findings:
    """Return orders and revenue over time with a trend line, and new and returning buyers."""
    if len(view.orders) < _LEAST:
        return Findings("trends")
    step = _step(view)
    counts = _series(view, step)
    # The first and the last period are cut off by the log's ends; they would bend the line.
    whole = counts.iloc[1:-1] if len(counts) > _LEAST else counts
    x = np.arange(len(whole), dtype=np.float64)
    fits = {name: ordinary_line(x, whole[name].to_numpy(float)) for name in ("orders", "revenue")}
    claims, figures = [], {}
    for name, fit in fits.items():
        mean = float(whole[name].mean())
        if fit is None or np.ptp(whole[name].to_numpy(float)) == 0:
            continue
        change = fit.slope * (len(whole) - 1) / mean
        text = _sentence(name, fit, mean, change, _STEPS[step], view.currency)
        claims.append(Claim(text, _p_value(whole[name].to_numpy(float))))
        figures[name] = {"slope": fit.slope, "interval": fit.slope_interval, "mean": mean, "change": change}
    parts = [
        Picture(
            f"Orders and revenue per {_STEPS[step]}",
            _lines(counts, whole, fits, step, view.currency),
            f"The first and the last {_STEPS[step]} are incomplete and are left out of the line.",
        )
    ]
    returning = new_and_returning(view)
    if len(returning) > 1:
        parts.append(
            Picture(
                f"New and returning buyers by {_WORDS[view.period]}",
                _stacked(returning, whole_period(view.last, view.period)),
                "New: the first order in the log falls into the period. Pale bars: in the first one everybody is new, "
                "because older orders are unknown, and a last one may be cut off by the log's end.",
            )
        )
        figures["buyers"] = returning.reset_index().assign(period=lambda f: f["period"].astype(str))
    return Findings("trends", [], parts, figures, claims)


def _step(view: LogView) -> str:
    """Return the period of a line's points: one size finer than that of the other looks, days if there are enough."""
    if view.period == "D":
        return "D" if view.days >= _DAYS_FOR_DAYS else "h"
    return _FINER[view.period]


def _sentence(name: str, fit: Line, mean: float, change: float, step: str, currency: str) -> str:
    low, high = fit.slope_interval
    unit = "" if name == "orders" else f" {currency}"
    verb = "rise" + "s" * (name == "revenue") if change > 0 else "fall" + "s" * (name == "revenue")
    sentence = (
        f"{name.capitalize()} per {step} {verb} by {_rounded(abs(fit.slope))}{unit} each {step} on average (95% "
        f"interval {_rounded(low)} to {_rounded(high)}), over the whole log by {abs(change):.0%} of the mean {step}"
    )
    return f"{sentence}."


def _p_value(values: NDArray[np.float64]) -> float:
    """Return the p-value of a straight line, the larger of the plain one and of one that knows neighbours are alike.

    The latter is that of Newey and West [1987, doi 10.2307/1913610].
    """
    design = np.column_stack([np.ones(len(values)), np.arange(len(values))])
    model = OLS(values, design)
    lags = max(1, int(4 * (len(values) / 100) ** (2 / 9)))
    robust = model.fit(cov_type="HAC", cov_kwds={"maxlags": lags}, use_t=True)
    found = np.array([model.fit().pvalues[1], robust.pvalues[1]])
    return float(found.max()) if np.isfinite(found).all() else 1.0


def _lines(
    counts: pd.DataFrame, whole: pd.DataFrame, fits: Mapping[str, Line | None], step: str, currency: str
) -> go.Figure:
    """Draw a faint line for single periods, a strong one for what lasts, and the straight one."""
    picture = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    for row, (name, fit) in enumerate(fits.items(), 1):
        where = {"showlegend": row == 1, "row": row, "col": 1}
        picture.add_scatter(
            x=counts.index,
            y=counts[name],
            mode="lines",
            line={"color": GREY, "width": 1},
            name=f"per {_STEPS[step]}",
            **where,
        )
        picture.add_scatter(
            x=whole.index,
            y=whole[name].rolling(_MOVING[step], center=True).mean(),
            mode="lines",
            line={"color": BLUE, "width": 2.5},
            name=f"moving mean of {_MOVING_WORDS[step]}",
            **where,
        )
        if fit is None:
            continue
        at = np.linspace(0, len(whole) - 1, len(fit.x))
        length = (whole.index[-1] - whole.index[0]).total_seconds()
        times = whole.index[0] + pd.to_timedelta(at / max(len(whole) - 1, 1) * length, unit="s")
        add_band(picture, times.to_numpy(), fit.low, fit.high, ORANGE, row=row, col=1)
        picture.add_scatter(
            x=times,
            y=fit.y,
            mode="lines",
            line={"color": ORANGE, "width": 2, "dash": "dash"},
            name="straight line, 95% band",
            **where,
        )
    picture.update_yaxes(rangemode="tozero")
    picture.update_yaxes(title_text="orders", row=1, col=1)
    picture.update_yaxes(title_text=f"revenue ({currency})", row=2, col=1)
    picture.update_layout(height=480)
    return picture


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2g}" if abs(value) < 1 else f"{value:.1f}"  # noqa: PLR2004


def new_and_returning(view: LogView) -> pd.DataFrame:
    """Return for every period how many buyers ordered for the first time and how many again."""
    period = view.orders["time"].dt.to_period(view.period)
    buyers = pd.DataFrame({"customer": view.orders["customer"], "period": period}).drop_duplicates()
    first = buyers.groupby("customer")["period"].transform("min")
    kind = np.where(buyers["period"] == first, "new", "returning")
    table = pd.crosstab(buyers["period"], kind)
    every = pd.period_range(table.index.min(), table.index.max(), freq=view.period, name="period")
    return table.reindex(index=every, columns=["new", "returning"], fill_value=0)


def _series(view: LogView, step: str) -> pd.DataFrame:
    orders = view.orders.set_index("time")["value"].resample(step, label="left", closed="left")
    return pd.DataFrame({"orders": orders.size(), "revenue": orders.sum()})


def _stacked(frame: pd.DataFrame, ended: bool) -> go.Figure:
    # A year that all share would only turn the labels.
    alike = not frame.index.freqstr.startswith("M") and frame.index.year.nunique() == 1
    labels = [f"{p.start_time:%d %b}" if alike else period_label(p) for p in frame.index]
    figure = go.Figure()
    for name, colour in (("returning", BLUE), ("new", ORANGE)):
        figure.add_bar(
            x=labels,
            y=frame[name],
            name=name,
            marker={"color": colour, "opacity": [_PALE, *[1.0] * (len(frame) - 2), 1.0 if ended else _PALE]},
            hovertemplate=f"%{{x}}: %{{y:,}} {name}<extra></extra>",
        )
    figure.update_layout(barmode="stack", height=340)
    figure.update_xaxes(type="category")
    figure.update_xaxes(title_text=str(frame.index.year[0]) if alike else None)
    figure.update_yaxes(title_text="buyers")
    return figure

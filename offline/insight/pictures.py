"""Pictures of insight: effects of values, partial dependence, effects per segment, profit, lifetime value."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from offline.insight.drivers import Dependence, Drivers
from offline.insight.lifetime_check import Check
from offline.insight.profit import Economics, ProfitCurve
from offline.insight.words import column_words, scaled
from offline.report.section import Picture
from offline.report.theme import BLUE, DIVERGING, GREY, ORANGE, SEQUENTIAL, faint, scale
from offline.segments.pictures import short

_SHOWN: Final = 12
_POINTS: Final = 500
_JITTER: Final = 0.32


def swarm(drivers: Drivers, *, log: bool, seed: int = 0) -> Picture:
    """Draw the SHAP values of single rows for the most important columns, coloured by the column's value."""
    rng = np.random.default_rng(seed)
    names = drivers.ranking["column"][:_SHOWN].to_list()
    some = rng.permutation(len(drivers.values))[:_POINTS]
    figure = go.Figure()
    for row, name in enumerate(reversed(names)):
        at = list(drivers.columns).index(name)
        effects = drivers.values[some, at]
        values = drivers.columns[name].iloc[some]
        numeric = not isinstance(values.dtype, pd.CategoricalDtype)
        rank = values.astype("float64").rank(pct=True).to_numpy() if numeric else None
        figure.add_scattergl(
            x=effects, y=row + rng.uniform(-_JITTER, _JITTER, len(some)), mode="markers", showlegend=False,
            marker={"size": 4, "opacity": 0.7, "color": GREY if rank is None else rank, "cmin": 0, "cmax": 1,
                    "colorscale": scale(SEQUENTIAL[1:]),
                    **({"showscale": True, "colorbar": {"title": "value", "tickvals": [0, 1],
                        "ticktext": ["low", "high"], "len": 0.6}} if row == 0 and rank is not None else {})},
            hovertemplate=f"{name}: %{{x:+.2f}}<extra></extra>",
        )  # fmt: skip
    figure.add_vline(x=0, line={"color": GREY, "width": 1})
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=[column_words(n, log=log) for n in reversed(names)],
        showgrid=False, zeroline=False, range=[-0.6, len(names) - 0.4],
    )  # fmt: skip
    figure.update_xaxes(title_text="effect on the log-odds (SHAP value)")
    figure.update_layout(height=130 + 32 * len(names), margin={"t": 20})
    return Picture(
        "What drives conversion",
        figure,
        f"One point for each of {len(some)} test rows; right of the line the value raises the probability. Dark: high "
        "values; grey: categories. +0.7 doubles the odds.",
    )


def dependences(found: list[Dependence], *, log: bool, target: str) -> Picture:
    """Draw how the probability depends on single columns."""
    columns = min(3, len(found))
    rows = -(-len(found) // columns)
    titles = [f"{column_words(one.name, log=log)}{_unit(one, log)}" for one in found]
    figure = make_subplots(
        rows=rows, cols=columns, subplot_titles=titles, shared_yaxes="all", vertical_spacing=0.5 / max(rows, 1) * 0.5,
        horizontal_spacing=0.05,
    )  # fmt: skip
    for at, one in enumerate(found):
        row, column = at // columns + 1, at % columns + 1
        if one.grid and isinstance(one.grid[0], str):
            figure.add_bar(
                x=one.grid, y=one.mean, marker_color=BLUE, showlegend=False, row=row, col=column,
                hovertemplate="%{x}: %{y:.1%}<extra></extra>",
            )  # fmt: skip
            figure.update_xaxes(type="category", row=row, col=column)
            continue
        x, _ = scaled(one.name, list(one.grid), log=log)
        figure.add_scatter(
            x=[*x, *x[::-1]], y=[*one.high, *one.low[::-1]], fill="toself", mode="lines", fillcolor=faint(BLUE),
            line={"width": 0}, hoverinfo="skip", showlegend=False, row=row, col=column,
        )  # fmt: skip
        figure.add_scatter(
            x=x, y=one.mean, mode="lines", line={"color": BLUE, "width": 2.5}, showlegend=False, row=row, col=column,
            hovertemplate="%{x:.3g}: %{y:.1%}<extra></extra>",
        )  # fmt: skip
    figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    figure.update_layout(height=110 + 250 * rows)
    return Picture(
        "How the probability depends on single columns",
        figure,
        f"Partial dependence of: {target}. Line: mean over rows if all had that value; band: the middle "
        "half of the rows.",
    )


def _unit(one: Dependence, log: bool) -> str:
    if not one.grid or isinstance(one.grid[0], str):
        return ""
    unit = scaled(one.name, list(one.grid), log=log)[1]
    return f" [{unit}]" if unit else ""


def group_effects(frame: pd.DataFrame, *, log: bool) -> Picture:
    """Draw the mean SHAP value of columns per segment."""
    values = frame.to_numpy()[::-1]
    bound = max(float(np.abs(values).max()), 1e-9)
    figure = go.Figure(
        go.Heatmap(
            z=values, x=[short(name, 18) for name in frame.columns],
            y=[column_words(name, log=log) for name in frame.index[::-1]],
            text=[[f"{value:+.2f}" for value in row] for row in values], texttemplate="%{text}",
            colorscale=scale(DIVERGING), zmin=-bound, zmax=bound, xgap=2, ygap=2,
            colorbar={"title": "effect"}, hovertemplate="%{x}, %{y}: %{z:+.2f}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(showgrid=False, tickangle=0)
    figure.update_layout(height=150 + 32 * len(frame), margin={"t": 20})
    return Picture(
        "What drives conversion in each segment",
        figure,
        "Mean effect on the log-odds of the segment's rows: what lifts it above the average customer, and "
        "what lowers it.",
    )


def profit_picture(curve: ProfitCurve, economics: Economics) -> Picture:
    """Draw profit by the share of customers contacted."""
    frame = curve.frame.sort_values("contacted")
    figure = go.Figure()
    figure.add_scatter(
        x=[*frame["contacted"], *frame["contacted"][::-1]], y=[*frame["high"], *frame["low"][::-1]],
        fill="toself", mode="lines",
        fillcolor=faint(BLUE), line={"width": 0}, hoverinfo="skip", name="95 % interval",
    )  # fmt: skip
    for name, words, colour, dash in (
        ("happened", "by what happened", BLUE, "solid"), ("expected", "as expected", ORANGE, "dash"),
    ):  # fmt: skip
        figure.add_scatter(
            x=frame["contacted"], y=frame[name], mode="lines", name=words, customdata=frame["threshold"],
            line={"color": colour, "dash": dash, "width": 2.5},
            hovertemplate="%{x:.0%} contacted, from %{customdata:.1%} on: %{y:,.0f}<extra></extra>",
        )  # fmt: skip
    best = curve.best
    figure.add_vline(x=best["contacted"], line={"color": GREY, "dash": "dot"})
    figure.add_scatter(
        x=[best["contacted"]], y=[best["happened"]], mode="markers",
        name=f"from {economics.threshold:.1%} on, where it pays",
        marker={"size": 11, "color": GREY, "symbol": "diamond"}, hoverinfo="skip",
    )  # fmt: skip
    figure.update_xaxes(title_text="customers contacted, likeliest first", tickformat=".0%")
    figure.update_yaxes(title_text=f"profit ({economics.currency})", tickformat=",.0f")
    figure.update_layout(height=420)
    return Picture("Profit by how many are contacted", figure, assumptions(economics))


def assumptions(economics: Economics) -> str:
    """Return what the profit rests on, in a sentence."""
    return (
        f"Assumed: a purchase is worth {economics.value:,.2f} {economics.currency}, a contact costs "
        f"{economics.cost:,.2f}, and contacting adds {economics.effect:.0%} to the purchases that would have happened "
        "anyway. The last is what decides, and only a comparison with customers left alone can tell it. "
        "A customer is contacted once, when the probability first reaches the threshold."
    )


def lifetime_picture(check: Check, currency: str) -> Picture:
    """Draw predicted and true spending by groups of predicted value."""
    frame = check.groups
    figure = go.Figure()
    figure.add_bar(
        x=frame["group"], y=frame["happened"], name="spent", marker_color=BLUE,
        error_y={"type": "data", "array": frame["high"] - frame["happened"],
                 "arrayminus": frame["happened"] - frame["low"], "color": "#1f2733", "thickness": 1.5},
        hovertemplate="%{y:,.0f} spent<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=frame["group"], y=frame["predicted"], name="predicted", mode="markers",
        marker={"color": ORANGE, "size": 11, "symbol": "diamond"}, hovertemplate="%{y:,.0f} predicted<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(title_text="tenth of the customers by predicted value", dtick=1)
    figure.update_yaxes(title_text=f"per customer ({currency})", tickformat=",.0f")
    return Picture(
        "Lifetime value, predicted and true",
        figure,
        f"Learned until {check.since:%d %b %Y}; what {check.customers:,} customers known by then spent until "
        f"{check.until:%d %b %Y}. 95 % intervals.",
    )

"""Pictures of insight: effects of values, partial dependence, effects per segment, profit, lifetime value."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from offline.chapters.insight.drivers import Dependence, Drivers
from offline.report.axes import Axis
from offline.report.section import Picture
from offline.report.theme import BLUE, DIVERGING, GREY, SEQUENTIAL, faint, scale, series_colour
from offline.report.words import NEVER, column_words, short, value_words

_SHOWN: Final = 12
_POINTS: Final = 500
_JITTER: Final = 0.32
_ACROSS: Final = 3
_MANY: Final = 6  # categories whose names would touch if they stood level


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
        f"One point for each of {len(some)} test rows. Right of the line the value of the column raises the "
        "probability, left of it lowers it. Dark: high values; light: low values; grey: categories. Effects are SHAP "
        "values: they add up to a row's log-odds; +0.7 doubles the odds, -0.7 halves them.",
    )


def dependences(found: list[Dependence], *, log: bool, target: str) -> Picture:
    """Draw how the probability depends on single columns."""
    figure, places = _panels(found, log=log)
    for one, (axis, where) in zip(found, places, strict=True):
        if axis is None:
            figure.add_bar(
                x=one.grid, y=one.mean, marker_color=BLUE, showlegend=False,
                error_y={"type": "data", "array": one.high - one.mean, "arrayminus": one.mean - one.low, "color": GREY,
                         "thickness": 1.2, "width": 3},
                hovertemplate="%{x}: %{y:.1%}<extra></extra>", **where,
            )  # fmt: skip
            continue
        x, label = axis
        figure.add_scatter(
            x=[*x, *x[::-1]], y=[*one.high, *one.low[::-1]], fill="toself", mode="lines", fillcolor=faint(BLUE),
            line={"width": 0}, hoverinfo="skip", showlegend=False, **where,
        )  # fmt: skip
        figure.add_scatter(
            x=x, y=one.mean, mode="lines", line={"color": BLUE, "width": 2.5}, showlegend=False, customdata=label,
            hovertemplate="%{customdata}: %{y:.1%}<extra></extra>", **where,
        )  # fmt: skip
    return Picture(
        "How the probability depends on single columns",
        figure,
        f"Partial dependence of: {target}. Line or bar: the mean probability if all rows had that value and kept "
        "their others; band or whisker: the middle half of the rows. Skewed columns are on a logarithmic scale."
        + _never(found, log),
    )


def dependences_by_group(
    found: list[tuple[Dependence, dict[int, Dependence]]], names: list[str], *, log: bool, target: str
) -> Picture:
    """Draw how the probability depends on single columns, a line or a bar for each segment."""
    figure, places = _panels([one for one, _ in found], log=log)
    seen: set[int] = set()
    for (_, groups), (axis, where) in zip(found, places, strict=True):
        for group, own in groups.items():
            look = {"name": names[group], "legendgroup": str(group), "showlegend": group not in seen, **where}
            colour = series_colour(group)
            seen.add(group)
            if axis is None:
                hover = "%{x}: %{y:.1%}<extra>" + names[group] + "</extra>"
                figure.add_bar(x=own.grid, y=own.mean, marker_color=colour, hovertemplate=hover, **look)
            else:
                x, label = axis
                figure.add_scatter(
                    x=x, y=own.mean, mode="lines", line={"color": colour, "width": 2.2}, customdata=label,
                    hovertemplate="%{customdata}: %{y:.1%}<extra>" + names[group] + "</extra>", **look,
                )  # fmt: skip
    figure.update_layout(legend={"y": 1.12 if len(found) > _ACROSS else 1.2}, margin={"t": 90})
    return Picture(
        "How the probability depends on them in each segment",
        figure,
        f"Partial dependence of: {target}, averaged over the rows of one segment each. Parallel lines: the column "
        "works alike everywhere; lines that part: it matters more in some segments."
        + _never([d for d, _ in found], log),
    )


Place = tuple[tuple[list[float], list[str]] | None, dict[str, int]]


def _panels(found: list[Dependence], *, log: bool) -> tuple[go.Figure, list[Place]]:
    """Return an empty panel for each column, with where its grid stands (None for categories) and the panel's place."""
    across = min(_ACROSS, len(found))
    rows = -(-len(found) // across)
    titles = [short(column_words(one.name, log=log), 30) for one in found]
    figure = make_subplots(
        rows, across, subplot_titles=titles, shared_yaxes="all", horizontal_spacing=0.05,
        vertical_spacing=0.36 / rows if rows > 1 else 0,
    )  # fmt: skip
    places: list[Place] = []
    for at, one in enumerate(found):
        where = {"row": at // across + 1, "col": at % across + 1}
        if one.grid and isinstance(one.grid[0], str):
            figure.update_xaxes(type="category", tickangle=-45 if len(one.grid) > _MANY else 0, **where)
            places.append((None, where))
            continue
        x = pd.Series(np.asarray(one.grid, np.float64), name=one.name)
        axis = Axis.of(x, "numeric", log=log)
        drawn = axis.place(x, np.random.default_rng(0)).tolist()
        figure.update_xaxes(tickvals=axis.ticks[0], ticktext=axis.ticks[1], tickangle=0, **where)
        places.append(((drawn, [value_words(one.name, value, log=log) for value in one.grid]), where))
    figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    figure.update_layout(height=120 + 270 * rows)
    return figure, places


def _never(found: list[Dependence], log: bool) -> str:
    said = log and any(one.grid and value_words(one.name, one.grid[-1], log=True) == NEVER for one in found)
    return " 400 days stand for never." if said else ""


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
        "Mean SHAP value of the segment's rows: what lifts its probability above the average (blue), and what lowers "
        "it (orange).",
    )

"""Regression plots: a cloud of points or rates in bins, the fitted line, and the band in which it may lie."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from offline.lab.statistics import Line, logistic_line, ordinary_line, wilson
from offline.problems.problem import Problem
from offline.report.theme import BLUE, GREY, ORANGE, faint
from offline.report.time_axes import duration_ticks, seconds_of

_POINTS: Final = 1_500
_BINS: Final = 10
_PER_ROW: Final = 3
_SKEWED: Final = 1.0
# A column within this has no tail worth a logarithm (rates, shares).
_SMALL: Final = 10.0
# ... and one whose largest value is this many typical ones has a tail, whatever its skewness.
_TAIL: Final = 8.0
# Ticks stand at least this share of the axis apart.
_APART: Final = 0.13


def scatter_with_line(
    x: NDArray[np.float64], y: NDArray[np.float64], x_title: str, y_title: str, *, log: bool = False
) -> tuple[go.Figure, Line] | None:
    """Return points with their regression line, on logarithms of both where ``log``; None where nothing varies.

    Parameters
    ----------
    x, y
        Positive where ``log``.
    """
    kept = (x > 0) & (y > 0) if log else np.isfinite(x) & np.isfinite(y)
    x, y = x[kept], y[kept]
    line = ordinary_line(np.log10(x), np.log10(y)) if log else ordinary_line(x, y)
    if line is None:
        return None
    grid, middle, low, high = (10**v if log else v for v in line[:4])
    rng = np.random.default_rng(0)
    some = rng.choice(len(x), min(_POINTS, len(x)), replace=False)
    figure = go.Figure()
    figure.add_scatter(
        x=x[some], y=y[some], mode="markers", marker={"size": 5, "color": faint(BLUE, 0.35)}, name="customers",
        hovertemplate="%{x:,.3g}, %{y:,.3g}<extra></extra>", showlegend=False,
    )  # fmt: skip
    add_band(figure, grid, low, high, ORANGE)
    figure.add_scatter(
        x=grid,
        y=middle,
        mode="lines",
        line={"color": ORANGE, "width": 2.5},
        showlegend=False,
        hoverinfo="skip",
    )
    axis = "log" if log else "linear"
    figure.update_xaxes(title_text=x_title, type=axis)
    figure.update_yaxes(title_text=y_title, type=axis)
    if log:
        # Powers of ten only, unless fewer than two would be seen.
        figure.update_xaxes(dtick=1 if np.log10(x.max() / x.min()) > 2 else "D2")  # noqa: PLR2004
        figure.update_yaxes(dtick=1 if np.log10(y.max() / y.min()) > 2 else "D2")  # noqa: PLR2004
    figure.update_layout(height=420)
    return figure, line


def add_band(
    figure: go.Figure,
    x: NDArray[Any],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    colour: str,
    **where: int,
) -> None:
    """Add a band between two lines."""
    figure.add_scatter(
        x=np.concatenate([x, x[::-1]]), y=np.concatenate([high, low[::-1]]), fill="toself", fillcolor=faint(colour),
        line={"width": 0}, mode="lines", showlegend=False, hoverinfo="skip", **where,
    )  # fmt: skip


def rate_curves(problem: Problem, names: list[str]) -> tuple[go.Figure, pd.DataFrame]:
    """Return, for each numeric column, the rate in bins and a logistic regression on the column.

    Skewed columns without negative values are fitted and drawn on the scale log(1 + x). A curve far from its dots
    says that the effect is no S-shape.

    Returns
    -------
    figure, pandas.DataFrame
        The frame has the change of the odds per standard deviation, with its interval, and the share of
        deviance explained.
    """
    rows = -(-len(names) // _PER_ROW)
    figure = make_subplots(
        rows=rows,
        cols=_PER_ROW,
        subplot_titles=names,
        vertical_spacing=0.36 / max(rows, 2),
        horizontal_spacing=0.07,
    )
    found = []
    for at, name in enumerate(names):
        where = {"row": at // _PER_ROW + 1, "col": at % _PER_ROW + 1}
        raw = problem.columns[name].astype("float64").to_numpy()
        known = ~np.isnan(raw)
        x, y = raw[known], problem.target[known]
        logged = logarithmic(x)
        if logged:
            x = np.log1p(x)
        _dots(figure, x, y, where)
        line = logistic_line(x, y)
        if line is not None:
            add_band(figure, line.x, line.low, line.high, ORANGE, **where)
            figure.add_scatter(
                x=line.x,
                y=line.y,
                mode="lines",
                line={"color": ORANGE, "width": 2},
                showlegend=False,
                hoverinfo="skip",
                **where,
            )
            spread = float(x.std())
            found.append(
                {
                    "column": name,
                    "scale": "log(1 + x)" if logged else "linear",
                    "odds per sd": np.exp(line.slope * spread),
                    "from": np.exp(line.slope_interval[0] * spread),
                    "to": np.exp(line.slope_interval[1] * spread),
                    "deviance explained": line.r2,
                }
            )
        if len(x):
            figure.update_xaxes(column_axis(name, x, logged=logged, log=problem.from_log), **where)
    figure.update_yaxes(tickformat=".0%", rangemode="tozero", nticks=5)
    figure.update_yaxes(title_text=f"rate of {problem.unit}s", col=1)
    figure.update_annotations(font_size=12)
    figure.update_layout(height=240 * rows + 40)
    frame = pd.DataFrame(found)
    return figure, frame.sort_values("deviance explained", ascending=False) if len(frame) else frame


def _dots(figure: go.Figure, x: NDArray[np.float64], y: NDArray[np.bool_], where: dict[str, int]) -> None:
    edges = np.unique(np.quantile(x, np.linspace(0, 1, _BINS + 1))) if len(x) else np.array([])
    if len(edges) < 2:  # noqa: PLR2004  (one value: nothing to compare)
        return
    bins = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(edges) - 2)
    size, positive, total = (np.bincount(bins, w, len(edges) - 1) for w in (None, y.astype(float), x))
    kept = size > 0
    size, positive, total = size[kept], positive[kept], total[kept]
    low, high = wilson(positive, size)
    share = positive / size
    figure.add_scatter(
        x=total / size,
        y=share,
        mode="markers",
        marker={"color": BLUE, "size": 7},
        showlegend=False,
        error_y={
            "type": "data",
            "symmetric": False,
            "array": high - share,
            "arrayminus": share - low,
            "color": GREY,
            "thickness": 1.2,
            "width": 2,
        },
        customdata=size,
        hovertemplate="%{y:.1%} of %{customdata:,}<extra></extra>",
        **where,
    )


def logarithmic(x: NDArray[np.float64]) -> bool:
    """Say whether a column is better looked at on the scale log(1 + x): not negative, with a long tail."""
    if not len(x) or x.min() < 0 or x.max() <= _SMALL:
        return False
    typical = float(np.median(x[x > 0]))
    return bool(x.max() > _TAIL * typical) or float(pd.Series(x).skew()) > _SKEWED


def column_axis(name: str, x: NDArray[np.float64], *, logged: bool, log: bool) -> dict[str, object]:
    """Return the ticks of a column's axis: durations in minutes, hours and days, long tails at powers of ten.

    Parameters
    ----------
    x
        What is drawn: the column, or log(1 + column) where ``logged``.
    log
        Whether the column is one of a log's examples.
    """
    unit = seconds_of(name, log=log)
    if unit is None:
        return log_axis(float(np.expm1(x.max()))) if logged else {}
    low, high = (float(np.expm1(end)) if logged else float(end) for end in (x.min(), x.max()))
    at, texts = duration_ticks(low, high, unit, log=logged)
    return {"tickvals": np.log1p(at) if logged else at, "ticktext": texts}


def log_axis(largest: float) -> dict[str, object]:
    """Return the ticks of an axis of log(1 + x): 0, and powers of ten that stand apart.

    Examples
    --------
    >>> log_axis(5_000)["ticktext"]
    ['0', '10', '100', '1k']
    """
    wide = np.log1p(largest)
    ticks = [0.0]
    for power in 10.0 ** np.arange(13):
        if power <= largest and np.log1p(power) - np.log1p(ticks[-1]) >= _APART * wide:
            ticks.append(float(power))
    return {"tickvals": np.log1p(ticks), "ticktext": [si(tick) for tick in ticks]}


def si(value: float) -> str:
    """Return a power of ten for an axis.

    Examples
    --------
    >>> si(0.01), si(10.0), si(1e6)
    ('0.01', '10', '1M')
    """
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{sign}"
    return f"{value:g}"

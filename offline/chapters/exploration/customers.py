"""Recency, frequency and monetary value: who buys lately, often, much, and how revenue is spread over customers."""

from __future__ import annotations

from typing import Final

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from features.counts import counted
from offline.chapters.exploration.findings import Findings
from offline.chapters.exploration.regression import scatter_with_line
from offline.chapters.exploration.rfm_grid import grid_picture
from offline.lab.differences import LEAST
from offline.lab.statistics import describe, gini
from offline.report.section import Picture, Table
from offline.report.theme import BLUE, GREY
from offline.views.log_view import LogView

_TOP: Final = 0.2
_TYPICAL_FROM: Final = 5


def buyers(view: LogView) -> Findings:
    """Describe buyers by recency, frequency and monetary value."""
    frame = view.customers
    if len(frame) < _TYPICAL_FROM:
        return Findings("rfm")
    monetary = np.sort(frame["monetary"].dropna().to_numpy())[::-1]
    total = monetary.sum()
    top = max(1, round(_TOP * len(monetary)))  # of those whose money is in the shop's currency
    share = float(monetary[:top].sum() / total) if total else 0.0
    concentration = gini(monetary)
    once = float((frame["frequency"] == 1).mean())
    summary = (
        []
        if len(frame) < LEAST
        else [
            f"The best {_TOP:.0%} of buyers bring {share:.0%} of the revenue; {once:.0%} ordered only once.",
            f"Half of the buyers ordered within the last {counted(frame['recency'].median(), 'day')}, the others "
            f"longer "
            f"ago; the median buyer "
            f"spent {frame['monetary'].median():,.0f} {view.currency}.",
        ]
    )
    described = describe(
        frame[["recency", "frequency", "monetary", "mean_order"]].rename(
            columns={"recency": "days since the last order", "frequency": "orders",
                     "monetary": f"spent ({view.currency})", "mean_order": f"mean order ({view.currency})"}
        )
    )  # fmt: skip
    parts: list[Table | Picture] = [
        Table(
            "Buyers: last order, number of orders, money spent",
            described,
            formats={"zero": ".1%", "skewness": ".1f"},
        ),
        Picture(
            "Who brings the revenue",
            _concentration(monetary, frame["recency"].to_numpy()),
            "Left: share of revenue of the best buyers; the straight line would be equal buyers (Gini "
            f"{concentration:.2f}, 0 if all are equal). Right: days since the last order.",
        ),
    ]
    if (grid := grid_picture(frame, view.currency)) is not None:
        parts.append(grid)
    bought = frame[frame["monetary"] > 0]
    drawn = scatter_with_line(
        bought["frequency"].to_numpy(float), bought["monetary"].to_numpy(float),
        "orders of a customer", f"spent by a customer ({view.currency})", log=True,
    )  # fmt: skip
    figures = {"top_share": share, "gini": concentration, "ordered_once": once, "described": described}
    if drawn is not None:
        figure, line = drawn
        parts.append(
            Picture(
                "Orders and spending of a customer",
                figure,
                f"Both axes logarithmic; the line is a regression with its 95% band. Twice the orders go with "
                f"{2**line.slope:.2f} times the "
                f"spending (R² {line.r2:.2f}).",
            )
        )
        figures["frequency_monetary"] = {
            "elasticity": line.slope,
            "interval": line.slope_interval,
            "r2": line.r2,
        }
    return Findings("rfm", summary, parts, figures)


def _concentration(monetary: np.ndarray, recency: np.ndarray) -> go.Figure:
    figure = make_subplots(
        cols=2, rows=1, subplot_titles=["revenue of the best buyers", "last order"], horizontal_spacing=0.12
    )
    shares = np.concatenate([[0.0], np.cumsum(monetary) / max(monetary.sum(), 1e-12)])
    at = np.linspace(0, len(monetary), min(len(monetary), 200) + 1).astype(int)
    x = at / max(len(monetary), 1)
    figure.add_scatter(
        x=x, y=shares[at], mode="lines", line={"color": BLUE, "width": 2.5}, showlegend=False, row=1, col=1,
        hovertemplate="best %{x:.0%} of buyers: %{y:.0%} of revenue<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": GREY, "dash": "dot"},
        showlegend=False,
        hoverinfo="skip",
        row=1,
        col=1,
    )
    counts, edges = np.histogram(recency, 40)
    figure.add_bar(
        x=(edges[:-1] + edges[1:]) / 2,
        y=counts,
        width=np.diff(edges) * 0.95,
        marker_color=BLUE,
        showlegend=False,
        row=1,
        col=2,
        hovertemplate="%{x:.0f} days: %{y:,} buyers<extra></extra>",
    )
    figure.update_xaxes(title_text="share of buyers, best first", tickformat=".0%", row=1, col=1)
    figure.update_yaxes(title_text="share of revenue", tickformat=".0%", row=1, col=1)
    figure.update_xaxes(title_text="days since the last order", row=1, col=2)
    figure.update_yaxes(title_text="buyers", row=1, col=2)
    return figure

"""Buyers by recency and frequency in one square, with what they have spent: who is loyal, new, or about to be lost."""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from offline.report.section import Picture
from offline.report.theme import SEQUENTIAL, scale

#: Numbers of orders that columns end with, and what the columns are called.
_ORDERS: Final = (1, 2, 4, 9)
_ORDER_NAMES: Final = ("1 order", "2 orders", "3 to 4", "5 to 9", "10 and more")


class Grid(NamedTuple):
    """Buyers, and what the one in the middle of them spent, by recency (rows, latest first) and number of orders."""

    buyers: pd.DataFrame
    spent: pd.DataFrame


def recency_by_frequency(customers: pd.DataFrame) -> Grid:
    """Divide buyers by quarters of recency and by number of orders.

    Parameters
    ----------
    customers
        One row each, with ``recency`` (days), ``frequency`` and ``monetary``.
    """
    recency = customers["recency"]
    edges = np.unique(np.ceil(recency.quantile([0.25, 0.5, 0.75])))
    edges = edges[edges < recency.max()]
    days = ["0", *(f"{edge:.0f}" for edge in edges)]
    names = [*(f"{a} to {b} days ago" for a, b in pairwise(days)), f"over {days[-1]} days ago"]
    frame = pd.DataFrame(
        {
            "lately": pd.Categorical.from_codes(np.searchsorted(edges, recency), names, ordered=True),
            "often": pd.cut(
                customers["frequency"].to_numpy(), [0, *_ORDERS, np.inf], labels=list(_ORDER_NAMES)
            ),
            "monetary": customers["monetary"].to_numpy(),
        }
    )
    grouped = frame.groupby(["lately", "often"], observed=False)["monetary"]
    buyers, spent = grouped.size().unstack(), grouped.median().unstack()
    kept = buyers.columns[buyers.sum() > 0]
    return Grid(buyers[kept], spent[kept])


def grid_picture(customers: pd.DataFrame, currency: str) -> Picture | None:
    """Draw the square, None where all buyers would be in one row or column of it."""
    buyers, spent = recency_by_frequency(customers)
    if min(buyers.shape) < 2:  # noqa: PLR2004  (a square has two sides)
        return None
    shares = (buyers / buyers.to_numpy().sum()).to_numpy()
    text = [
        [f"{share:.0%}<br>{_money(money)}" if count else "" for share, money, count in zip(*row, strict=True)]
        for row in zip(shares, spent.to_numpy(), buyers.to_numpy(), strict=True)
    ]
    figure = go.Figure(
        go.Heatmap(
            z=shares, x=list(buyers.columns), y=[str(name) for name in buyers.index], text=text, texttemplate="%{text}",
            colorscale=scale(SEQUENTIAL), zmin=0, xgap=2, ygap=2, textfont={"size": 12},
            colorbar={"title": {"text": "buyers"}, "tickformat": ".0%", "thickness": 12},
            hovertemplate="%{y}, %{x}: %{z:.1%} of all buyers<extra></extra>",
        )
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=False, title_text="last order")
    figure.update_xaxes(showgrid=False, title_text="orders of a buyer", side="bottom")
    figure.update_layout(height=130 + 62 * len(buyers), margin={"t": 20})
    return Picture(
        "Last order, number of orders and spending",
        figure,
        f"Share of all buyers, and below it what the buyer in the middle spent ({currency}). Upper right: the best "
        "customers; upper left: new ones; lower right: good customers who are about to be lost.",
    )


def _money(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:,.0f}"

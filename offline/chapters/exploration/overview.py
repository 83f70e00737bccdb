"""First look at a log: how much there is of what, and how orders and customers are distributed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from features.counts import counted
from features.durations import duration_rounded
from offline.chapters.exploration.findings import Findings
from offline.chapters.exploration.regression import scatter_with_line, si
from offline.lab.differences import LEAST
from offline.lab.statistics import describe
from offline.report.section import Picture, Table
from offline.report.theme import BLUE
from offline.report.time_axes import duration_ticks
from offline.views.log_view import LogView

_BINS = 40
_FEW = 2  # ticks that say nothing of a scale
_DAY_S = 86_400.0
_GAP = "days between two orders"
_TITLES = {_GAP: "time between two orders"}


def overview(view: LogView) -> Findings:
    """Count events, describe orders and customers, and draw their distributions."""
    events, orders = view.events, view.orders
    by_type = (
        events.groupby("type", observed=True)
        .agg(
            events=("customer", "size"),
            customers=("customer", "nunique"),
            first=("time", "min"),
            last=("time", "max"),
        )
        .reset_index()
    )
    by_type.insert(2, "share", by_type["events"] / len(events))
    customers = events["customer"].nunique()
    gaps = order_gaps(orders)
    columns = {
        f"order value ({view.currency})": orders["value"],
        "pieces in an order": orders["quantity"],
        _GAP: gaps,
        "orders of a customer": view.customers["frequency"],
        f"spent by a customer ({view.currency})": view.customers["monetary"],
    }
    described = describe(pd.DataFrame({name: pd.Series(v.to_numpy()) for name, v in columns.items()}))
    summary = [
        f"{counted(len(events), 'event')} of {counted(customers, 'customer')} from {view.first:%Y-%m-%d} to "
        f"{view.last:%Y-%m-%d} ({counted(view.days, 'day')}, local time of {view.timezone})."
    ]
    parts: list[Table | Picture] = [
        Table("Events by type", by_type, formats={"share": ".1%"}),
    ]
    if len(orders):
        repeat = int((view.customers["frequency"] > 1).sum())
        share = f" ({repeat / len(view.customers):.0%})" if len(view.customers) >= LEAST else ""
        summary.append(
            f"{_worth(orders, view)}, {repeat:,} of {counted(len(view.customers), 'buyer')}{share} ordered more than "
            "once."
        )
        parts.append(
            Table("Orders and buyers described", described, formats={"zero": ".1%", "skewness": ".1f"})
        )
        parts.append(
            Picture(
                "How orders and buyers are distributed",
                _distributions(columns),
                "Horizontal axes are logarithmic: most values are small and a few are very large.",
            )
        )
    drawn = scatter_with_line(
        orders["quantity"].to_numpy(float), orders["value"].to_numpy(float), "pieces in an order",
        f"order value ({view.currency})", log=True,
    )  # fmt: skip
    elasticity = None
    if drawn is not None:
        figure, line = drawn
        elasticity = {"elasticity": line.slope, "interval": line.slope_interval, "r2": line.r2}
        parts.append(
            Picture(
                "Pieces and value of an order",
                figure,
                f"Both axes logarithmic; the line is a regression with its 95% band. Twice the pieces go with "
                f"{2**line.slope:.2f} times the value (R² {line.r2:.2f}).",
            )
        )
    figures = {
        "events": len(events), "customers": customers, "orders": len(orders), "revenue": float(orders["value"].sum()),
        "refunded": view.refunded, "by_type": by_type, "described": described, "days": view.days,
        "value_by_pieces": elasticity,
    }  # fmt: skip
    return Findings("overview", summary, parts, figures)


def _worth(orders: pd.DataFrame, view: LogView) -> str:
    """Say how many orders there are and what they are worth, which is unknown of those in another currency."""
    known, by = orders["value"].dropna(), f"by {counted(len(view.customers), 'customer')}"
    if not len(known):
        return f"{counted(len(orders), 'order')} {by}, none of them in {view.currency}"
    worth = f"worth {known.sum():,.0f} {view.currency}"
    median = f"the median order is {known.median():,.2f} {view.currency}"
    if len(known) == len(orders):
        return f"{counted(len(orders), 'order')} {worth} {by}; {median}"
    own = f"{len(known):,} of them in {view.currency}"
    return f"{counted(len(orders), 'order')} {by}, {own} and {worth}; there {median}"


def order_gaps(orders: pd.DataFrame) -> pd.Series:
    """Return the days between each order and the same customer's order before it."""
    ordered = orders.sort_values(["customer", "time"], kind="stable")
    gap = ordered["time"].diff() / pd.Timedelta(days=1)
    return gap[ordered["customer"].diff() == 0]


def _distributions(columns: dict[str, pd.Series]) -> go.Figure:
    drawn = {name: values[values > 0].to_numpy(dtype=np.float64) for name, values in columns.items()}
    drawn = {name: values for name, values in drawn.items() if len(np.unique(values)) > 1}
    per_row = 3
    rows = -(-len(drawn) // per_row) or 1
    figure = make_subplots(
        rows=rows,
        cols=per_row,
        subplot_titles=[_TITLES.get(name, name) for name in drawn],
        vertical_spacing=0.2,
    )
    for at, (name, values) in enumerate(drawn.items()):
        where = {"row": at // per_row + 1, "col": at % per_row + 1}
        low, high = values.min(), values.max()
        whole = bool((values % 1 == 0).all()) and high <= _BINS
        edges = np.arange(0.5, high + 1) if whole else np.geomspace(low, high * 1.0001, _BINS)
        counts, _ = np.histogram(values, edges)
        middle = np.sqrt(edges[:-1] * edges[1:])
        figure.add_bar(
            x=middle, y=counts, width=np.diff(edges) * 0.95, marker_color=BLUE, showlegend=False,
            customdata=[duration_rounded(days * _DAY_S) if name == _GAP else f"{days:.3g}" for days in middle],
            hovertemplate="%{customdata}: %{y:,}<extra></extra>", **where,
        )  # fmt: skip
        at_ticks, texts = _spans(low, high) if name == _GAP else _powers(low, high)
        figure.update_xaxes(type="log", tickvals=at_ticks, ticktext=texts, tickangle=0, **where)
    figure.update_yaxes(tickformat=",~s", nticks=5)
    figure.update_annotations(font_size=12)
    figure.update_layout(height=250 * rows + 20, bargap=0)
    return figure


def _powers(low: float, high: float) -> tuple[list[float], list[str]]:
    """Return powers of ten, or 1, 2 and 5 times them where a narrow axis has hardly any."""
    powers = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    inside = [power for power in powers if low <= power <= high]
    if len(inside) < _FEW:
        inside = [
            value for power in powers for value in (power, 2 * power, 5 * power) if low <= value <= high
        ]
    kept = inside[:: max(1, -(-len(inside) // 6))]
    return kept, [si(value) for value in kept]


def _spans(low: float, high: float) -> tuple[list[float], list[str]]:
    """Return ticks of a logarithmic axis of days: the scale of `duration_ticks` counts in what the axis begins with."""
    places, texts = duration_ticks(1.0, high / low, _DAY_S * low, log=True)
    return [place * low for place in places], texts

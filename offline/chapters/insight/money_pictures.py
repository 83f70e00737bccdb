"""Pictures of money: profit by threshold, and lifetime value predicted and true."""

from __future__ import annotations

import plotly.graph_objects as go

from features.counts import counted
from offline.chapters.insight.lifetime_check import Check
from offline.chapters.insight.profit import Economics, ProfitCurve
from offline.report.section import Picture
from offline.report.theme import BLUE, GREEN, GREY, INK, ORANGE, faint


def profit_picture(curve: ProfitCurve, economics: Economics, unit: str = "customer") -> Picture:
    """Draw profit by the share of customers (rows of a table) contacted."""
    frame = curve.frame.sort_values("contacted")
    figure = go.Figure()
    figure.add_scatter(
        x=[*frame["contacted"], *frame["contacted"][::-1]], y=[*frame["high"], *frame["low"][::-1]],
        fill="toself", mode="lines",
        fillcolor=faint(BLUE), line={"width": 0}, hoverinfo="skip", name="95% interval",
    )  # fmt: skip
    for name, words, colour, dash in (
        ("brought", "what it would have brought", BLUE, "solid"),
        ("expected", "what the model promised", ORANGE, "dash"),
    ):  # fmt: skip
        figure.add_scatter(
            x=frame["contacted"], y=frame[name], mode="lines", name=words, customdata=frame["threshold"],
            line={"color": colour, "dash": dash, "width": 2.5},
            hovertemplate="%{x:.0%} contacted, from %{customdata:.1%} on: %{y:,.0f}<extra></extra>",
        )  # fmt: skip
    rule, best = curve.rule, curve.best
    figure.add_vrect(x0=best.low, x1=best.high, fillcolor=faint(GREEN, 0.1), line_width=0, layer="below")
    words = "nobody" if economics.threshold > 1 else f"contact from {economics.threshold:.1%} on"
    for x, y, name, colour, symbol in (
        (rule["contacted"], rule["brought"], f"the rule: {words}", GREY, "diamond"),
        (best.contacted, best.profit.value, "the best, looking back (band: where it may lie)", GREEN, "circle"),
    ):  # fmt: skip
        figure.add_scatter(
            x=[x], y=[y], mode="markers", name=name, hoverinfo="skip",
            marker={"size": 11, "color": colour, "symbol": symbol},
        )  # fmt: skip
    figure.update_xaxes(title_text=f"{unit}s contacted, likeliest first", tickformat=".0%")
    figure.update_yaxes(title_text=f"profit ({economics.currency})", tickformat=",.0f")
    figure.update_layout(height=440)
    caption = (
        f"{assumptions(economics)} The effect decides, and only a comparison with customers who are not contacted can "
        "test it. A customer is contacted once, when the probability first reaches the threshold. The best is set "
        "lower than the line by what looking back flatters it."
    )
    return Picture("Profit by how many are contacted", figure, caption)


def assumptions(economics: Economics) -> str:
    """Return what the profit rests on, in a sentence."""
    return (
        f"Assumed: a purchase of {economics.value:,.2f} {economics.currency} leaves {economics.margin:.0%}, a contact "
        f"costs {economics.cost:,.2f} and adds {economics.effect:.0%} to the purchases that would have happened anyway."
    )


def lifetime_picture(check: Check, currency: str) -> Picture:
    """Draw predicted and true spending by groups of predicted value."""
    frame = check.groups
    figure = go.Figure()
    figure.add_bar(
        x=frame["group"], y=frame["happened"], name="spent", marker_color=BLUE,
        error_y={"type": "data", "array": frame["high"] - frame["happened"],
                 "arrayminus": frame["happened"] - frame["low"], "color": INK, "thickness": 1.5},
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
        f"Learned until {check.since:%d %b %Y}; what {counted(check.customers, 'customer')} known by then spent until "
        f"{check.until:%d %b %Y}. 95% intervals.",
    )

"""Refunds over time: which share of the money that was paid is given back."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from scipy import stats

from features.counts import counted
from offline.chapters.products.findings import Findings
from offline.lab.differences import LEAST, Claim
from offline.lab.statistics import COVERAGE
from offline.report.section import Picture, Table
from offline.report.theme import BLUE, GREY
from offline.views.log_view import period_label
from offline.views.net_orders import CustomerView

_Z: Final = float(stats.norm.ppf((1 + COVERAGE) / 2))


class Share(NamedTuple):
    """Money given back as a share of money paid, with its 95% interval over customers; NaN where it is not known."""

    value: float
    low: float
    high: float


def refunds(view: CustomerView) -> Findings:
    """Return the share of the money that is given back, over all and by period."""
    if not len(view.refunds):
        return Findings("refunds", ["The log has no refunds."], figures={"refunds": 0})
    paid, back = view.orders, view.refunds
    share = share_given_back(_sums(paid), _sums(back))
    who = back["customer"].nunique()
    summary = [
        f"Refunds: {back['value'].sum():,.0f} {view.currency} in {counted(len(back), 'refund')} to "
        f"{counted(who, 'customer')}, "
        f"{share.value:.1%} of the money paid{_between(share)}."
    ]
    frame = by_period(view)
    words = {"M": "month", "W": "week", "D": "day"}[view.period]
    part = " Grey: periods that the log does not hold whole." if not frame["whole"].all() else ""
    parts: list[Table | Picture] = [
        Picture(
            "Refunds over time",
            _drawn(frame),
            "Money given back in a period as a share of the money paid in it, whatever order it belongs to. Lines: 95 "
            f"% intervals over customers, where at least {LEAST} customers got money back.{part}",
        ),
        Table(
            f"Refunds by {words}",
            frame.drop(columns=["start"]),
            f"Money in {view.currency}. From and to: 95% intervals over customers.",
            {"paid": ",.0f", "given back": ",.0f", "share": ".1%", "from": ".1%", "to": ".1%"},
        ),
    ]
    figures = {"refunds": len(back), "customers": who, "share": share._asdict(), "periods": frame}
    return Findings("refunds", summary, parts, figures, _claims(view))


def share_given_back(paid: pd.Series, back: pd.Series) -> Share:
    """Return the share of money given back, sums of customers as units (linearised ratio, on the logarithm)."""
    both = pd.DataFrame({"paid": paid, "back": back}).fillna(0.0).to_numpy(np.float64)
    total = float(both[:, 0].sum())
    if total <= 0:
        return Share(float("nan"), float("nan"), float("nan"))
    value = float(both[:, 1].sum() / total)
    if len(back) < LEAST or value <= 0:
        return Share(value, float("nan"), float("nan"))
    reach = float(np.exp(_Z * _error(both, value) / value))
    return Share(value, value / reach, value * reach)


def by_period(view: CustomerView) -> pd.DataFrame:
    """Return money paid and given back in each period, and the share with its interval.

    Returns
    -------
    DataFrame
        ``period`` in words, ``paid``, ``given back``, ``refunds``, ``customers`` who got money back, ``share``,
        ``from``, ``to``, ``whole`` (whether the log holds all of the period), ``start``.
    """
    first, last = view.first.to_period(view.period), view.last.to_period(view.period)
    of_orders = view.orders["time"].dt.to_period(view.period)
    of_refunds = view.refunds["time"].dt.to_period(view.period)
    day = pd.Timedelta(days=1)
    rows = []
    for period in pd.period_range(first, last, freq=view.period):
        paid, back = view.orders[of_orders == period], view.refunds[of_refunds == period]
        share = share_given_back(_sums(paid), _sums(back))
        rows.append(
            {
                "period": period_label(period),
                "paid": float(paid["value"].sum()),
                "given back": float(back["value"].sum()),
                "refunds": len(back),
                "customers": int(back["customer"].nunique()),
                "share": share.value,
                "from": share.low,
                "to": share.high,
                "whole": bool(
                    period.start_time > view.first - day and period.end_time < view.last + day
                ),
                "start": period.start_time,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _claims(view: CustomerView) -> list[Claim]:
    """Return whether the share of the later half of the log differs from that of the earlier one."""
    middle = view.first + (view.last - view.first) / 2
    shares: list[float] = []
    # A customer may be in both halves: the difference is summed by customer before it is squared.
    gap = pd.Series(dtype="float64")
    for later in (False, True):
        paid = view.orders[(view.orders["time"] >= middle) == later]
        back = view.refunds[(view.refunds["time"] >= middle) == later]
        total = float(paid["value"].sum())
        if back["customer"].nunique() < LEAST or total <= 0:
            return []
        shares.append(float(back["value"].sum() / total))
        rest = _sums(back).sub(shares[-1] * _sums(paid), fill_value=0.0) / total
        gap = gap.add(rest if later else -rest, fill_value=0.0)
    error = float(np.sqrt(np.square(gap).sum()))
    if not error:
        return []
    p_value = float(2 * stats.norm.sf(abs(shares[1] - shares[0]) / error))
    return [
        Claim(
            f"Refunds {'grow' if shares[1] > shares[0] else 'shrink'}: {shares[1]:.1%} of the money paid since "
            f"{middle:%d %b %Y}, {shares[0]:.1%} before.",
            p_value,
        )
    ]


def _sums(frame: pd.DataFrame) -> pd.Series:
    return frame.groupby("customer")["value"].sum()


def _error(both: NDArray[np.float64], share: float) -> float:
    rest = both[:, 1] - share * both[:, 0]
    count = len(rest)
    return float(np.sqrt(np.square(rest).sum() * count / max(count - 1, 1)) / both[:, 0].sum())


def _between(share: Share) -> str:
    return "" if np.isnan(share.low) else f" (95% interval {share.low:.1%} to {share.high:.1%})"


def _drawn(frame: pd.DataFrame) -> go.Figure:
    figure = go.Figure(
        go.Bar(
            x=frame["start"], y=frame["share"], marker_color=[BLUE if whole else GREY for whole in frame["whole"]],
            error_y={"type": "data", "symmetric": False, "array": frame["to"] - frame["share"],
                     "arrayminus": frame["share"] - frame["from"], "color": "#5b6573", "width": 4},
            customdata=np.column_stack([frame["period"], frame["refunds"]]),
            hovertemplate="%{customdata[0]}: %{y:.1%}, %{customdata[1]} refunds<extra></extra>",
        )
    )  # fmt: skip
    figure.update_yaxes(tickformat=".0%", title_text="share of money given back", rangemode="tozero")
    figure.update_layout(height=320, margin={"t": 20})
    return figure

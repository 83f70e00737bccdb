"""Time to the next order: Kaplan and Meier's estimate, because the end of the log cuts many waits short."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from statsmodels.duration.survfunc import SurvfuncRight

from features.counts import counted
from offline.chapters.products.findings import Findings
from offline.lab.differences import LEAST
from offline.lab.statistics import ALPHA
from offline.report.section import Picture, Table
from offline.report.theme import faint, series_colour
from offline.views.log_view import LogView
from offline.views.net_orders import net_orders

_ORDERS: Final = ("first", "second", "third")
_WITHIN: Final = (30, 90, 180)
_STILL_WAITING: Final = 30  # customers; with fewer, the curve says little


def next_order(view: LogView) -> Findings:
    """Return how long customers wait after their first, second and third order in the log."""
    curves = {which: curve for nth, which in enumerate(_ORDERS) if (curve := waiting(view, nth)) is not None}
    if not curves:
        return Findings("next_order", [_unknown(view)], figures={})
    rows = [_row(which, curve, view.days) for which, curve in curves.items()]
    frame = pd.DataFrame(rows)
    first = frame.iloc[0]
    caption = (
        "Share of customers who have ordered again by the number of days since an order (Kaplan and Meier: customers "
        "whose wait the end of the log cuts short count for as long as they were seen). Orders of one day are one "
        "order; orders that were given back are none. Bands: 95%; a curve ends where fewer than "
        f"{_STILL_WAITING} customers were still waiting."
    )
    table = frame.copy()
    table["median days"] = [_days(row) for row in rows]
    table = table.drop(columns=["from", "to"])
    formats = {name: ".0%" for name in table if str(name).startswith("again")}
    parts: list[Table | Picture] = [
        Picture("Time to the next order", _drawn(curves), caption),
        Table(
            "Time to the next order", table,
            "Customers: who placed such an order; ordered again: how many of them were seen to. Median with its 95% "
            "interval: within so many days half have ordered again; a dash: less than half are known to.", formats,
        ),
    ]  # fmt: skip
    return Findings("next_order", [_said(first)], parts, {"after": frame})


def _unknown(view: LogView) -> str:
    """Return why nothing is known of the time to the next order."""
    days = pd.DataFrame({"customer": view.orders["customer"], "day": view.orders["time"].dt.normalize()})
    buyers = days["customer"].nunique()
    if buyers < LEAST:
        why = f"fewer than {LEAST} customers ordered"
    elif days["day"].nunique() == 1:
        why = "all orders came on one day"
    elif not days.drop_duplicates().duplicated("customer").any():
        why = f"none of {counted(buyers, 'customer')} ordered on a second day"
    else:
        why = f"fewer than {LEAST} customers could be seen to order again"
    return f"Nothing can be said of the time to the next order: {why}."


def waiting(view: LogView, nth: int) -> SurvfuncRight | None:
    """Return the survival function of the days from a customer's n-th order (from 0) to the next.

    None where too few customers placed one, or nobody ordered again.
    """
    orders = net_orders(view)
    days = pd.DataFrame({"customer": orders["customer"], "day": orders["time"].dt.normalize()})
    days = days.drop_duplicates().sort_values(["customer", "day"], kind="stable")
    place = days.groupby("customer").cumcount()
    following = days.groupby("customer")["day"].shift(-1)
    own = (place == nth).to_numpy()
    begun, ended = days.loc[own, "day"], following[own]
    happened = ended.notna().to_numpy()
    last = view.last.normalize()
    waited = (ended.fillna(last) - begun) / pd.Timedelta(days=1)
    seen = (waited > 0).to_numpy()  # an order of the last day has not been waited for
    if seen.sum() < LEAST or not happened[seen].any():
        return None
    return SurvfuncRight(waited[seen].to_numpy(), happened[seen].astype(int))


def _row(which: str, curve: SurvfuncRight, days: float) -> dict[str, Any]:
    with np.errstate(divide="ignore", invalid="ignore"):  # of the last point, where nobody is left
        low, high = curve.quantile_ci(0.5, alpha=ALPHA)
    middle = float(curve.quantile(0.5))
    return {
        "after the": f"{which} order",
        "customers": len(curve.time),
        "ordered again": int(curve.status.sum()),
        "median days": middle if np.isfinite(middle) else float("nan"),
        "from": float(low) if np.isfinite(low) else float("nan"),
        "to": float(high) if np.isfinite(high) else float("nan"),
        **{f"again in {within} days": _again(curve, within) for within in _WITHIN if within < days},
    }


def _again(curve: SurvfuncRight, within: float) -> float:
    """Return the share that ordered again within some days; NaN where too few were still waiting then."""
    if (curve.time >= within).sum() < _STILL_WAITING:
        return float("nan")
    at = int(np.searchsorted(curve.surv_times, within, side="right")) - 1
    return 0.0 if at < 0 else float(1 - curve.surv_prob[at])


def _days(row: dict[str, Any]) -> str:
    if np.isnan(row["median days"]):
        return "–"
    ends = [f"{row[name]:.0f}" if not np.isnan(row[name]) else "not known" for name in ("from", "to")]
    return f"{row['median days']:.0f} ({ends[0]} to {ends[1]})"


def _said(row: pd.Series) -> str:
    who = f"the {counted(row['customers'], 'customer')} with a first order in the log"
    if np.isnan(row["median days"]):
        return f"Time to the next order: less than half of {who} are known to order again ({row['ordered again']:,})."
    ends = (
        f"from {row['from']:.0f} on; the log is too short for its end"
        if np.isnan(row["to"])
        else f"{row['from']:.0f} to {row['to']:.0f}"
    )
    days = f"{counted(row['median days'], 'day')}"
    return f"Time to the next order: half of {who} order again within {days} (95% interval {ends})."


def _drawn(curves: dict[str, SurvfuncRight]) -> go.Figure:
    figure = go.Figure()
    for at, (which, curve) in enumerate(curves.items()):
        colour = series_colour(at)
        kept = curve.n_risk >= _STILL_WAITING
        x = np.concatenate([[0.0], curve.surv_times[kept]])
        again = np.concatenate([[0.0], 1 - curve.surv_prob[kept]])
        half = 1.96 * np.concatenate([[0.0], curve.surv_prob_se[kept]])
        low, high = np.clip(again - half, 0, 1), np.clip(again + half, 0, 1)
        figure.add_scatter(
            x=[*x, *x[::-1]], y=[*high, *low[::-1]], fill="toself", mode="lines", fillcolor=faint(colour),
            line={"width": 0}, hoverinfo="skip", showlegend=False,
        )  # fmt: skip
        figure.add_scatter(
            x=x, y=again, mode="lines", line={"color": colour, "width": 2.2, "shape": "hv"}, name=f"after the {which}",
            hovertemplate="%{x:.0f} days: %{y:.0%}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title_text="days since the order", rangemode="tozero")
    figure.update_yaxes(tickformat=".0%", title_text="ordered again", rangemode="tozero")
    figure.update_layout(height=360)
    return figure

"""How channels compare: sessions, conversion with its interval, orders and their value."""

from __future__ import annotations

from typing import Final

import pandas as pd
import plotly.graph_objects as go

from offline.chapters.exploration.findings import Findings
from offline.lab.statistics import wilson
from offline.report.section import Picture, Table
from offline.report.theme import BLUE
from offline.views.log_view import LogView

_UNKNOWN: Final = "not given"


def channels(view: LogView) -> Findings:
    """Compare channels in sessions, conversion and order value; nothing where the log names fewer than two."""
    named = view.events["channel"].astype(object).fillna(_UNKNOWN)
    if named.nunique() < 2:  # noqa: PLR2004  (one channel has nothing to be compared with)
        only = named.iloc[0]
        said = (
            "The log names no channels." if only == _UNKNOWN else f"All events come from one channel, {only}."
        )
        return Findings("channels", [said], figures=[])
    frame = compared(view, named)
    parts: list[Table | Picture] = [
        Picture(
            "Conversion by channel",
            _bars(frame),
            "A session belongs to the channel of its first event; lines are 95 % intervals.",
        ),
        Table(
            "Channels compared",
            frame,
            f"From and to: 95 % interval of the share of sessions with a purchase. Money in {view.currency}.",
            {
                "sessions with a purchase": ".2%",
                "from": ".2%",
                "to": ".2%",
                "revenue": ",.0f",
                "median order": ",.2f",
            },
        ),
    ]
    return Findings("channels", [_sentence(frame)], parts, frame)


def compared(view: LogView, named: pd.Series) -> pd.DataFrame:
    """Return one row for each channel, the one with most sessions first.

    Parameters
    ----------
    named
        Channel of every event.
    """
    events = view.events.assign(channel=named, session=view.sessions)
    orders = view.orders.assign(channel=view.orders["channel"].astype(object).fillna(_UNKNOWN))
    # A session belongs to the channel of its first event.
    first = events.drop_duplicates("session").set_index("session")["channel"]
    buying = events.loc[events["type"] == "purchase", "session"].unique()
    sessions = first.value_counts()
    bought = first.reindex(buying).value_counts().reindex(sessions.index, fill_value=0)
    low, high = wilson(bought, sessions)
    value = orders.groupby("channel")["value"]
    return pd.DataFrame(
        {
            "channel": sessions.index,
            "events": events["channel"].value_counts().reindex(sessions.index).to_numpy(),
            "customers": events.groupby("channel")["customer"].nunique().reindex(sessions.index).to_numpy(),
            "sessions": sessions.to_numpy(),
            "sessions with a purchase": (bought / sessions).to_numpy(),
            "from": low,
            "to": high,
            "orders": value.size().reindex(sessions.index, fill_value=0).to_numpy(),
            "revenue": value.sum().reindex(sessions.index, fill_value=0).to_numpy(),
            "median order": value.median().reindex(sessions.index).to_numpy(),
        }
    )


def _sentence(frame: pd.DataFrame) -> str:
    best = frame.loc[frame["sessions with a purchase"].idxmax()]
    clear = bool((best["from"] > frame.drop(index=best.name)["to"]).all())
    return (
        f"{best['channel']} converts best: {best['sessions with a purchase']:.1%} of its sessions end with a "
        f"purchase (95 % interval {best['from']:.1%} to {best['to']:.1%})"
        + (
            ", clearly ahead of the others."
            if clear
            else "; the intervals overlap, so the difference may be chance."
        )
    )


def _bars(frame: pd.DataFrame) -> go.Figure:
    share = frame["sessions with a purchase"]
    figure = go.Figure(
        go.Bar(
            x=frame["channel"],
            y=share,
            marker_color=BLUE,
            width=0.5,
            error_y={
                "type": "data",
                "symmetric": False,
                "array": frame["to"] - share,
                "arrayminus": share - frame["from"],
                "color": "#5b6573",
                "width": 4,
            },
            hovertemplate="%{x}: %{y:.2%}<extra></extra>",
        )  # fmt: skip
    )
    figure.update_yaxes(tickformat=".1%", title_text="sessions with a purchase", rangemode="tozero")
    figure.update_layout(height=320)
    return figure

"""How channels compare: sessions, conversion with its interval, orders and their value."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from offline.chapters.exploration.findings import Findings
from offline.corrections import holm
from offline.lab.differences import LEAST, Claim, clustered_p_value, median_interval
from offline.lab.statistics import ALPHA, wilson
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
            "A session belongs to the channel of its first event; lines are 95% intervals. Whether channels differ is "
            "tested by customer: sessions of one customer are alike.",
        ),
        Table(
            "Channels compared",
            frame,
            f"From and to: 95% intervals, of the share of sessions with a purchase and of the median order. Money in "
            f"{view.currency}.",
            {
                "sessions with a purchase": ".2%",
                "from": ".2%",
                "to": ".2%",
                "revenue": ",.0f",
                "median order": ",.2f",
                "median from": ",.2f",
                "median to": ",.2f",
            },
        ),
    ]
    return Findings("channels", [], parts, frame, _claims(view, named, frame))


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
    ends = {name: median_interval(own.dropna()) for name, own in value}
    intervals = np.array([ends.get(name, (np.nan, np.nan)) for name in sessions.index]).T
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
            "median from": intervals[0],
            "median to": intervals[1],
        }
    )


def _claims(view: LogView, named: pd.Series, frame: pd.DataFrame) -> list[Claim]:
    """Return the channel that converts better than all others, of those with enough customers."""
    events = view.events.assign(channel=named, session=view.sessions)
    first = events.drop_duplicates("session").set_index("session")
    bought = first.index.isin(events.loc[events["type"] == "purchase", "session"])
    customers = first["customer"].to_numpy(np.int64)
    enough = first.groupby("channel", observed=True)["customer"].nunique() >= LEAST
    solid = frame[frame["channel"].map(enough) & (frame["channel"] != _UNKNOWN)]
    if not len(solid):
        return []
    insides = [(first["channel"] == name).to_numpy() for name in solid["channel"]]
    raw = [clustered_p_value(customers, inside, bought) for inside in insides]
    # Of two channels, one is what the other is not: a single test.
    p_values = holm(raw) if len(frame) > 2 else raw  # noqa: PLR2004
    above = [bool(bought[inside].mean() > bought[~inside].mean()) for inside in insides]
    best = solid.assign(p=p_values)[above]
    if not len(best):
        return []
    clear = best[best["p"] < ALPHA]
    row = (
        clear.loc[clear["sessions with a purchase"].idxmax()] if len(clear) else best.loc[best["p"].idxmin()]
    )
    others = bought[(first["channel"] != row["channel"]).to_numpy()].mean()
    sentence = (
        f"{row['channel']} converts better than the rest: {row['sessions with a purchase']:.1%} of its sessions end "
        f"with a purchase (95% interval {row['from']:.1%} to {row['to']:.1%}), elsewhere {others:.1%}."
    )
    return [Claim(sentence, float(row["p"]))]


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

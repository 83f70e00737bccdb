"""From viewing to buying: how many sessions and customers get how far, and how channels compare."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from offline.exploration.findings import Findings
from offline.exploration.statistics import wilson
from offline.exploration.view import LogView
from offline.report.section import Picture, Table
from offline.report.theme import BLUE, GREY

_STEPS: Final = (
    ("view_item", "view"),
    ("add_to_cart", "cart"),
    ("begin_checkout", "checkout"),
    ("purchase", "purchase"),
)
_UNKNOWN: Final = "not given"


def funnel(view: LogView) -> Findings:
    """Return the funnel of sessions and of customers; a step that the log does not have is left out.

    In logs with incomplete cart events some purchases have no cart before them; they are counted and told.
    """
    if not view.browsing:
        return Findings(
            "funnel",
            ["The log has orders only, so there is no funnel from viewing to buying."],
            figures={"steps": []},
        )
    present = set(view.events["type"].unique())
    steps = [(code, word) for code, word in _STEPS if code in present]
    if len(steps) < 2 or steps[0][0] != "view_item":  # noqa: PLR2004  (a funnel has two ends)
        return Findings("funnel", ["The log has no views, so there is no funnel."], figures={"steps": []})
    sessions = reached(view.events, view.sessions, [code for code, _ in steps])
    customers = reached(view.events, view.events["customer"], [code for code, _ in steps])
    words = [word for _, word in steps]
    low, high = wilson(sessions[1:], sessions[:-1])
    frame = pd.DataFrame(
        {
            "step": words,
            "sessions": sessions,
            "of all sessions": sessions / max(sessions[0], 1),
            "of the step before": np.append(np.nan, sessions[1:] / np.maximum(sessions[:-1], 1)),
            "95 % interval": ["", *(f"{a:.1%} to {b:.1%}" for a, b in zip(low, high, strict=True))],
            "customers": customers,
            "of all customers": customers / max(customers[0], 1),
        }
    )
    worst = int(np.argmin(frame["of the step before"].iloc[1:].to_numpy())) + 1
    skipped, with_purchase = skipping(view.events, view.sessions, [code for code, _ in steps])
    summary = [
        f"Of {sessions[0]:,} sessions {sessions[-1] / max(sessions[0], 1):.1%} end with a purchase; most are "
        f"lost between {words[worst - 1]} and {words[worst]} "
        f"(only {frame['of the step before'][worst]:.1%} go on)."
    ]
    if skipped > 0:
        summary.append(
            f"{skipped:,} of {with_purchase:,} sessions with a purchase do not have every step before it (goods "
            f"put into the cart in an earlier session, or events that were not logged)."
        )
    figure = go.Figure(
        go.Funnel(
            y=words,
            x=sessions,
            marker={"color": [BLUE, "#3f86bd", "#6ba4cf", "#98c1e0"][: len(words)]},
            textinfo="value+percent initial",
            textposition="auto",
            connector={"line": {"color": GREY, "width": 1}},
            hovertemplate="%{y}: %{x:,} sessions<extra></extra>",
        )  # fmt: skip
    )
    figure.update_layout(height=320)
    formats = {name: ".1%" for name in frame if name.startswith("of ")}
    parts: list[Table | Picture] = [
        Picture(
            "Sessions from view to purchase",
            figure,
            "A session ends after 30 minutes of silence. A session that gets to a later step counts for those "
            "before it, too.",
        ),
        Table("The funnel", frame, formats=formats),
    ]
    return Findings("funnel", summary, parts, {"steps": frame, "purchases_skipping_a_step": skipped})


def reached(events: pd.DataFrame, unit: pd.Series, types: list[str]) -> NDArray[np.int64]:
    """Return how many units (sessions, customers) get as far as each step: to it, or to a later one.

    Who bought has passed the cart even where the log doesn't show it: shops log carts incompletely, and goods may
    lie in the cart from an earlier session.
    """
    furthest = events["type"].map({code: step for step, code in enumerate(types)}).astype("float64")
    best = furthest.groupby(unit.to_numpy()).max().dropna()
    return np.array([int((best >= step).sum()) for step in range(len(types))])


def skipping(events: pd.DataFrame, sessions: pd.Series, types: list[str]) -> tuple[int, int]:
    """Return how many sessions have a purchase but not every step before it, and how many have a purchase."""
    bought = set(sessions[events["type"] == types[-1]])
    complete = set(bought)
    for code in types[:-1]:
        complete &= set(sessions[events["type"] == code])
    return len(bought) - len(complete), len(bought)


def channels(view: LogView) -> Findings:
    """Compare channels in sessions, conversion and order value; nothing where the log names fewer than two."""
    named = view.events["channel"].astype(object).fillna(_UNKNOWN)
    if named.nunique() < 2:  # noqa: PLR2004  (one channel has nothing to be compared with)
        only = named.iloc[0]
        return Findings(
            "channels",
            [
                "The log names no channels."
                if only == _UNKNOWN
                else f"All events come from one channel, {only}."
            ],
            figures=[],
        )
    events = view.events.assign(channel=named, session=view.sessions)
    orders = view.orders.assign(channel=view.orders["channel"].astype(object).fillna(_UNKNOWN))
    # A session belongs to the channel of its first event.
    first = events.drop_duplicates("session").set_index("session")["channel"]
    buying = events.loc[events["type"] == "purchase", "session"].unique()
    sessions = first.value_counts()
    bought = first.reindex(buying).value_counts().reindex(sessions.index, fill_value=0)
    low, high = wilson(bought, sessions)
    value = orders.groupby("channel")["value"]
    frame = pd.DataFrame(
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
    best = frame.loc[frame["sessions with a purchase"].idxmax()]
    rest = frame.drop(index=best.name)
    clear = bool((best["from"] > rest["to"]).all())
    summary = [
        f"{best['channel']} converts best: {best['sessions with a purchase']:.1%} of its sessions end with a "
        f"purchase (95 % interval {best['from']:.1%} to {best['to']:.1%})"
        + (
            ", clearly ahead of the others."
            if clear
            else "; the intervals overlap, so the difference may be chance."
        )
    ]
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
    parts: list[Table | Picture] = [
        Picture(
            "Conversion by channel",
            figure,
            "A session belongs to the channel of its first event; lines are 95 % intervals.",
        ),
        Table(
            "Channels compared",
            frame,
            formats={
                "sessions with a purchase": ".2%",
                "from": ".2%",
                "to": ".2%",
                "revenue": ",.0f",
                "median order": ",.2f",
            },
        ),
    ]
    return Findings("channels", summary, parts, frame)

"""From viewing to buying: how many sessions and customers get how far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from features.counts import counted
from offline.chapters.exploration.findings import Findings
from offline.lab.differences import LEAST
from offline.lab.statistics import wilson
from offline.report.section import Picture, Table
from offline.report.theme import BLUE
from offline.views.log_view import LogView

_STEPS: Final = (
    ("view_item", "view"),
    ("add_to_cart", "cart"),
    ("begin_checkout", "checkout"),
    ("purchase", "purchase"),
)


def funnel(view: LogView) -> Findings:
    """Return the funnel of sessions and of customers.

    A step that the log does not have is left out, but for the
    purchase, which is what the funnel is about.

    In logs with incomplete cart events some purchases have no cart before them; they are counted and reported.
    """
    if not view.browsing:
        return Findings(
            "funnel",
            ["The log has orders only, so there is no funnel from viewing to buying."],
            figures={"steps": []},
        )
    present = set(view.events["type"].unique())
    # A log without any purchase has a funnel that nobody left by buying.
    steps = [(code, word) for code, word in _STEPS if code in present or code == _STEPS[-1][0]]
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
            "95% interval": ["", *(f"{a:.1%} to {b:.1%}" for a, b in zip(low, high, strict=True))],
            "customers": customers,
            "of all customers": customers / max(customers[0], 1),
        }
    )
    skipped, with_purchase = skipping(view.events, view.sessions, [code for code, _ in steps])
    summary = [
        _kept(sessions, words)
        if customers[0] >= LEAST
        else f"Of {counted(sessions[0], 'session')}, "
        f"{sessions[-1]:,} ended with a purchase: too few customers for more."
    ]
    if skipped > 0:
        summary.append(
            f"{skipped:,} of {counted(with_purchase, 'session')} with a purchase do not have every step before it "
            f"(goods "
            f"put into the cart in an earlier session, or events that were not logged)."
        )
    formats = {name: ".1%" for name in frame if name.startswith("of ")}
    parts: list[Table | Picture] = [
        Picture(
            "Sessions from view to purchase",
            _drawn(words, sessions),
            "A session ends after 30 minutes of silence. A session that gets to a later step counts for those "
            "before it, too.",
        ),
        Table("The funnel", frame, formats=formats),
    ]
    return Findings("funnel", summary, parts, {"steps": frame, "purchases_skipping_a_step": skipped})


def _drawn(words: list[str], sessions: NDArray[np.int64]) -> go.Figure:
    figure = go.Figure(
        go.Funnel(
            y=words,
            x=sessions,
            marker={"color": [BLUE, "#3f86bd", "#6ba4cf", "#98c1e0"][: len(words)]},
            texttemplate="%{value:,}<br>%{percentInitial:.1%}",
            textposition="auto",
            connector={"fillcolor": "#e9eef4", "line": {"width": 0}},
            hovertemplate="%{y}: %{x:,} sessions<extra></extra>",
        )  # fmt: skip
    )
    figure.update_layout(height=320)
    return figure


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


def _kept(sessions: NDArray[np.int64], words: Sequence[str]) -> str:
    """Return how many sessions end with a purchase, and where most of the others end: both are counted."""
    said = (
        f"Of {counted(sessions[0], 'session')}, {sessions[-1] / max(sessions[0], 1):.1%} end with a purchase"
    )
    lost = sessions[:-1] - sessions[1:]
    worst = int(lost.argmax()) + 1
    if not lost.any() or (lost == lost.max()).sum() > 1:
        return f"{said}."
    return (
        f"{said}; most others ({lost[worst - 1]:,}) end between {words[worst - 1]} and {words[worst]}, where "
        f"{sessions[worst] / max(sessions[worst - 1], 1):.1%} go on."
    )

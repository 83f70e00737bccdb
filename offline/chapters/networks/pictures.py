"""Pictures of experiments with networks: how far from logistic regression, and how training went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from offline.chapters.networks.experiments import REFERENCE, Outcome
from offline.report.section import Picture
from offline.report.theme import BLUE, GREY, ORANGE, SERIES
from offline.report.words import short

_CURVES: Final = (
    REFERENCE,
    "8 members sharing weights",
    "batch normalisation",
    "no early stopping",
    "no dropout",
)
_MOST_CURVES: Final = 4


def gaps(outcomes: Sequence[Outcome]) -> Picture:
    """Draw how far each network is from logistic regression, with intervals."""
    figure = go.Figure()
    names = [outcome.experiment.name for outcome in outcomes]
    groups = list(dict.fromkeys(outcome.experiment.group for outcome in outcomes))
    for group, colour in zip(groups, SERIES, strict=False):
        own = [outcome for outcome in outcomes if outcome.experiment.group == group]
        found = [outcome.against["auc"] for outcome in own]
        figure.add_scatter(
            x=[gap.value for gap in found], y=[outcome.experiment.name for outcome in own], mode="markers",
            name=group, marker={"color": colour, "size": 9},
            error_x={"type": "data", "array": [gap.high - gap.value for gap in found],
                     "arrayminus": [gap.value - gap.low for gap in found], "color": colour, "thickness": 1.5},
            hovertemplate="%{y}: %{x:+.3f}<extra></extra>",
        )  # fmt: skip
    figure.add_vline(x=0, line={"color": GREY, "width": 1})
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1], showgrid=False)
    figure.update_xaxes(title="AUC minus that of logistic regression", tickformat="+.3f", zeroline=False)
    figure.update_layout(height=150 + 26 * len(names))
    return Picture(
        "Networks against logistic regression",
        figure,
        "Right of the line: better than logistic regression on the same test rows. 95% intervals; where they reach "
        "over the line, the difference may be chance.",
    )


def curves(outcomes: Sequence[Outcome]) -> list[Picture]:
    """Draw log-loss and accuracy by epoch for the networks that have most to show."""
    by_name = {outcome.experiment.name: outcome for outcome in outcomes}
    shown = [by_name[name] for name in _CURVES if name in by_name][:_MOST_CURVES]
    pictures = []
    for key, title, form in (("loss", "Log-loss", None), ("accuracy", "Accuracy", ".0%")):
        figure = make_subplots(
            1, len(shown), subplot_titles=[short(outcome.experiment.name, 18) for outcome in shown], shared_yaxes=True,
            horizontal_spacing=0.03,
        )  # fmt: skip
        for at, outcome in enumerate(shown):
            curve, where = outcome.curve, {"row": 1, "col": at + 1}
            epochs = np.arange(1, len(curve.loss) + 1)
            lines = (
                ("training", getattr(curve, key), BLUE),
                ("validation", getattr(curve, f"validation_{key}"), ORANGE),
            )
            for name, values, colour in lines:
                figure.add_scatter(
                    x=epochs,
                    y=values,
                    name=name,
                    mode="lines",
                    line={"color": colour},
                    showlegend=at == 0,
                    **where,
                )
            figure.add_vline(x=curve.best + 1, line={"color": "#1f2733", "dash": "dot", "width": 1}, **where)
            figure.update_xaxes(title="epoch", **where)
        figure.update_yaxes(title=title, tickformat=form, row=1, col=1)
        figure.update_layout(legend={"y": 1.2}, margin={"t": 80})
        caption = (
            "Dotted: the epoch whose weights were kept. Where training improves and validation does not, the network "
            "learns its rows by heart."
        )
        if key == "loss":
            caption += (
                " Training figures are taken while dropout is at work, so they can lie above validation."
            )
        pictures.append(Picture(f"{title} by epoch", figure, caption))
    return pictures

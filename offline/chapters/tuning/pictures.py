"""Pictures of searches: their history, and what each setting does to the loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from offline.chapters.tuning.search import Search
from offline.chapters.tuning.spaces import Choices, Space
from offline.report.section import Picture
from offline.report.theme import SERIES

#: What people call the methods.
SEARCHES: Final = {"grid": "grid search", "random": "random search", "optuna": "Optuna"}

# One absurd trial would press all others into a line.
_SHOWN_LOSSES: Final = 0.85
_ACROSS: Final = 3


def history_picture(title: str, searches: Sequence[Search]) -> Picture:
    """Draw the trials in their order, and the best loss so far."""
    figure = go.Figure()
    for search, colour in zip(searches, SERIES, strict=False):
        trials, name = search.trials, SEARCHES[search.method]
        figure.add_scatter(
            x=trials["trial"], y=trials["log_loss"], mode="markers",
            marker={"color": colour, "size": 6, "opacity": 0.5},
            showlegend=False, hovertemplate=f"trial %{{x}}: %{{y:.4f}}<extra>{name}</extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=trials["trial"], y=trials["best"].replace(np.inf, np.nan), mode="lines",
            name=f"{name}, best so far", line={"color": colour, "shape": "hv", "width": 2},
        )  # fmt: skip
        if 0 < search.resumed < len(trials):
            figure.add_vline(x=search.resumed + 0.5, line={"color": colour, "dash": "dot", "width": 1})
    figure.update_yaxes(title="log-loss, cross-validated", range=_range(searches))
    figure.update_xaxes(title="trial")
    resumed = any(0 < search.resumed < len(search.trials) for search in searches)
    return Picture(
        f"History of the searches: {title}",
        figure,
        "Dots are trials (the worst ones lie above the picture), lines the best so far."
        + (" Dotted: where this run took up an earlier one." if resumed else ""),
    )


def settings_picture(title: str, space: Space, searches: Sequence[Search]) -> Picture:
    """Draw the loss of every trial by the value of each setting."""
    names = list(space)
    columns = min(_ACROSS, len(names))
    rows = -(-len(names) // columns)
    figure = make_subplots(
        rows, columns, subplot_titles=names, shared_yaxes=True, horizontal_spacing=0.04,
        vertical_spacing=0.2 / max(rows - 1, 1),
    )  # fmt: skip
    for at, name in enumerate(names):
        where = {"row": at // columns + 1, "col": at % columns + 1}
        part = space[name]
        for search, colour in zip(searches, SERIES, strict=False):
            values = search.trials[name]
            figure.add_scatter(
                x=values.astype(str) if isinstance(part, Choices) else values, y=search.trials["log_loss"],
                mode="markers", name=SEARCHES[search.method], legendgroup=search.method, showlegend=at == 0,
                marker={"color": colour, "size": 7, "opacity": 0.7},
                hovertemplate=f"{name} %{{x}}: %{{y:.4f}}<extra>{SEARCHES[search.method]}</extra>", **where,
            )  # fmt: skip
        if isinstance(part, Choices):
            order = [str(value) for value in part.values]
            figure.update_xaxes(type="category", categoryorder="array", categoryarray=order, **where)
        elif part.log:
            ticks = _ticks(part.low, part.high)
            labels = [f"{tick:g}" for tick in ticks]
            figure.update_xaxes(type="log", tickvals=ticks, ticktext=labels, **where)
    figure.update_yaxes(range=_range(searches))
    figure.update_yaxes(title="log-loss", col=1)
    figure.update_layout(height=130 + 230 * rows, legend={"y": 1 + 0.16 / rows}, margin={"t": 80})
    return Picture(
        f"Which settings matter: {title}",
        figure,
        "Each dot is a trial. Where dots lie at all heights over a value, that setting hardly decides; a "
        "slope or a valley shows where good settings lie.",
    )


def _range(searches: Sequence[Search]) -> list[float]:
    losses = np.concatenate([search.trials["log_loss"].dropna() for search in searches])
    low, high = float(losses.min()), float(np.quantile(losses, _SHOWN_LOSSES))
    pad = 0.08 * max(high - low, 1e-4)
    return [low - pad, high + pad]


def _ticks(low: float, high: float) -> list[float]:
    """Return a few round values between two ends on a logarithmic scale."""
    decades = [10.0**power for power in range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)]
    ticks = [decade * step for decade in decades for step in (1, 3) if low <= decade * step <= high]
    return ticks if len(ticks) <= 6 else ticks[::2]  # noqa: PLR2004  (labels of more would touch)

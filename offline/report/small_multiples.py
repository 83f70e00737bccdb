"""Small multiples: a panel for each column of the data, three to a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import plotly.graph_objects as go
from plotly.subplots import make_subplots

_ACROSS: Final = 3


@dataclass(frozen=True)
class SmallMultiples:
    """An empty figure with panels.

    Attributes
    ----------
    figure
        Plotly's.
    panels
        Where each panel is, in the order of the titles: ``row`` and ``col``, to be given to what is added.
    rows
        How many rows of panels there are, at least one.
    """

    figure: go.Figure
    panels: list[dict[str, int]]
    rows: int


def small_multiples(titles: Sequence[str], *, gap: float) -> SmallMultiples:
    """Return a figure with a panel for each title.

    Parameters
    ----------
    gap
        Between the panels of a row, as a share of the figure's width.
    """
    rows = max(1, -(-len(titles) // _ACROSS))
    figure = make_subplots(
        rows=rows,
        cols=_ACROSS,
        subplot_titles=list(titles),
        vertical_spacing=0.36 / max(rows, 2),
        horizontal_spacing=gap,
    )
    figure.update_annotations(font_size=12)
    panels = [{"row": at // _ACROSS + 1, "col": at % _ACROSS + 1} for at in range(len(titles))]
    return SmallMultiples(figure, panels, rows)

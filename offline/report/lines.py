"""Many lines in one picture: a few in colour and labelled where they run, the others grey behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from offline.report.theme import PALE

Floats = NDArray[np.float64]

_STRONG, _FAINT = 2.4, 1.2
_CHARACTER: Final = 6.6  # pixels of a label's character
# Where labels stand in an empty corner, in shares of the picture, from top to bottom.
_CORNERS: Final = {"lower right": (0.9, 0.42), "upper right": (0.9, 0.94)}
_LINE: Final = 0.075
# Where arrows meet the lines, in shares of their length, so that they don't cross.
_MEETS: Final = {"lower right": (0.7, 0.6, 0.5, 0.4), "upper right": (0.4, 0.5, 0.6, 0.7)}


class Look(NamedTuple):
    """How a line is drawn."""

    name: str
    colour: str
    width: float
    strong: bool


def looks(names: Sequence[str], strong: Mapping[str, str]) -> list[Look]:
    """Return how lines are drawn, the strong ones last, so that they lie on top.

    Parameters
    ----------
    strong
        Colour by name of those that matter.

    Examples
    --------
    >>> [(look.name, look.strong) for look in looks(["a", "b", "c"], {"a": "#1769aa"})]
    [('b', False), ('c', False), ('a', True)]
    """
    grey = [Look(name, PALE, _FAINT, False) for name in names if name not in strong]
    return grey + [Look(name, colour, _STRONG, True) for name, colour in strong.items() if name in names]


def label_in_corner(figure: go.Figure, lines: Mapping[str, tuple[Floats, Floats]], strong: Mapping[str, str],
                    corner: str) -> None:  # fmt: skip
    """Write names into an empty corner, with an arrow from each to its line.

    Parameters
    ----------
    lines
        Points by name.
    corner
        "lower right" or "upper right".
    """
    right, top = _CORNERS[corner]
    x_range, y_range = figure.layout.xaxis.range, figure.layout.yaxis.range
    for nth, (name, colour) in enumerate((n, c) for n, c in strong.items() if n in lines):
        x, y = lines[name]
        meets = _MEETS[corner]
        at = min(int(meets[nth % len(meets)] * len(x)), len(x) - 1)
        tail = (x_range[0] + right * (x_range[1] - x_range[0]),
                y_range[0] + (top - nth * _LINE) * (y_range[1] - y_range[0]))  # fmt: skip
        figure.add_annotation(
            x=float(x[at]), y=float(y[at]), ax=tail[0], ay=tail[1], axref="x", ayref="y", text=name, xanchor="right",
            showarrow=True, arrowhead=0, arrowwidth=1, arrowcolor=colour, font={"color": colour},
        )  # fmt: skip


def label_at_end(figure: go.Figure, ends: Mapping[str, tuple[object, float]], strong: Mapping[str, str],
                 apart: float) -> None:  # fmt: skip
    """Write names behind the ends of lines, pushed apart where ends are near each other.

    Parameters
    ----------
    ends
        Last point of each line by name.
    apart
        Least distance of two labels, in units of the vertical axis.
    """
    ordered = sorted((n for n in strong if n in ends), key=lambda name: ends[name][1])
    below = -np.inf
    for name in ordered:
        x, y = ends[name]
        below = max(y, below + apart)
        figure.add_annotation(
            x=x, y=below, text=name, showarrow=False, xanchor="left", xshift=7, font={"color": strong[name]}
        )
    longest = max((len(part) for name in ordered for part in name.split("<br>")), default=0)
    figure.update_layout(margin={"r": 20 + int(_CHARACTER * longest)})

"""One look for all pictures: a template for Plotly, and colours with a meaning.

Colours of series are told apart by people with a colour vision deficiency (Okabe and Ito 2008, darkened a little for
thin lines on white); magnitudes run from light to dark in one hue, so they survive grey printing.
"""

from __future__ import annotations

import colorsys
from typing import Any, Final

import plotly.graph_objects as go

BLUE: Final = "#1769aa"
ORANGE: Final = "#d9730d"
GREEN: Final = "#15803d"
GREY: Final = "#8a94a3"
#: Of lines that are only there to be compared with.
PALE: Final = "#c3cad3"
#: Series in order; `series_colour` goes on where these end.
SERIES: Final = (BLUE, ORANGE, GREEN, "#b5489a", "#3aa0d1", "#c7a008", "#7c62c9", "#8f5a38")
# Further ones, which can be told from those and read on white and on a dark screen.
_FURTHER: Final = (
    "#d13b3b", "#10a08f", "#8a8f22", "#e27ba5", "#6b7f94", "#b58a5e", "#5fae4c", "#a78be0", "#d0407a", "#3f7f86",
    "#9aa83c", "#4f6bd0",
)  # fmt: skip
_GOLDEN: Final = 0.618034
#: Magnitudes from nothing to most.
SEQUENTIAL: Final = ("#eef4fa", "#c9def0", "#92bfe0", "#5598c9", "#1f72ae", "#0b4d80", "#062f52")
#: From negative through nothing to positive.
DIVERGING: Final = ("#a3480a", "#e08b46", "#f6d9bd", "#f4f5f7", "#c3dcf0", "#5f9fd0", "#0f4f86")
#: What happened: rows of the negative and of the positive class.
NEGATIVE_COLOUR, POSITIVE_COLOUR = GREY, ORANGE

HEIGHT: Final = 380
_FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
#: Of texts, of what is said more softly, and of lines. On a dark screen ``page.js`` puts light ones in their place.
INK, SOFT, LINE = "#1f2733", "#5b6573", "#e3e7ec"

_AXIS: Final = {
    "gridcolor": LINE, "linecolor": "#b6bec9", "zerolinecolor": "#b6bec9", "automargin": True,
    "title": {"standoff": 10, "font": {"size": 13}}, "ticks": "outside", "ticklen": 4, "tickcolor": "#b6bec9",
}  # fmt: skip

TEMPLATE: Final = go.layout.Template(
    layout={
        "font": {"family": _FONT, "size": 13, "color": INK},
        "colorway": list(SERIES),
        "colorscale": {"sequential": list(SEQUENTIAL), "diverging": list(DIVERGING)},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hoverlabel": {"font": {"family": _FONT, "size": 13}},
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "xanchor": "left", "x": 0},
        "margin": {"l": 60, "r": 24, "t": 40, "b": 50},
        "bargap": 0.15,
    }
)


def series_colour(nth: int) -> str:
    """Return the colour of the n-th series of a picture, from 0; no two are the same.

    Examples
    --------
    >>> series_colour(0), series_colour(8), len({series_colour(nth) for nth in range(60)})
    ('#1769aa', '#d13b3b', 60)
    """
    named = (*SERIES, *_FURTHER)
    if nth < len(named):
        return named[nth]
    # Hues a golden section apart never meet.
    parts = colorsys.hls_to_rgb(nth * _GOLDEN % 1.0, 0.45, 0.55)
    return "#" + "".join(f"{round(255 * part):02x}" for part in parts)


def scale(colours: tuple[str, ...]) -> list[list[Any]]:
    """Return colours as a colour scale of Plotly."""
    return [[at / (len(colours) - 1), colour] for at, colour in enumerate(colours)]


def faint(colour: str, share: float = 0.18) -> str:
    """Return a transparent form of a colour ``#rrggbb``, for bands.

    Examples
    --------
    >>> faint("#0000ff")
    'rgba(0,0,255,0.18)'
    """
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{share})"

"""How many buyers are among the likeliest customers: on people that the model has not seen, in words and as a line."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from offline.chapters.insight.customer_looks import Look
from offline.chapters.insight.driver_looks import REASONS_FILE
from offline.chapters.insight.model import InsightModel
from offline.lab.differences import LEAST, share_p_value
from offline.lab.independent import last_of_each
from offline.lab.statistics import ALPHA, wilson
from offline.report.section import Finding, Picture
from offline.report.theme import BLUE, GREY

_TENTH: Final = 0.1
_POINTS: Final = 200


class Reached(NamedTuple):
    """Who bought among the likeliest tenth.

    Attributes
    ----------
    tenth, buyers
        How many the tenth are, and how many of them bought.
    low, high
        95% interval of their share.
    everywhere
        Share of all who bought.
    share
        Share of all buyers that the tenth holds.
    """

    tenth: int
    buyers: int
    low: float
    high: float
    everywhere: float
    share: float


def likeliest_look(model: InsightModel, unit: str, *, explained: int, log: bool) -> Look:
    """Return what the ranking is good for, one line of the test for each customer.

    Parameters
    ----------
    unit
        What is ranked, in the singular.
    explained
        How many the list with reasons has.
    """
    rows = last_of_each(model.test.groups, len(model.test))
    happened, ranked = model.test.target[rows], np.argsort(-model.probabilities[rows], kind="stable")
    if not happened.any() or len(rows) < LEAST:
        return Look([], [], {})
    found = reached(happened[ranked])
    units = f"{unit}s"
    did = f"made a {model.test.target_name}" if log else f"came with {model.test.target_name}"
    figures = {"likeliest_tenth": found._asdict() | {"of": len(rows)}}
    picture = _picture(happened[ranked], units, found)
    rest = int(happened.sum()) - found.buyers, len(rows) - found.tenth
    ahead = found.buyers / found.tenth > found.everywhere
    if not model.tells or not ahead or share_p_value(found.buyers, found.tenth, *rest) >= ALPHA:
        return Look([], [replace(picture, place="folded")], figures)
    finding = Finding(
        f"Of the likeliest tenth of the {units}, {found.buyers / found.tenth:.0%} {did}, of "
        f"all {found.everywhere:.0%}: "
        f"the tenth holds {found.share:.0%} of those who did.",
        f"Tried on {len(rows):,} {units} that the model had not seen; 95% interval {found.low:.0%} to "
        f"{found.high:.0%}.",
        "Contact these first. The list says for each what speaks for it.",
        max(1, round(_TENTH * explained)),
        units,
        REASONS_FILE,
    )
    return Look([], [picture], figures, findings=[finding])


def reached(happened: NDArray[np.bool_]) -> Reached:
    """Return who bought among the first tenth.

    Parameters
    ----------
    happened
        Whether each bought, likeliest first.
    """
    tenth = max(1, round(_TENTH * len(happened)))
    buyers = int(happened[:tenth].sum())
    low, high = wilson([buyers], [tenth])
    share = buyers / max(int(happened.sum()), 1)
    return Reached(tenth, buyers, float(low[0]), float(high[0]), float(happened.mean()), share)


def _picture(happened: NDArray[np.bool_], units: str, found: Reached) -> Picture:
    at = np.unique(np.linspace(0, len(happened), min(len(happened), _POINTS) + 1).astype(int))
    found_by = np.concatenate([[0.0], np.cumsum(happened) / happened.sum()])
    figure = go.Figure()
    figure.add_scatter(
        x=at / len(happened), y=np.round(found_by[at], 4), mode="lines", line={"color": BLUE, "width": 2.5},
        showlegend=False, hovertemplate="likeliest %{x:.0%}: %{y:.0%} of the buyers<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"color": GREY, "dash": "dot", "width": 1.2}, showlegend=False,
        hoverinfo="skip",
    )  # fmt: skip
    figure.add_annotation(
        x=_TENTH, y=found.share, text=f"likeliest tenth: {found.share:.0%}", showarrow=True, arrowcolor=GREY,
        ax=46, ay=34, xanchor="left", font={"color": BLUE},
    )  # fmt: skip
    figure.add_annotation(
        x=0.8, y=0.74, text="at random", showarrow=False, font={"color": GREY}, xanchor="left"
    )
    figure.update_xaxes(title_text=f"share of the {units}, likeliest first", tickformat=".0%", range=[0, 1])
    figure.update_yaxes(title_text="share of the buyers among them", tickformat=".0%", range=[0, 1])
    return Picture(
        "How many buyers the likeliest hold",
        figure,
        f"Of {len(happened):,} {units} that the model had not seen. The steeper the line begins, the fewer have to be "
        "contacted for the same number of buyers.",
        "lead",
    )

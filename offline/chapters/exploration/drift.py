"""Does the rate drift? How often it happens over time, for rows that have a time."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from scipy import stats

from offline.chapters.exploration.findings import Findings
from offline.chapters.exploration.regression import add_band
from offline.lab.differences import Claim
from offline.lab.independent import one_each
from offline.lab.statistics import wilson
from offline.problems.holdout import UNKNOWN_YEAR
from offline.problems.problem import Problem
from offline.report.section import Picture
from offline.report.theme import BLUE, POSITIVE_COLOUR

_PARTS: Final = 24
_LEAST_ROWS: Final = 30


def drift(problem: Problem, aucs: pd.Series | None = None) -> Findings:
    """Draw the rate in up to 24 parts of the time with as many rows each; nothing without times."""
    if problem.times is None or problem.times.nunique() < 2:  # noqa: PLR2004  (no time passes)
        return Findings("drift")
    frame = rate_over_time(problem)
    if len(frame) < 2:  # noqa: PLR2004  (too few rows to divide)
        return Findings("drift")
    # Rows of one customer are alike: the test sees one of each.
    apart = rate_over_time(problem.take(one_each(problem)))
    happened, missed = apart["rows"] * apart["rate"], apart["rows"] * (1 - apart["rate"])
    p_value = 1.0
    if len(apart) > 1 and happened.sum() and missed.sum():
        p_value = float(stats.chi2_contingency(np.column_stack([happened, missed])).pvalue)
    sentence = (
        f"The share of {problem.unit}s with {problem.target_name} changes over time, from {frame['rate'].min():.1%} to "
        f"{frame['rate'].max():.1%}, more than chance explains: models are best judged on later {problem.unit}s."
    )
    figure = go.Figure()
    x = frame["time"]
    add_band(figure, x.to_numpy(), frame["from"].to_numpy(), frame["to"].to_numpy(), BLUE)
    figure.add_scatter(
        x=x,
        y=frame["rate"],
        mode="lines+markers",
        line={"color": BLUE},
        showlegend=False,
        customdata=frame["rows"],
        hovertemplate="%{x|%Y-%m-%d}: %{y:.1%} of %{customdata:,}<extra></extra>",
    )
    figure.add_hline(y=problem.prevalence, line={"color": POSITIVE_COLOUR, "dash": "dot", "width": 1.5})
    figure.update_yaxes(
        tickformat=".0%", rangemode="tozero", title_text=f"{problem.unit}s with {problem.target_name}"
    )
    if (problem.times.dt.year == UNKNOWN_YEAR).all():
        figure.update_xaxes(tickformat="%b", dtick="M1")
    figure.update_layout(height=320)
    caption = "Each dot is a part of the time, with its 95% interval; the dotted line is the rate of all."
    picture = Picture(f"{problem.target_name} over time", figure, caption)
    return Findings("drift", [], [picture], frame, [Claim(sentence, p_value)])


def rate_over_time(problem: Problem) -> pd.DataFrame:
    """Return the middle of each part of time, its rows, rate and 95% interval."""
    assert problem.times is not None
    times = problem.times.dt.tz_convert(None).to_numpy()
    parts = max(1, min(_PARTS, len(times) // _LEAST_ROWS))
    at = times.astype("int64")
    # Tables that know months only get one part for each.
    edges = np.unique(at)
    if len(edges) > parts:
        edges = np.unique(np.quantile(at, np.linspace(0, 1, parts + 1)[1:-1]))
    codes = np.searchsorted(edges, at)
    grouped = pd.DataFrame({"part": codes, "time": times, "target": problem.target}).groupby("part")
    frame = grouped.agg(time=("time", "median"), rows=("target", "size"), positive=("target", "sum"))
    low, high = wilson(frame["positive"], frame["rows"])
    rate = frame["positive"] / frame["rows"]
    return (
        frame.drop(columns="positive").assign(rate=rate, **{"from": low, "to": high}).reset_index(drop=True)
    )

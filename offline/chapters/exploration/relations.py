"""How columns go together: rank correlations, and regressions of the target on single columns."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from features.counts import counted
from offline.chapters.exploration.findings import Findings
from offline.chapters.exploration.regression import rate_curves
from offline.problems.problem import Problem
from offline.report.section import Picture, Table
from offline.report.theme import DIVERGING, scale

_CORRELATED: Final = 24
_STRONG: Final = 0.8
# Up to this many columns, numbers in the squares can be read.
_NUMBERED: Final = 16
# Regressions are drawn for at most this many columns.
_DRAWN: Final = 6


def correlations(problem: Problem, aucs: pd.Series) -> Findings:
    """Draw rank correlations of the numeric columns and the target, and name pairs that say the same."""
    names = [
        name
        for name in aucs.index
        if problem.kinds[name] != "categorical" and problem.columns[name].nunique() > 1
    ]
    if len(names) < 2:  # noqa: PLR2004  (a correlation needs two)
        return Findings("correlations")
    columns = problem.columns[names].astype("float64")
    frame = columns.assign(**{problem.target_name: problem.target.astype(float)})
    matrix = frame.rank().corr().to_numpy()
    labels = list(frame)
    pairs = [
        {"column": labels[i], "other": labels[j], "correlation": float(matrix[i, j])}
        for i in range(len(names)) for j in range(i + 1, len(names)) if abs(matrix[i, j]) >= _STRONG
    ]  # fmt: skip
    pairs.sort(key=lambda pair: -abs(pair["correlation"]))
    details = [
        f"{_pairs(len(pairs))} nearly the same (rank correlation of {_STRONG} or more), most of "
        f"all {pairs[0]['column']} and {pairs[0]['other']} ({pairs[0]['correlation']:.2f})."
        if pairs
        else f"No two columns have a rank correlation of {_STRONG} or more."
    ]
    caption = "Spearman's rank correlation, similar columns side by side, the target last."
    if len(names) > _CORRELATED:
        caption += f" Of {counted(len(names), 'column')} the {_CORRELATED} that alone tell most are shown."
    parts: list[Table | Picture] = [Picture("Correlations", _squares(matrix, labels), caption)]
    if pairs:
        parts.append(
            Table("Columns that say nearly the same", pd.DataFrame(pairs), formats={"correlation": ".2f"})
        )
    return Findings("correlations", [], parts, {"pairs": pairs}, details=details)


def _pairs(count: int) -> str:
    return "One pair of columns says" if count == 1 else f"{counted(count, 'pair')} of columns say"


def _squares(matrix: NDArray[np.float64], labels: list[str]) -> go.Figure:
    """Draw correlations of the columns that tell most, the last label being the target."""
    columns = len(labels) - 1
    kept = [*range(min(columns, _CORRELATED)), columns]
    order = [*_ordered(matrix[np.ix_(kept[:-1], kept[:-1])]), len(kept) - 1]
    kept = [kept[at] for at in order]
    shown = [labels[at] for at in kept]
    figure = go.Figure(
        go.Heatmap(
            z=matrix[np.ix_(kept, kept)],
            x=shown,
            y=shown,
            zmin=-1,
            zmax=1,
            colorscale=scale(DIVERGING),
            xgap=1,
            ygap=1,
            texttemplate="%{z:.1f}" if len(shown) <= _NUMBERED else None,
            textfont={"size": 10},
            colorbar={"title": {"text": "rank<br>correlation"}, "thickness": 12},
            hovertemplate="%{y}, %{x}: %{z:.2f}<extra></extra>",
        )  # fmt: skip
    )
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(tickangle=-45, showgrid=False)
    figure.update_layout(height=max(420, 160 + 24 * len(shown)))
    return figure


def regressions(problem: Problem, aucs: pd.Series) -> Findings:
    """Draw the rate over the numeric columns that tell most, with a logistic regression on each."""
    names = [name for name in aucs.index if problem.kinds[name] == "numeric"][:_DRAWN]
    if not names:
        return Findings("regressions")
    figure, frame = rate_curves(problem, names)
    caption = (
        f"Dots: rate in tenths of the {problem.unit}s, with 95% intervals. Line: logistic regression on this column "
        "alone, with its 95% band; where dots leave it, the effect does not simply rise or fall: trees and networks "
        "can follow it, a linear model cannot."
    )
    title = f"{problem.target_name} by single columns, with a regression"
    parts: list[Table | Picture] = [Picture(title, figure, caption)]
    if len(frame):
        formats = {"odds per sd": ".2f", "from": ".2f", "to": ".2f", "deviance explained": ".1%"}
        parts.append(
            Table(
                "Logistic regressions on single columns",
                frame,
                "Odds per sd: by how much the odds (with it by without it) multiply when the column is one standard "
                "deviation larger, with a 95% interval; below 1 they fall. Deviance explained: how much of what could "
                "be known the column alone tells, 100% at most.",
                formats,
            )
        )
    return Findings("regressions", [], parts, frame)


def _ordered(matrix: NDArray[np.float64]) -> list[int]:
    """Return an order in which columns that go together stand together."""
    if len(matrix) < 3:  # noqa: PLR2004  (two have no order)
        return list(range(len(matrix)))
    distance = np.clip(1 - np.abs(np.nan_to_num(matrix)), 0, 1)
    np.fill_diagonal(distance, 0)
    return [int(at) for at in leaves_list(linkage(squareform(distance, checks=False), "average"))]

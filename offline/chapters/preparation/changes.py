"""What a fitted preparation does to every column, as a table and as pictures of before and after."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from sklearn.compose import ColumnTransformer

from features.counts import counted
from features.durations import duration_rounded
from offline.preparation.transformers import RobustClip, Unskew
from offline.problems.problem import Problem
from offline.report.tables import shown as for_people
from offline.report.theme import BLUE, ORANGE
from offline.report.time_axes import duration_ticks, seconds_of

_PICTURED: Final = 6
_BINS: Final = 40
_POINTS: Final = 20_000


def numeric_changes(problem: Problem, prepared: ColumnTransformer) -> pd.DataFrame:
    """Return for each numeric column what was missing, how it was transformed, what was clipped.

    Parameters
    ----------
    problem
        The training rows that ``prepared`` was fitted on.
    """
    names = [name for name, kind in problem.kinds.items() if kind == "numeric"]
    if not names:
        return pd.DataFrame()
    pipeline = prepared.named_transformers_["numeric"]
    fill, unskew, clip = pipeline["fill"], pipeline["unskew"], pipeline["clip"]
    raw = RobustClip(clip.fence).fit(fill.transform(problem.columns[names]))
    rows = []
    for at, name in enumerate(names):
        missing = int(problem.columns[name].isna().sum())
        rows.append(
            {
                "column": name,
                "missing": missing,
                "filled with": float(fill.statistics_[at]) if missing else np.nan,
                "transform": _method(unskew, at),
                "skewness before": float(unskew.skewness_[at]),
                "after": float(unskew.skewness_after_[at]),
                "outliers before": int(raw.outliers_[at]),
                "outliers after": int(clip.outliers_[at]),
                "clipped": int(clip.clipped_[at]),
                "to": _range(*raw_fences(unskew, clip, at), seconds_of(name, log=problem.from_log))
                if clip.clipped_[at]
                else "",
            }
        )
    frame = pd.DataFrame(rows)
    return frame if frame["missing"].any() else frame.drop(columns="filled with")


def category_changes(problem: Problem, prepared: ColumnTransformer) -> pd.DataFrame:
    """Return for each categorical and boolean column what became of it."""
    rows = []
    names = [name for name, kind in problem.kinds.items() if kind == "categorical"]
    for name, kind in problem.kinds.items():
        if kind == "numeric":
            continue
        row = {"column": name, "kind": kind, "missing": int(problem.columns[name].isna().sum())}
        if kind == "boolean":
            rows.append(row | {"categories": 2, "result": "0 and 1", "taken together as rare": ""})
            continue
        encoder = prepared.named_transformers_["categorical"][-1]
        at = names.index(name)
        rare = _list(encoder.infrequent_categories_[at])
        count = len(encoder.categories_[at])
        rows.append(
            row
            | {
                "categories": count,
                "result": f"{counted(count - max(len(rare) - 1, 0), 'column')} of 0 and 1",
                "taken together as rare": ", ".join(rare[:8]) + (", ..." if len(rare) > 8 else ""),  # noqa: PLR2004
            }
        )
    return pd.DataFrame(rows)


def before_and_after(problem: Problem, prepared: ColumnTransformer) -> tuple[go.Figure, list[str]]:
    """Return histograms of the most skewed columns, raw in the upper row and prepared in the lower."""
    names = [name for name, kind in problem.kinds.items() if kind == "numeric"]
    pipeline = prepared.named_transformers_["numeric"]
    skewness = np.abs(pipeline["unskew"].skewness_)
    changed = [at for at in np.argsort(-skewness) if skewness[at] > pipeline["unskew"].skewed][:_PICTURED]
    shown = [names[at] for at in changed]
    if not shown:
        return go.Figure(), []
    columns = problem.columns[names].iloc[:: max(1, len(problem) // _POINTS)]
    after = pipeline.transform(columns)
    figure = make_subplots(
        rows=2, cols=len(shown), subplot_titles=[_short(name) for name in shown],
        vertical_spacing=0.16, horizontal_spacing=0.035,
    )  # fmt: skip
    for place, at in enumerate(changed, 1):
        for row, values, colour in (
            (1, columns[names[at]].dropna().to_numpy(), ORANGE),
            (2, after[:, at], BLUE),
        ):
            counts, edges = np.histogram(values, _BINS)
            figure.add_bar(
                x=(edges[:-1] + edges[1:]) / 2, y=counts / max(len(values), 1), width=np.diff(edges),
                marker_color=colour, showlegend=False, row=row, col=place,
                hovertemplate="%{x:.3g}: %{y:.1%}<extra></extra>",
            )  # fmt: skip
        _time_axis(
            figure, seconds_of(names[at], log=problem.from_log), columns[names[at]].dropna().to_numpy(), place
        )
    figure.update_yaxes(tickformat=".0%", nticks=4, tickfont_size=10)
    figure.update_xaxes(nticks=4, tickfont_size=10)
    figure.update_yaxes(title_text="before", row=1, col=1)
    figure.update_yaxes(title_text="after", row=2, col=1)
    figure.update_annotations(font_size=11)
    figure.update_layout(height=430, bargap=0)
    return figure, shown


def raw_fences(unskew: Unskew, clip: RobustClip, at: int) -> tuple[float, float]:
    """Return the fences of a column in its own unit, before the transform."""
    fences = np.array([clip.low_[at], clip.high_[at]])
    method = unskew.methods_[at]
    if method == "log1p":
        fences = np.maximum(np.expm1(fences), 0.0)
    elif method == "yeo-johnson":
        fences = _inverse_yeo_johnson(fences, float(unskew.lambdas_[at]))
    return float(fences[0]), float(fences[1])


def _inverse_yeo_johnson(values: np.ndarray, power: float) -> np.ndarray:
    out = np.empty_like(values)
    with np.errstate(all="ignore"):  # beyond the range of the power there is no original value: then no fence
        for i, value in enumerate(values):
            if value >= 0:
                out[i] = np.expm1(value) if power == 0 else (power * value + 1) ** (1 / power) - 1
            else:
                rest = 2 - power
                out[i] = -np.expm1(-value) if rest == 0 else 1 - (1 - rest * value) ** (1 / rest)
    return out


def _method(unskew: Unskew, at: int) -> str:
    method = unskew.methods_[at]
    return f"Yeo-Johnson {unskew.lambdas_[at]:.2g}" if method == "yeo-johnson" else method


def _time_axis(figure: go.Figure, unit: float | None, values: np.ndarray, place: int) -> None:
    if unit is not None and len(values):
        at, texts = duration_ticks(float(values.min()), float(values.max()), unit)
        figure.update_xaxes(tickvals=at[::2], ticktext=texts[::2], row=1, col=place)


def _range(low: float, high: float, unit: float | None = None) -> str:
    """Return a range for people, a duration's in its own units; ``unit`` is that of the column in seconds."""

    def said(end: float) -> str:
        if np.isnan(end):
            return "no limit"
        return for_people(float(f"{end:.3g}")) if unit is None else duration_rounded(max(end, 0.0) * unit)

    ends = [said(end) for end in (low, high)]
    return f"{ends[0]} to {ends[1]}"


def _short(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "…"  # noqa: PLR2004  (what fits above a small picture)


def _list(categories: object) -> list[str]:
    return [] if categories is None else [str(category) for category in categories]  # type: ignore[attr-defined]

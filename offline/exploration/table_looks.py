"""Looks at a table: description, distributions by target, rates by category, correlations, regression plots."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from offline.exploration.findings import Findings
from offline.exploration.regression import log_axis, logarithmic, rate_curves
from offline.exploration.statistics import describe, wilson
from offline.problem import Problem
from offline.report.section import Picture, Table
from offline.report.theme import BLUE, DIVERGING, NEGATIVE_COLOUR, POSITIVE_COLOUR, scale
from offline.tables.leaks import alone

# Pictures show at most this many columns, those that tell most of the target; tables show all.
_PICTURED: Final = 12
_CORRELATED: Final = 24
_CATEGORIES: Final = 14
_BINS: Final = 30
_PER_ROW: Final = 3
_STRONG: Final = 0.8
# Rates of fewer rows are mostly noise.
_SOLID: Final = 100
# Up to this many columns, numbers in the squares can be read.
_NUMBERED: Final = 16
_RANKED_ROWS: Final = 20_000


def ranking(problem: Problem) -> pd.Series:
    """Return the cross-validated AUC of every column alone, best first (at most 20,000 rows are looked at)."""
    rng = np.random.default_rng(0)
    rows = np.arange(len(problem))
    if len(rows) > _RANKED_ROWS:
        rows = np.sort(rng.choice(rows, _RANKED_ROWS, replace=False))
    aucs = {
        name: alone(problem.columns[name].iloc[rows], problem.kinds[name], problem.target[rows])
        for name in problem.columns
    }
    return pd.Series(aucs, dtype="float64").sort_values(ascending=False)


def description(problem: Problem, aucs: pd.Series) -> Findings:
    """Describe every column, and how much it alone says about the target."""
    numeric = [name for name, kind in problem.kinds.items() if kind == "numeric"]
    parts: list[Table | Picture] = []
    figures: dict[str, object] = {"alone_auc": aucs}
    if numeric:
        table = describe(problem.columns[numeric])
        table.insert(1, "AUC alone", table["column"].map(aucs))
        told = table.drop(columns="known") if (table["known"] == len(problem)).all() else table
        parts.append(
            Table(
                "Numeric columns described",
                told,
                formats={"skewness": ".1f", "zero": ".1%", "AUC alone": ".3f"},
            )
        )
        figures["numeric"] = table
    others = [name for name in problem.columns if name not in numeric]
    if others:
        rows = []
        for name in others:
            counts = problem.columns[name].value_counts()
            rows.append(
                {
                    "column": name,
                    "values": int((counts > 0).sum()),
                    "most frequent": str(counts.index[0]),
                    "its share": counts.iloc[0] / len(problem),
                    "missing": int(problem.columns[name].isna().sum()),
                    "AUC alone": aucs[name],
                }
            )
        frame = pd.DataFrame(rows)
        parts.append(Table("Categories described", frame, formats={"its share": ".1%", "AUC alone": ".3f"}))
        figures["categories"] = frame
    best = [f"{name} ({auc:.2f})" for name, auc in aucs.head(4).items()]
    leaks = [name for name in aucs.head(4).index if name in problem.leaks]
    summary = [
        f"{len(problem):,} {problem.unit}s with {len(numeric)} numeric and {len(others)} other columns; "
        f"{problem.prevalence:.1%} are positive.",
        f"Alone, these columns tell most about {problem.target_name} (AUC, cross-validated; 0.5 is nothing): "
        f"{', '.join(best)}."
        + (f" Mind that {' and '.join(leaks)} seems to know the target." if leaks else ""),
    ]
    return Findings("description", summary, parts, figures)


def distributions(problem: Problem, aucs: pd.Series) -> Findings:
    """Draw numeric columns by class, each class as shares of its own rows."""
    names = [name for name in aucs.index if problem.kinds[name] == "numeric"][:_PICTURED]
    if not names:
        return Findings("distributions")
    rows = -(-len(names) // _PER_ROW)
    figure = make_subplots(
        rows=rows,
        cols=_PER_ROW,
        subplot_titles=names,
        vertical_spacing=0.36 / max(rows, 2),
        horizontal_spacing=0.06,
    )
    for at, name in enumerate(names):
        where = {"row": at // _PER_ROW + 1, "col": at % _PER_ROW + 1}
        values = problem.columns[name].astype("float64").to_numpy()
        known = ~np.isnan(values)
        x, y = values[known], problem.target[known]
        logged = logarithmic(x)
        x = np.log1p(x) if logged else x
        edges = np.histogram_bin_edges(x, _BINS)
        for happened, label, colour in (
            (False, "negative", NEGATIVE_COLOUR),
            (True, "positive", POSITIVE_COLOUR),
        ):
            counts, _ = np.histogram(x[y == happened], edges)
            figure.add_bar(
                x=(edges[:-1] + edges[1:]) / 2,
                y=counts / max(counts.sum(), 1),
                width=np.diff(edges),
                opacity=0.6,
                marker_color=colour,
                name=label,
                showlegend=at == 0,
                legendgroup=label,
                hovertemplate="%{y:.1%}<extra>" + label + "</extra>",
                **where,
            )
        if logged:
            figure.update_xaxes(log_axis(float(np.expm1(x.max()))), **where)
    figure.update_yaxes(tickformat=".0%", nticks=4)
    figure.update_annotations(font_size=12)
    figure.update_layout(height=220 * rows + 60, barmode="overlay", bargap=0, legend={"y": 1 + 0.12 / rows})
    caption = (
        "Shares within each class, so that both can be compared although one is rare. Skewed columns are "
        "on the scale log(1 + x)."
    )
    more = len([n for n in aucs.index if problem.kinds[n] == "numeric"]) - len(names)
    caption += f" The {more} columns that alone tell least are left out." if more else ""
    return Findings("distributions", [], [Picture("Distributions by target", figure, caption)])


def rates(problem: Problem, aucs: pd.Series) -> Findings:
    """Draw the positive rate of every category with its interval."""
    names = [name for name in aucs.index if problem.kinds[name] != "numeric"][:_PICTURED]
    if not names:
        return Findings("rates")
    rows = -(-len(names) // _PER_ROW)
    figure = make_subplots(
        rows=rows,
        cols=_PER_ROW,
        subplot_titles=names,
        vertical_spacing=0.36 / max(rows, 2),
        horizontal_spacing=0.07,
    )
    figures, widest = {}, (0.0, "")
    for at, name in enumerate(names):
        where = {"row": at // _PER_ROW + 1, "col": at % _PER_ROW + 1}
        frame = rate_by_category(problem.columns[name], problem.target)
        figures[name] = frame
        shown = frame if len(frame) <= _CATEGORIES else frame.nlargest(_CATEGORIES, "rows").sort_index()
        figure.add_bar(
            x=shown["category"].map(_short),
            y=shown["rate"],
            marker_color=BLUE,
            showlegend=False,
            customdata=shown["rows"],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": shown["to"] - shown["rate"],
                "arrayminus": shown["rate"] - shown["from"],
                "color": "#5b6573",
                "thickness": 1.1,
                "width": 2,
            },
            hovertemplate="%{x}: %{y:.1%} of %{customdata:,}<extra></extra>",
            **where,
        )
        figure.add_hline(
            y=problem.prevalence, line={"color": POSITIVE_COLOUR, "dash": "dot", "width": 1.5}, **where
        )
        if name not in problem.leaks and (found := _widest(frame)) is not None and found[0] > widest[0]:
            widest = (found[0], f"{name}: {found[1]}")
    figure.update_xaxes(type="category", tickfont_size=11)
    figure.update_yaxes(tickformat=".0%", rangemode="tozero", nticks=5)
    figure.update_annotations(font_size=12)
    figure.update_layout(height=240 * rows + 40)
    summary = [
        f"Among categories, the rate differs most by {widest[1]}."
        if widest[1]
        else "The rate does not differ clearly between the values of any category."
    ]
    everything = f"all {problem.unit}s ({problem.prevalence:.1%})"
    caption = f"Lines are 95 % intervals, the dotted line is the rate of {everything}."
    return Findings("rates", summary, [Picture("Positive rate by category", figure, caption)], figures)


def _widest(frame: pd.DataFrame) -> tuple[float, str] | None:
    """Return the gap between the highest and the lowest rate, in words too, where their intervals are apart."""
    solid = frame[frame["rows"] >= _SOLID]
    if len(solid) < 2:  # noqa: PLR2004  (a gap needs two)
        return None
    top, bottom = solid.loc[solid["rate"].idxmax()], solid.loc[solid["rate"].idxmin()]
    if bottom["to"] >= top["from"]:
        return None
    words = f"from {bottom['rate']:.1%} ({bottom['category']}) to {top['rate']:.1%} ({top['category']})"
    return float(top["rate"] - bottom["rate"]), words


def rate_by_category(column: pd.Series, target: NDArray[np.bool_]) -> pd.DataFrame:
    """Return rows, positive rate and its 95 % interval for every category, in the order of the categories."""
    texts = column.astype(object).where(column.notna(), "missing")
    order = (
        list(column.dtype.categories)
        if isinstance(column.dtype, pd.CategoricalDtype)
        else sorted(texts.unique(), key=str)
    )
    if not (isinstance(column.dtype, pd.CategoricalDtype) and column.dtype.ordered):
        order.sort(key=lambda value: (0, float(value), "") if str(value).isdigit() else (1, 0.0, str(value)))
    grouped = pd.Series(target).groupby(texts.to_numpy()).agg(["size", "sum"])
    grouped = grouped.reindex([value for value in [*order, "missing"] if value in grouped.index])
    low, high = wilson(grouped["sum"], grouped["size"])
    return pd.DataFrame(
        {
            "category": [str(v) for v in grouped.index],
            "rows": grouped["size"].to_numpy(),
            "rate": (grouped["sum"] / grouped["size"]).to_numpy(),
            "from": low,
            "to": high,
        }
    )


def correlations(problem: Problem, aucs: pd.Series) -> Findings:
    """Draw rank correlations of the numeric columns and the target, and name pairs that say the same."""
    names = [
        name
        for name in aucs.index
        if problem.kinds[name] != "categorical" and problem.columns[name].nunique() > 1
    ]
    if len(names) < 2:  # noqa: PLR2004  (a correlation needs two)
        return Findings("correlations")
    frame = (
        problem.columns[names].astype("float64").assign(**{problem.target_name: problem.target.astype(float)})
    )
    matrix = frame.rank().corr().to_numpy()
    labels = list(frame)
    pairs = [
        {"column": labels[i], "other": labels[j], "correlation": float(matrix[i, j])}
        for i in range(len(names)) for j in range(i + 1, len(names)) if abs(matrix[i, j]) >= _STRONG
    ]  # fmt: skip
    pairs.sort(key=lambda pair: -abs(pair["correlation"]))  # type: ignore[arg-type]
    kept = [*range(min(len(names), _CORRELATED)), len(names)]
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
    summary = [
        f"{len(pairs)} pairs of columns say nearly the same (rank correlation of {_STRONG} or more), most of "
        f"all {pairs[0]['column']} and {pairs[0]['other']} ({pairs[0]['correlation']:.2f})."
        if pairs
        else f"No two columns have a rank correlation of {_STRONG} or more."
    ]
    caption = "Spearman's rank correlation, similar columns side by side, the target last."
    if len(names) > _CORRELATED:
        caption += f" Of {len(names)} columns the {_CORRELATED} that alone tell most are shown."
    parts: list[Table | Picture] = [Picture("Correlations", figure, caption)]
    if pairs:
        parts.append(
            Table("Columns that say nearly the same", pd.DataFrame(pairs), formats={"correlation": ".2f"})
        )
    return Findings("correlations", summary, parts, {"pairs": pairs})


def regressions(problem: Problem, aucs: pd.Series) -> Findings:
    """Draw the positive rate over the numeric columns that tell most, with a logistic regression on each."""
    names = [name for name in aucs.index if problem.kinds[name] == "numeric"][: _PICTURED // 2]
    if not names:
        return Findings("regressions")
    figure, frame = rate_curves(problem.columns, problem.target, names, problem.unit)
    caption = (
        "Dots: rate in tenths of the rows, with 95 % intervals. Line: logistic regression on this column alone, "
        "with its 95 % band; where dots leave it, the effect "
        "is no simple rise or fall, which trees and networks can follow and a linear model cannot."
    )
    parts: list[Table | Picture] = [Picture("Regression of the target on single columns", figure, caption)]
    if len(frame):
        formats = {"odds per sd": ".2f", "from": ".2f", "to": ".2f", "deviance explained": ".1%"}
        parts.append(
            Table(
                "Logistic regressions on single columns",
                frame,
                "Odds per sd: by how much the odds multiply per standard deviation.",
                formats,
            )
        )
    return Findings("regressions", [], parts, frame)


def _ordered(matrix: NDArray[np.float64]) -> list[int]:
    """Return an order in which columns that go together stand together."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(matrix) < 3:  # noqa: PLR2004  (two have no order)
        return list(range(len(matrix)))
    distance = np.clip(1 - np.abs(np.nan_to_num(matrix)), 0, 1)
    np.fill_diagonal(distance, 0)
    return [int(at) for at in leaves_list(linkage(squareform(distance, checks=False), "average"))]


def _short(text: str) -> str:
    return text if len(text) <= 14 else text[:13] + "…"  # noqa: PLR2004  (what fits below a bar)

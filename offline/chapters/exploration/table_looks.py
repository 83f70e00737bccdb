"""First looks at a table: every column described, and its distribution by target."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from scipy import stats

from features.counts import counted
from offline.chapters.exploration.category_rates import is_calendar, rate_by_category
from offline.chapters.exploration.findings import Findings
from offline.chapters.exploration.regression import column_axis, logarithmic
from offline.corrections import holm
from offline.lab.differences import LEAST, Claim, values_p_value
from offline.lab.independent import one_each
from offline.lab.statistics import describe
from offline.problems.leaks import alone
from offline.problems.problem import Problem
from offline.report.section import Picture, Table
from offline.report.small_multiples import small_multiples
from offline.report.theme import NEGATIVE_COLOUR, POSITIVE_COLOUR

# Pictures show at most this many columns, those that tell most of the target; tables show all.
_PICTURED: Final = 12
_BINS: Final = 30
_RANKED_ROWS: Final = 20_000
_NAMED: Final = 4
# Several columns are named together, each of them for certain.
_CERTAIN: Final = 0.01


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
                f"AUC alone: how often this column alone ranks one with {problem.target_name} above one without; 0.5 "
                "tells nothing, 1 everything. sd: standard deviation. 5%, 25%, 75%, 95%: this share of the values "
                "lies below. Skewness: 0 where both sides are alike, large where few values are very large. Zero: "
                "share of zeros.",
                {"skewness": ".1f", "zero": ".1%", "AUC alone": ".3f"},
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
    summary = [
        f"{counted(len(problem), problem.unit)} with {len(numeric)} numeric and {len(others)} other columns; "
        f"{problem.prevalence:.1%} of them with {problem.target_name}.",
    ]
    return Findings("description", summary, parts, figures, tells_most(problem, aucs))


def tells_most(problem: Problem, aucs: pd.Series) -> list[Claim]:
    """Return the columns that tell most, of those that tell anything for certain (one row of each customer, Holm)."""
    rows = one_each(problem)
    target = problem.target[rows]
    p_values = pd.Series(
        holm([_tells(problem.columns[name].iloc[rows], problem.kinds[name], target) for name in aucs.index]),
        aucs.index,
    )
    named = [name for name in aucs.index if p_values[name] < _CERTAIN][:_NAMED]
    if not named:
        return []
    leaks = [name for name in named if name in problem.leaks]
    text = f"These columns alone tell most about {problem.target_name}: {', '.join(named)}."
    if leaks:
        text += f" Mind that {' and '.join(leaks)} seem{'s' * (len(leaks) == 1)} to know it beforehand."
    return [Claim(text, float(p_values[named].max()))]


def _tells(column: pd.Series, kind: str, target: NDArray[np.bool_]) -> float:
    """Return the p-value of a column and the target having nothing to do with each other."""
    if kind == "numeric":
        values = column.astype("float64").to_numpy()
        known = ~np.isnan(values)
        return values_p_value(values[known & target], values[known & ~target])
    frame = rate_by_category(column, target)
    frame = frame[frame["rows"] >= LEAST]
    happened = frame["rows"] * frame["rate"]
    table = np.column_stack([happened, frame["rows"] - happened])
    if len(table) < 2 or not table.sum(axis=0).all():  # noqa: PLR2004  (nothing to compare)
        return 1.0
    return float(stats.chi2_contingency(table).pvalue)


def distributions(problem: Problem, aucs: pd.Series) -> Findings:
    """Draw numeric columns by class, each class as shares of its own rows."""
    numeric = [name for name in aucs.index if problem.kinds[name] == "numeric" and not is_calendar(name)]
    names = numeric[:_PICTURED]
    if not names:
        return Findings("distributions")
    drawn = small_multiples(names, gap=0.06)
    figure, rows = drawn.figure, drawn.rows
    for name, where in zip(names, drawn.panels, strict=True):
        _add_histograms(figure, problem, name, where, legend=name == names[0])
    figure.update_yaxes(tickformat=".0%", nticks=4)
    figure.update_layout(height=220 * rows + 60, barmode="overlay", bargap=0, legend={"y": 1 + 0.12 / rows})
    caption = (
        f"Shares within each class, so that {problem.unit}s with and without {problem.target_name} can be compared "
        "although one is rare. Skewed columns are on the scale log(1 + x)."
    )
    more = len(numeric) - len(names)
    caption += f" The {counted(more, 'column')} that alone tell least are left out." if more else ""
    picture = Picture(f"Distributions with and without {problem.target_name}", figure, caption)
    return Findings("distributions", [], [picture])


def _add_histograms(
    figure: go.Figure, problem: Problem, name: str, where: dict[str, int], *, legend: bool
) -> None:
    values = problem.columns[name].astype("float64").to_numpy()
    known = ~np.isnan(values)
    x, y = values[known], problem.target[known]
    logged = logarithmic(x)
    x = np.log1p(x) if logged else x
    edges = np.histogram_bin_edges(x, _BINS)
    for happened, label, colour in (
        (False, f"{problem.target_name}: no", NEGATIVE_COLOUR),
        (True, f"{problem.target_name}: yes", POSITIVE_COLOUR),
    ):
        counts, _ = np.histogram(x[y == happened], edges)
        figure.add_bar(
            x=(edges[:-1] + edges[1:]) / 2,
            y=counts / max(counts.sum(), 1),
            width=np.diff(edges),
            opacity=0.6,
            marker_color=colour,
            name=label,
            showlegend=legend,
            legendgroup=label,
            hovertemplate="%{y:.1%}<extra>" + label + "</extra>",
            **where,
        )
    if len(x):
        figure.update_xaxes(column_axis(name, x, logged=logged, log=problem.from_log), **where)

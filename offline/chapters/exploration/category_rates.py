"""How often it happens by category: of texts, yes or no, months, weekdays and hours."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from offline.chapters.exploration.findings import Findings
from offline.chapters.exploration.patterns import WEEKDAYS
from offline.corrections import holm
from offline.lab.differences import Claim, widest_gap
from offline.lab.independent import one_each
from offline.lab.statistics import ALPHA, wilson
from offline.problems.months import MONTHS
from offline.problems.problem import Problem
from offline.report.section import Picture
from offline.report.small_multiples import small_multiples
from offline.report.theme import BLUE, POSITIVE_COLOUR

# Pictures show at most this many columns, those that tell most of the target.
_PICTURED: Final = 12
_CATEGORIES: Final = 14
# Fewer rows are drawn together: alone, their intervals would be all that a picture shows.
_DRAWN_ALONE: Final = 20
_OTHERS: Final = "…"


def rates(problem: Problem, aucs: pd.Series) -> Findings:
    """Draw how often it happens in every category, with its interval."""
    columns = {name: found for name in aucs.index if (found := _categories(problem, name)) is not None}
    names = list(columns)[:_PICTURED]
    if not names:
        return Findings("rates")
    drawn = small_multiples(names, gap=0.07)
    figure = drawn.figure
    figures, gathered = {}, False
    for name, where in zip(names, drawn.panels, strict=True):
        frame = rate_by_category(columns[name], problem.target)
        figures[name] = frame
        shown = _gathered(frame)
        gathered |= _OTHERS in set(shown["category"])
        _add_bars(figure, shown, problem.prevalence, where)
    figure.update_xaxes(type="category", tickfont_size=11)
    figure.update_yaxes(tickformat=".0%", rangemode="tozero", nticks=5)
    figure.update_layout(height=240 * drawn.rows + 40)
    everything = f"all {problem.unit}s ({problem.prevalence:.1%})"
    caption = (
        f"The share of {problem.unit}s with {problem.target_name}; lines are 95% intervals, the dotted line is that "
        f"of {everything}."
    )
    if gathered:
        caption += (
            f" {_OTHERS} stands for categories with fewer than {_DRAWN_ALONE} {problem.unit}s, or beyond "
            f"{_CATEGORIES}."
        )
    picture = Picture(f"{problem.target_name} by category", figure, caption)
    return Findings("rates", [], [picture], figures, differs_most(problem, columns))


def is_calendar(name: str) -> bool:
    """Say whether a column is a part of a date: its month, weekday or hour.

    Examples
    --------
    >>> is_calendar("signup_month"), is_calendar("months")
    (True, False)
    """
    return name.endswith(("_month", "_weekday", "_hour"))


def _categories(problem: Problem, name: str) -> pd.Series | None:
    """Return a column as categories, None where it is of numbers that are no part of a date."""
    column = problem.columns[name]
    if problem.kinds[name] != "numeric":
        return column
    if not is_calendar(name) or not column.dropna().isin(range(24)).all():
        return None
    first, words = 0, [f"{hour}" for hour in range(24)]
    if name.endswith("_month"):
        first, words = 1, [month.capitalize() for month in MONTHS]
    elif name.endswith("_weekday"):
        words = list(WEEKDAYS)
    known = [word for at, word in enumerate(words, first) if (column == at).any()]
    texts = column.map(dict(enumerate(words, first)))
    return texts.astype(pd.CategoricalDtype(known, ordered=True))


def _gathered(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the categories to draw: the largest ones with enough rows, and all others as one."""
    kept = frame.nlargest(_CATEGORIES, "rows", keep="first").index
    few = ~frame.index.isin(kept) | (frame["rows"] < _DRAWN_ALONE)
    if few.sum() < 2 or few.all():  # noqa: PLR2004  (one needs no company)
        return frame[frame.index.isin(kept)]
    rest = frame[few]
    size, positive = rest["rows"].sum(), (rest["rate"] * rest["rows"]).sum()
    low, high = wilson([positive], [size])
    other = {"category": _OTHERS, "rows": size, "rate": positive / size, "from": low[0], "to": high[0]}
    return pd.concat([frame[~few], pd.DataFrame([other])], ignore_index=True)


def _add_bars(figure: go.Figure, shown: pd.DataFrame, prevalence: float, where: dict[str, int]) -> None:
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
    figure.add_hline(y=prevalence, line={"color": POSITIVE_COLOUR, "dash": "dot", "width": 1.5}, **where)


def differs_most(problem: Problem, columns: dict[str, pd.Series]) -> list[Claim]:
    """Return the column whose values part the most, tested on one row of each customer, over all columns (Holm)."""
    rows = one_each(problem)
    found: list[tuple[float, float, str]] = []
    for name, column in columns.items():
        if name in problem.leaks:
            continue
        frame = rate_by_category(column.iloc[rows], problem.target[rows]).set_index("category")
        size = frame["rows"]
        gap = widest_gap((frame["rate"] * size).round(), size)
        if gap is None:
            continue
        low, high = frame["rate"][gap.bottom], frame["rate"][gap.top]
        text = (
            f"Among categories, {problem.target_name} differs most by {name}: from {low:.1%} of the {problem.unit}s "
            f"({gap.bottom}) to {high:.1%} ({gap.top})."
        )
        found.append((gap.p_value, high - low, text))
    if not found:
        return []
    p_values = np.array(holm([p for p, _, _ in found]))
    clear = np.flatnonzero(p_values < ALPHA)
    gaps = np.array([gap for _, gap, _ in found])
    at = int(clear[gaps[clear].argmax()]) if len(clear) else int(p_values.argmin())
    return [Claim(found[at][2], float(p_values[at]))]


def rate_by_category(column: pd.Series, target: NDArray[np.bool_]) -> pd.DataFrame:
    """Return rows, positive rate and its 95% interval for every category, in the order of the categories."""
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
            "category": [_said(value) for value in grouped.index],
            "rows": grouped["size"].to_numpy(),
            "rate": (grouped["sum"] / grouped["size"]).to_numpy(),
            "from": low,
            "to": high,
        }
    )


def _said(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool | np.bool_) else str(value)


def _short(text: str) -> str:
    return text if len(text) <= 14 else text[:13] + "…"  # noqa: PLR2004  (what fits below a bar)

"""How often the target is positive by category: of texts, yes or no, months, weekdays and hours."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from offline.chapters.exploration.findings import Findings
from offline.chapters.exploration.patterns import WEEKDAYS
from offline.lab.statistics import wilson
from offline.problems.months import MONTHS
from offline.problems.problem import Problem
from offline.report.section import Picture
from offline.report.small_multiples import small_multiples
from offline.report.theme import BLUE, POSITIVE_COLOUR

# Pictures show at most this many columns, those that tell most of the target.
_PICTURED: Final = 12
_CATEGORIES: Final = 14
# Rates of fewer rows are mostly noise.
_SOLID: Final = 100
# Fewer rows are drawn together: alone, their intervals would be all that a picture shows.
_DRAWN_ALONE: Final = 20
_OTHERS: Final = "…"


def rates(problem: Problem, aucs: pd.Series) -> Findings:
    """Draw the positive rate of every category with its interval."""
    columns = {name: found for name in aucs.index if (found := _categories(problem, name)) is not None}
    names = list(columns)[:_PICTURED]
    if not names:
        return Findings("rates")
    drawn = small_multiples(names, gap=0.07)
    figure = drawn.figure
    figures, widest, gathered = {}, (0.0, ""), False
    for name, where in zip(names, drawn.panels, strict=True):
        frame = rate_by_category(columns[name], problem.target)
        figures[name] = frame
        shown = _gathered(frame)
        gathered |= _OTHERS in set(shown["category"])
        _add_bars(figure, shown, problem.prevalence, where)
        if name not in problem.leaks and (found := _widest(frame)) is not None and found[0] > widest[0]:
            widest = (found[0], f"{name}: {found[1]}")
    figure.update_xaxes(type="category", tickfont_size=11)
    figure.update_yaxes(tickformat=".0%", rangemode="tozero", nticks=5)
    figure.update_layout(height=240 * drawn.rows + 40)
    summary = [
        f"Among categories, the rate differs most by {widest[1]}."
        if widest[1]
        else "The rate does not differ clearly between the values of any category."
    ]
    everything = f"all {problem.unit}s ({problem.prevalence:.1%})"
    caption = f"Lines are 95 % intervals, the dotted line is the rate of {everything}."
    if gathered:
        caption += (
            f" {_OTHERS} stands for categories with fewer than {_DRAWN_ALONE} rows, or beyond {_CATEGORIES}."
        )
    return Findings("rates", summary, [Picture("Positive rate by category", figure, caption)], figures)


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


def _short(text: str) -> str:
    return text if len(text) <= 14 else text[:13] + "…"  # noqa: PLR2004  (what fits below a bar)

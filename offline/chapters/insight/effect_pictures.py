"""SHAP values in pictures: by the value of a column, and step by step for single customers."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from offline.chapters.insight.drivers import Drivers
from offline.chapters.insight.model import InsightModel
from offline.report.axes import Axis
from offline.report.section import Picture
from offline.report.theme import BLUE, GREY, ORANGE
from offline.report.words import column_words, short, value_words

_COLUMNS: Final = 6
_ACROSS: Final = 3
_POINTS: Final = 600
_STEPS: Final = 8
#: Which rows are examples: quantiles of the probability.
_EXAMPLES: Final = {"likeliest": 1.0, "middling": 0.5, "unlikely": 0.05}


def effects_by_value(model: InsightModel, drivers: Drivers, *, log: bool, seed: int = 0) -> Picture:
    """Draw the SHAP value of single rows by the value of each of the most important columns."""
    rng = np.random.default_rng(seed)
    names = drivers.ranking["column"][:_COLUMNS].to_list()
    some = rng.permutation(len(drivers.values))[:_POINTS]
    height = -(-len(names) // _ACROSS)
    titles = [short(column_words(name, log=log), 26) for name in names]
    figure = make_subplots(
        rows=height, cols=min(_ACROSS, len(names)), subplot_titles=titles, vertical_spacing=0.28 / height
    )
    for at, name in enumerate(names):
        where = {"row": at // _ACROSS + 1, "col": at % _ACROSS + 1}
        axis = Axis.of(drivers.columns[name], model.test.kinds[name], log=log)
        values = drivers.columns[name].iloc[some]
        x = axis.place(values, rng)
        inside = (x >= axis.ends[0]) & (x <= axis.ends[1])
        said = [value_words(name, value, log=log) for value in values[inside]]
        figure.add_scattergl(
            x=x[inside], y=drivers.values[some, list(drivers.columns).index(name)][inside], mode="markers",
            marker={"size": 4, "opacity": 0.55, "color": BLUE}, showlegend=False, customdata=said,
            hovertemplate="%{customdata}: %{y:+.2f}<extra></extra>", **where,
        )  # fmt: skip
        places, texts = axis.ticks
        figure.update_xaxes(tickvals=places, ticktext=texts, range=list(axis.ends), **where)
    figure.add_hline(y=0, line={"color": GREY, "width": 1})
    figure.update_layout(height=60 + 270 * height, margin={"t": 60})
    return Picture(
        "Effect by value",
        figure,
        f"SHAP dependence: one point for each of {len(some)} test rows, its effect on the log-odds by the value of the "
        "column. Points of one value lie apart where the effect depends on other columns.",
    )


def example_rows(drivers: Drivers, probabilities: NDArray[np.float64]) -> dict[str, int]:
    """Return the positions of the example rows among those explained."""
    order = np.argsort(probabilities[drivers.rows], kind="stable")
    return {name: int(order[round(share * (len(order) - 1))]) for name, share in _EXAMPLES.items()}


def waterfalls(model: InsightModel, drivers: Drivers, *, log: bool) -> Picture:
    """Draw for three rows how the effects of columns add up from the average to the row's log-odds."""
    examples = example_rows(drivers, model.probabilities)
    titles = [f"{name}: {model.probabilities[drivers.rows[row]]:.1%}" for name, row in examples.items()]
    figure = make_subplots(rows=len(examples), cols=1, subplot_titles=titles, vertical_spacing=0.09)
    for nth, row in enumerate(examples.values(), start=1):
        steps = steps_of(drivers, row, log=log)
        figure.add_waterfall(
            orientation="h", y=[short(name, 44) for name in steps["step"]], x=steps["effect"], measure=steps["measure"],
            increasing={"marker": {"color": ORANGE}}, decreasing={"marker": {"color": BLUE}},
            totals={"marker": {"color": GREY}}, connector={"line": {"color": GREY, "width": 1}}, showlegend=False,
            hovertemplate="%{y}: %{x:+.2f}<extra></extra>", row=nth, col=1,
        )  # fmt: skip
        figure.update_yaxes(autorange="reversed", row=nth, col=1)
    figure.update_xaxes(title_text="log-odds before calibration", row=len(examples), col=1)
    figure.update_layout(height=110 + 330 * len(examples), margin={"t": 50})
    return Picture(
        "How single probabilities come about",
        figure,
        "Three test rows: the likeliest, the middle one, and one of the unlikely. From the average over the training "
        "rows, each column adds to the log-odds or takes away (SHAP values); the sum gives the probability above.",
    )


def steps_of(drivers: Drivers, row: int, *, log: bool) -> pd.DataFrame:
    """Return the steps from the average to a row's log-odds: the largest effects, all others together, and the sum."""
    values = drivers.values[row]
    order = np.argsort(-np.abs(values), kind="stable")
    shown, rest = order[:_STEPS], order[_STEPS:]
    names = [
        f"{column_words(str(drivers.columns.columns[at]), log=log)}: "
        f"{value_words(str(drivers.columns.columns[at]), drivers.columns.iloc[row, at], log=log)}"
        for at in shown
    ]
    steps = [
        ("average", drivers.base, "absolute"),
        *zip(names, values[shown], ["relative"] * len(names), strict=True),
    ]
    if len(rest):
        steps.append((f"{len(rest)} other columns", float(values[rest].sum()), "relative"))
    steps.append(("this row", float(drivers.base + values.sum()), "total"))
    return pd.DataFrame(steps, columns=["step", "effect", "measure"])

"""The decision boundary of models on any two columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from features.exceptions import IntentError
from offline.lab.models import MODELS, fit, network, probabilities
from offline.lab.networks.architectures import Architecture
from offline.lab.networks.training import Training
from offline.problems.problem import Problem
from offline.report.axes import Axis
from offline.report.section import Picture
from offline.report.theme import DIVERGING, NEGATIVE_COLOUR, POSITIVE_COLOUR, scale

Floats = NDArray[np.float64]
Exact = Callable[[Floats, Floats], Floats]

_DOTS: Final = 400
# With fewer positives than this, hardly any place reaches a probability of one half.
_RARE, _EVEN = 0.25, 0.5


class BoundaryError(IntentError):
    """A boundary cannot be drawn on these columns."""


class Surface(NamedTuple):
    """Probabilities on a grid of two columns, shape (y, x)."""

    title: str
    probabilities: Floats


class Boundary(NamedTuple):
    """Surfaces of models that know two columns only."""

    names: tuple[str, str]
    x: Axis
    y: Axis
    surfaces: list[Surface]
    level: float


def boundary(
    problem: Problem, names: Sequence[str], *, exact: Exact | None = None, seed: int = 0, quick: bool = False
) -> Boundary:
    """Fit logistic regression and a network on any two columns, and evaluate both on a grid.

    The boundary is drawn where the probability is one half, or, where less than a quarter is positive, the prevalence
    doubled: with rare positives hardly any place reaches one half.

    Parameters
    ----------
    exact
        The true probability of a grid's points, where it is known; of numbers only.

    Raises
    ------
    BoundaryError
        A column is unknown, or the same is named twice.
    """
    for name in names:
        if name not in problem.columns:
            raise BoundaryError(f"there is no column {name!r}: choose two of {', '.join(problem.columns)}")
    first, second = names
    if first == second:
        raise BoundaryError(f"a boundary needs two different columns, {first!r} was named twice")
    two = problem.without(set(problem.columns) - {first, second})
    x, y = (Axis.of(two.columns[name], two.kinds[name], log=problem.from_log) for name in (first, second))
    rows, columns = (grid.ravel() for grid in np.indices((len(y.at), len(x.at))))
    points = {first: x.values.iloc[columns], second: y.values.iloc[rows]}
    grid = pd.DataFrame({name: points[name].reset_index(drop=True) for name in two.columns})
    training = Training(epochs=40 if quick else 60, patience=15)
    models = {
        "logistic regression": MODELS["logistic"].make(two.kinds, seed, quick),
        "Keras network": network(two.kinds, Architecture(hidden=(64, 64), dropout=0.0), training, seed=seed),
    }
    shape = len(y.at), len(x.at)
    surfaces = [
        Surface(title, probabilities(fit(model, two), grid).reshape(shape)) for title, model in models.items()
    ]
    if exact is not None:
        truth = exact(grid[first].to_numpy(np.float64), grid[second].to_numpy(np.float64))
        surfaces.append(Surface("the truth", truth.reshape(shape)))
    prevalence = problem.prevalence
    level = _EVEN if prevalence >= _RARE else 2 * prevalence
    return Boundary((first, second), x, y, surfaces, level)


def picture(problem: Problem, found: Boundary, title: str) -> Picture:
    """Draw surfaces side by side with some of the rows."""
    count = len(found.surfaces)
    figure = make_subplots(
        1, count, subplot_titles=[surface.title for surface in found.surfaces], shared_yaxes=True,
        horizontal_spacing=0.03,
    )  # fmt: skip
    dots = _dots(problem, found)
    top = max(2 * found.level, float(max(surface.probabilities.max() for surface in found.surfaces)))
    top = min(1.0, top)
    for at, surface in enumerate(found.surfaces):
        where = {"row": 1, "col": at + 1}
        figure.add_heatmap(
            x=found.x.at, y=found.y.at, z=surface.probabilities.round(4), zmin=0, zmax=top,
            colorscale=_centred(found.level / top), showscale=at == count - 1,
            colorbar={"title": "probability", "tickformat": ".0%"}, hovertemplate="%{z:.1%}<extra></extra>", **where,
        )  # fmt: skip
        figure.add_contour(
            x=found.x.at, y=found.y.at, z=surface.probabilities, showscale=False, hoverinfo="skip",
            contours={"type": "constraint", "operation": "=", "value": found.level},
            line={"color": "#1f2733", "width": 2}, showlegend=False, **where,
        )  # fmt: skip
        for label, colour, x, y in dots:
            figure.add_scatter(
                x=x, y=y, mode="markers", name=label, showlegend=at == 0, hoverinfo="skip",
                marker={"color": colour, "size": 5, "line": {"color": "white", "width": 0.6}}, **where,
            )  # fmt: skip
        figure.update_xaxes(title=found.x.title, **_axis_of(found.x), **where)
        figure.update_yaxes(**_axis_of(found.y), **where)
    figure.update_yaxes(title=found.y.title, row=1, col=1)
    figure.update_layout(height=430, legend={"y": 1.1})
    return Picture(title, figure, _caption(found))


def _caption(found: Boundary) -> str:
    level = f"{found.level:.0%}{'' if found.level == _EVEN else ' (twice the average)'}"
    reached = any(surface.probabilities.max() > found.level for surface in found.surfaces)
    line = f"Black line: where the probability is {level}" if reached else f"No place reaches {level}"
    return (
        f"Each model knows these two columns only. {line}; orange: above it, blue: below. A linear model can only cut "
        "the plane in two by a smooth line, a network can bend it. Dots are some of the rows."
    )


def _dots(problem: Problem, found: Boundary) -> list[tuple[str, str, Floats, Floats]]:
    """Return name, colour and places of some negative and some positive rows."""
    rng = np.random.default_rng(0)
    some = np.sort(rng.choice(len(problem), min(_DOTS, len(problem)), replace=False))
    x, y = (
        axis.place(problem.columns[name].iloc[some], rng)
        for axis, name in zip((found.x, found.y), found.names, strict=True)
    )
    inside = np.isfinite(x) & np.isfinite(y)
    happened = problem.target[some]
    return [
        (f"{problem.target_name}: {word}", colour, x[own], y[own])
        for word, colour, own in (
            ("no", NEGATIVE_COLOUR, inside & ~happened),
            ("yes", POSITIVE_COLOUR, inside & happened),
        )
    ]


def _axis_of(axis: Axis) -> dict[str, Any]:
    return {"range": axis.ends, "tickvals": axis.ticks[0], "ticktext": axis.ticks[1]}


def _centred(middle: float) -> list[list[object]]:
    """Return the diverging colours with their neutral one at ``middle`` of the range."""
    colours = scale(tuple(reversed(DIVERGING)))
    middle = min(max(middle, 0.05), 0.95)
    return [
        [at * 2 * middle if at <= 0.5 else middle + (at - 0.5) * 2 * (1 - middle), colour]  # noqa: PLR2004
        for at, colour in colours
    ]

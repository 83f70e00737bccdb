"""The decision boundary of models on any two columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from features.exceptions import IntentError
from offline.lab.models import MODELS, fit, network, probabilities
from offline.lab.networks.architectures import Architecture
from offline.lab.networks.training import Training
from offline.problem import Problem
from offline.report.section import Picture
from offline.report.theme import DIVERGING, NEGATIVE_COLOUR, POSITIVE_COLOUR, scale

Floats = NDArray[np.float64]
Exact = Callable[[Floats, Floats], Floats]

_CELLS: Final = 60
_DOTS: Final = 400
_EDGES: Final = (0.005, 0.995)
_SKEWED: Final = 4.0


class BoundaryError(IntentError):
    """A boundary cannot be drawn on these columns."""


class Surface(NamedTuple):
    """Probabilities on a grid of two columns, shape (y, x)."""

    title: str
    probabilities: Floats


class Boundary(NamedTuple):
    """Surfaces of models that know two columns only."""

    names: tuple[str, str]
    x: Floats
    y: Floats
    surfaces: list[Surface]
    level: float


def boundary(
    problem: Problem, names: Sequence[str], *, exact: Exact | None = None, seed: int = 0, quick: bool = False
) -> Boundary:
    """Fit logistic regression and a network on two numeric columns, and evaluate both on a grid.

    The boundary is drawn where the probability is one half, or, where less than a quarter is positive, the prevalence
    doubled: with rare positives hardly any place reaches one half.

    Parameters
    ----------
    exact
        The true probability of a grid's points, where it is known.

    Raises
    ------
    BoundaryError
        A column is unknown or not numeric.
    """
    for name in names:
        if problem.kinds.get(name) != "numeric":
            known = [name for name, kind in problem.kinds.items() if kind == "numeric"]
            raise BoundaryError(f"{name!r} is no numeric column: choose two of {', '.join(known)}")
    first, second = names
    if first == second:
        raise BoundaryError(f"a boundary needs two different columns, {first!r} was named twice")
    two = problem.without(set(problem.columns) - {first, second})
    x, y = _axis(two.columns[first]), _axis(two.columns[second])
    points = np.array(np.meshgrid(x, y)).reshape(2, -1)
    grid = pd.DataFrame({first: points[0], second: points[1]})[list(two.columns)]
    training = Training(epochs=15 if quick else 60, patience=15)
    models = {
        "logistic regression": MODELS["logistic"].make(two.kinds, seed, quick),
        "Keras network": network(two.kinds, Architecture(hidden=(64, 64), dropout=0.0), training, seed=seed),
    }
    surfaces = [
        Surface(title, probabilities(fit(model, two), grid).reshape(len(y), len(x)))
        for title, model in models.items()
    ]
    if exact is not None:
        surfaces.append(Surface("the truth", exact(points[0], points[1]).reshape(len(y), len(x))))
    prevalence = problem.prevalence
    return Boundary((first, second), x, y, surfaces, 0.5 if prevalence >= 0.25 else 2 * prevalence)  # noqa: PLR2004


def picture(problem: Problem, found: Boundary, title: str) -> Picture:
    """Draw surfaces side by side with some of the rows."""
    first, second = found.names
    count = len(found.surfaces)
    figure = make_subplots(
        1, count, subplot_titles=[surface.title for surface in found.surfaces], shared_yaxes=True,
        horizontal_spacing=0.03,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    dots = np.sort(rng.choice(len(problem), min(_DOTS, len(problem)), replace=False))
    axes = [_scale(problem.columns[name]) for name in (first, second)]
    top = max(2 * found.level, float(max(surface.probabilities.max() for surface in found.surfaces)))
    middle = found.level / min(1.0, top)
    for at, surface in enumerate(found.surfaces):
        where = {"row": 1, "col": at + 1}
        figure.add_heatmap(
            x=found.x, y=found.y, z=surface.probabilities.round(4), zmin=0, zmax=min(1.0, top),
            colorscale=_centred(middle), showscale=at == count - 1,
            colorbar={"title": "probability", "tickformat": ".0%"},
            hovertemplate=f"{first} %{{x:.3g}}<br>{second} %{{y:.3g}}<br>%{{z:.1%}}<extra></extra>", **where,
        )  # fmt: skip
        figure.add_contour(
            x=found.x, y=found.y, z=surface.probabilities, showscale=False, hoverinfo="skip",
            contours={"type": "constraint", "operation": "=", "value": found.level},
            line={"color": "#1f2733", "width": 2},
            showlegend=False, **where,
        )  # fmt: skip
        for happened, label, colour in (
            (False, "negative", NEGATIVE_COLOUR),
            (True, "positive", POSITIVE_COLOUR),
        ):
            some = dots[problem.target[dots] == happened]
            figure.add_scatter(
                x=problem.columns[first].iloc[some], y=problem.columns[second].iloc[some], mode="markers", name=label,
                marker={"color": colour, "size": 5, "line": {"color": "white", "width": 0.6}}, showlegend=at == 0,
                hoverinfo="skip", **where,
            )  # fmt: skip
        figure.update_xaxes(title=first, type=axes[0], range=_range(found.x, axes[0]), **where)
        figure.update_yaxes(type=axes[1], range=_range(found.y, axes[1]), **where)
    figure.update_yaxes(title=second, row=1, col=1)
    figure.update_layout(height=430, legend={"y": 1.1})
    return Picture(
        title,
        figure,
        f"Black: where the probability is {found.level:.0%}. A linear model can only cut the plane in "
        "two by a smooth line; a "
        "network can bend it. Dots are some of the rows.",
    )


def _axis(column: pd.Series) -> Floats:
    """Return grid points over nearly all values, on the scale on which they are drawn."""
    values = column.dropna().to_numpy(np.float64)
    low, high = np.quantile(values, _EDGES)
    if not high > low:
        low, high = float(values.min()), float(values.max()) + 1e-9
    if _scale(column) == "log":
        return np.geomspace(max(low, float(values[values > 0].min())), high, _CELLS)
    return np.linspace(low, high, _CELLS)


def _scale(column: pd.Series) -> str:
    """Return "log" for skewed columns that are positive, else "linear"."""
    values = column.dropna().to_numpy(np.float64)
    if values.min() <= 0:
        return "linear"
    low, middle, high = np.quantile(values, [0.01, 0.5, 0.99])
    return "log" if high - middle > _SKEWED * (middle - low) or high > 3 * _SKEWED * middle else "linear"


def _range(axis: Floats, kind: str) -> list[float]:
    ends = np.log10(axis[[0, -1]]) if kind == "log" else axis[[0, -1]]
    return [float(ends[0]), float(ends[1])]


def _centred(middle: float) -> list[list[object]]:
    """Return the diverging colours with their neutral one at ``middle`` of the range."""
    colours = scale(tuple(reversed(DIVERGING)))
    middle = min(max(middle, 0.05), 0.95)
    return [
        [at * 2 * middle if at <= 0.5 else middle + (at - 0.5) * 2 * (1 - middle), colour]  # noqa: PLR2004
        for at, colour in colours
    ]

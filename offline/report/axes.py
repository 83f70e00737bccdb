"""Axes for pictures of any column: numbers on a scale that spreads them, categories side by side in a natural order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from offline.problems.problem import Kind
from offline.report.time_axes import duration_ticks, seconds_of
from offline.report.words import column_words, natural_order

Floats = NDArray[np.float64]
Scale = Literal["linear", "log", "log1p", "categories"]

_CELLS: Final = 60
_CATEGORY_CELLS: Final = 8  # of each category
_MOST_CATEGORIES: Final = 12
_EDGES: Final = (0.005, 0.995)
_SKEWED: Final = 4.0
_SPREAD: Final = 0.3  # of the dots of a category
_LABELS: Final = 6
_APART: Final = 0.1  # of the axis, between two labels
# Round numbers within a power of ten, from many to few.
_STEPS: Final = ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,))
_SMALL: Final = 0.1  # below this quantile of the positive values, a scale with zero is even


@dataclass(frozen=True)
class Axis:
    """One axis of a picture.

    Attributes
    ----------
    title
        The column in words.
    values
        Grid points as the column has them.
    at
        Where the grid points are drawn.
    ends
        Where the axis begins and ends.
    ticks
        Where labels stand, and what they say.
    scale, unit
        How numbers become places: as they are, by their logarithm, or by that of 1 + number / unit.
    """

    title: str
    values: pd.Series
    at: Floats
    ends: tuple[float, float]
    ticks: tuple[list[float], list[str]]
    scale: Scale
    unit: float = 1.0

    @classmethod
    def of(cls, column: pd.Series, kind: Kind, *, log: bool) -> Axis:
        """Return the axis of a column; ``log``: whether it is one of a log's examples."""
        title = column_words(str(column.name), log=log)
        if kind == "numeric":
            return _of_numbers(title, column, seconds_of(str(column.name), log=log))
        if kind == "boolean":
            return _of_categories(title, pd.Series([False, True]))
        counts = column.value_counts()
        kept = natural_order([value for value in counts.index[:_MOST_CATEGORIES] if counts[value]])
        return _of_categories(title, pd.Series(pd.Categorical(kept, categories=column.cat.categories)))

    def place(self, column: pd.Series, rng: np.random.Generator) -> Floats:
        """Return where values are drawn, NaN where they are not on the axis; categories are spread a little."""
        if self.scale != "categories":
            return _placed(column.to_numpy(np.float64), self.scale, self.unit)
        where = {name: at for at, name in enumerate(self.ticks[1])}
        places = np.array([where.get(_said(value), np.nan) for value in column], np.float64)
        return np.asarray(places + rng.uniform(-_SPREAD, _SPREAD, len(places)))


def _of_categories(title: str, values: pd.Series) -> Axis:
    count = len(values)
    inside = (np.arange(_CATEGORY_CELLS) + 0.5) / _CATEGORY_CELLS - 0.5
    at = (np.arange(count)[:, None] + inside).ravel()
    repeated = values.repeat(_CATEGORY_CELLS).reset_index(drop=True)
    ticks = [float(place) for place in range(count)], [_said(value) for value in values]
    return Axis(title, repeated, at, (-0.5, count - 0.5), ticks, "categories")


def _of_numbers(title: str, column: pd.Series, size: float | None) -> Axis:
    known = column.dropna().to_numpy(np.float64)
    low, high = (float(edge) for edge in np.quantile(known, _EDGES))
    if not high > low:
        low, high = float(known.min()), float(known.max())
    if not high > low:
        high = low + 1.0
    scale = _scale(known)
    unit = 1.0
    if scale == "log":
        low = max(low, float(known.min()))
    elif scale == "log1p":
        low, unit = 0.0, float(np.quantile(known[known > 0], _SMALL))
    first, last = (float(place) for place in _placed(np.array([low, high]), scale, unit))
    at = np.linspace(first, last, _CELLS)
    ticks = _ticks(low, high, scale, unit) if size is None else _of_durations(low, high, scale, unit, size)
    return Axis(
        title,
        pd.Series(_values(at, scale, unit)),
        at,
        (first, last),
        ticks,
        scale,
        unit,
    )


def _scale(known: Floats) -> Scale:
    """Return a logarithmic scale for skewed columns that are not negative."""
    low, middle, high = np.quantile(known, [0.01, 0.5, 0.99])
    skewed = high - middle > _SKEWED * (middle - low) or high > 3 * _SKEWED * middle
    if known.min() < 0 or not skewed or not high > low:
        return "linear"
    return "log" if known.min() > 0 else "log1p"


def _placed(values: Floats, scale: Scale, unit: float) -> Floats:
    if scale == "linear":
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log10(values) if scale == "log" else np.log10(1 + values / unit)


def _values(at: Floats, scale: Scale, unit: float) -> Floats:
    if scale == "linear":
        return at
    return 10**at if scale == "log" else unit * (10**at - 1)


def _ticks(low: float, high: float, scale: Scale, unit: float) -> tuple[list[float], list[str]]:
    if scale == "linear":
        step = 10 ** np.floor(np.log10((high - low) / 2))
        step *= next(s for s in (1, 2, 5, 10) if (high - low) / (s * step) <= _LABELS)
        numbers = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    else:
        least = low if scale == "log" else 2 * unit
        powers = 10 ** np.arange(np.floor(np.log10(least)), np.ceil(np.log10(high)) + 1)
        for steps in _STEPS:
            every = np.sort(np.outer(powers, steps).ravel())
            inside = every[(every >= least) & (every <= high)]
            between = np.diff(_placed(np.append(inside, [low, high]), scale, unit))
            if len(inside) <= _LABELS and (between[: len(inside) - 1] >= _APART * between[-1]).all():
                break
        numbers = inside if scale == "log" else np.concatenate([[0.0], inside])
    return _placed(numbers, scale, unit).tolist(), [_label(float(number)) for number in numbers]


def _of_durations(
    low: float, high: float, scale: Scale, unit: float, size: float
) -> tuple[list[float], list[str]]:
    """Return ticks of durations; ``size`` is how many seconds one is in the column."""
    # A logarithmic axis is like that of 1 + x, where x counts in what the axis begins with.
    least = {"linear": 1.0, "log": low, "log1p": unit}[scale]
    at, texts = duration_ticks(low / least, high / least, size * least, log=scale != "linear")
    return _placed(np.array(at) * least, scale, unit).tolist(), texts


def _label(number: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.4g}{letter}"
    return f"{number:.4g}"


def _said(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return str(value)

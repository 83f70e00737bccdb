"""A frame as a page shows it: readable numbers to the right, long tables folded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
import pandas as pd

from offline.report.section import Table

# Rows shown before the rest is folded away.
_SHOWN: Final = 20
_SHORT: Final = 28
_LONG: Final = 50
_TINY, _SMALL, _LARGE = 1e-5, 1e-3, 1e3


class Cell(NamedTuple):
    """A cell's text and its class in CSS: ``n`` number, ``s`` short text, ``l`` long text, or empty."""

    text: str
    mark: str


@dataclass(frozen=True)
class TableView:
    """A table as its template takes it; ``folded`` are the rows that open on a click."""

    kind: ClassVar[str] = "table"
    title: str
    caption: str
    head: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]
    folded: Sequence[Sequence[Cell]]


def view_of_table(table: Table) -> TableView:
    """Return what a page shows of a table.

    A frame's index is shown where it has a name.
    """
    frame = table.frame.reset_index() if table.frame.index.name else table.frame
    names = [str(name) for name in frame]
    numeric = [
        pd.api.types.is_numeric_dtype(frame[name].dtype) and frame[name].dtype != bool for name in frame
    ]
    head = [Cell(name, "n" if number else "") for name, number in zip(names, numeric, strict=True)]
    rows = [
        [
            _cell(shown(value, table.formats.get(name)), number)
            for name, value, number in zip(names, row, numeric, strict=True)
        ]
        for row in frame.itertuples(index=False, name=None)
    ]
    # A handful beyond the limit is not worth folding.
    cut = _SHOWN if len(rows) > _SHOWN + 5 else len(rows)
    return TableView(table.title, table.caption, head, rows[:cut], rows[cut:])


def _cell(text: str, number: bool) -> Cell:
    # Short texts stay on one line and long ones are wide, so that wide tables scroll instead of breaking every word.
    if number:
        return Cell(text, "n")
    return Cell(text, "s" if len(text) <= _SHORT else "l" if len(text) > _LONG else "")


def shown(value: Any, specification: str | None = None) -> str:
    """Return a value for people.

    Examples
    --------
    >>> shown(1234567), shown(0.123456), shown(float("nan")), shown(True), shown(0.5, ".1%")
    ('1,234,567', '0.123', '–', 'yes', '50.0%')
    """
    text: str
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        text = "–"
    elif isinstance(value, bool | np.bool_):
        text = "yes" if value else "no"
    elif specification and isinstance(value, int | float | np.number | pd.Timestamp):
        text = format(value, specification)
    elif isinstance(value, int | np.integer):
        text = f"{int(value):,}"
    elif isinstance(value, float | np.floating):
        number = float(value)
        if number.is_integer() and abs(number) < 1e15:  # noqa: PLR2004  (beyond, floats are no exact integers)
            text = f"{number:,.0f}"
        else:
            size = abs(number)
            text = _small(number) if size < _SMALL else f"{number:.3g}" if size < 1 else f"{number:.4g}"
            text = f"{number:,.0f}" if size >= _LARGE else text
    elif isinstance(value, pd.Timestamp):
        text = f"{value:%Y-%m-%d}" if value == value.normalize() else f"{value:%Y-%m-%d %H:%M}"
    elif isinstance(value, Mapping):
        text = ", ".join(f"{key}: {shown(item)}" for key, item in value.items())
    elif isinstance(value, list | tuple):
        text = ", ".join(shown(item) for item in value)
    else:
        text = str(value)
    return text


def _small(number: float) -> str:
    return f"{number:.5f}" if abs(number) >= _TINY else f"{number:.2e}"

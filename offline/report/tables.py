"""A frame as a page shows it: readable numbers to the right, and what a script sorts and downloads by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
import pandas as pd

from offline.report.section import Table

# Rows shown before the rest is folded away, and fewer where a table stands open for everybody; a handful beyond them is
# not worth folding.
_SHOWN, _HANDFUL = 20, 5
_OPEN, _FEW = 5, 3
# Shorter tables are read faster than filtered.
_FILTERED: Final = 8
_SHORT: Final = 28
_LONG: Final = 50
_TINY, _SMALL, _LARGE = 1e-5, 1e-3, 1e3


class Cell(NamedTuple):
    """A cell.

    Attributes
    ----------
    text
        What people read.
    mark
        Its class in CSS: ``n`` number, ``s`` short text, ``l`` long text, or empty.
    exact
        The number or time behind the text, to sort by and to download; empty where the text says all.
    """

    text: str
    mark: str
    exact: str = ""


@dataclass(frozen=True)
class TableView:
    """A table as its template takes it.

    Attributes
    ----------
    name
        Id of its element, unique on the page.
    shown
        How many rows are seen before a click; 0: all.
    filtered
        Whether it has a field to filter by.
    """

    kind: ClassVar[str] = "table"
    title: str
    caption: str
    name: str
    head: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]
    shown: int
    filtered: bool


def view_of_table(table: Table, name: str = "table") -> TableView:
    """Return what a page shows of a table.

    A frame's index is shown where it has a name.
    """
    frame = table.frame.reset_index() if table.frame.index.name else table.frame
    names = [str(column) for column in frame]
    numeric = [
        pd.api.types.is_numeric_dtype(frame[column].dtype) and frame[column].dtype != bool for column in frame
    ]
    head = [Cell(column, "n" if number else "") for column, number in zip(names, numeric, strict=True)]
    rows = [
        [
            _cell(shown(value, table.formats.get(column)), number, _exact(value))
            for column, value, number in zip(names, row, numeric, strict=True)
        ]
        for row in frame.itertuples(index=False, name=None)
    ]
    most, more = (_SHOWN, _HANDFUL) if table.place == "folded" else (_OPEN, _FEW)
    cut = most if len(rows) > most + more else 0
    return TableView(table.title, table.caption, name, head, rows, cut, len(rows) > _FILTERED)


def _cell(text: str, number: bool, exact: str) -> Cell:
    exact = "" if exact == text else exact
    # Short texts stay on one line and long ones are wide, so that wide tables scroll instead of breaking every word.
    if number:
        return Cell(text, "n", exact)
    return Cell(text, "s" if len(text) <= _SHORT else "l" if len(text) > _LONG else "", exact)


def _exact(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return ""
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating):
        return f"{float(value):.8g}" if math.isfinite(value) else ""
    return value.isoformat() if isinstance(value, pd.Timestamp) and value is not pd.NaT else ""


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

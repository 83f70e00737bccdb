"""A frame as an HTML table: numbers to the right and readable, texts escaped, long tables folded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any, Final

import numpy as np
import pandas as pd

from offline.report.section import Table

# Rows shown before the rest is folded away.
_SHOWN: Final = 20
_SHORT: Final = 28
_LONG: Final = 50
_TINY, _SMALL, _LARGE = 1e-5, 1e-3, 1e3


def html_of(table: Table) -> str:
    """Return a table as HTML, its title and caption included.

    A frame's index is shown where it has a name.
    """
    frame = table.frame.reset_index() if table.frame.index.name else table.frame
    numeric = [
        pd.api.types.is_numeric_dtype(frame[name].dtype) and frame[name].dtype != bool for name in frame
    ]
    head = "".join(
        f'<th scope="col"{" class=n" if right else ""}>{escape(str(name))}</th>'
        for name, right in zip(frame, numeric, strict=True)
    )
    rows = [
        "<tr>" + "".join(
            _cell(shown(value, table.formats.get(str(name))), right)
            for name, value, right in zip(frame, row, numeric, strict=True)
        ) + "</tr>"
        for row in frame.itertuples(index=False, name=None)
    ]  # fmt: skip
    # A handful beyond the limit is not worth folding.
    cut = _SHOWN if len(rows) > _SHOWN + 5 else len(rows)
    body = _body(head, rows[:cut])
    if cut < len(rows):
        body += f"<details><summary>{len(rows) - cut} more rows</summary>{_body(head, rows[cut:])}</details>"
    caption = f"<p class=caption>{escape(table.caption)}</p>" if table.caption else ""
    return f"<div class=part><h3>{escape(table.title)}</h3>{body}{caption}</div>"


def _cell(text: str, right: bool) -> str:
    # Short texts stay on one line and long ones are wide, so that wide tables scroll instead of breaking every word.
    mark = (
        " class=n"
        if right
        else " class=s"
        if len(text) <= _SHORT
        else " class=l"
        if len(text) > _LONG
        else ""
    )
    return f"<td{mark}>{escape(text)}</td>"


def _body(head: str, rows: list[str]) -> str:
    body = "".join(rows)
    return (
        f"<div class=wide tabindex=0><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


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

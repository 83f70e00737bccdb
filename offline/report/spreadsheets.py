"""Tables as CSV files that spreadsheets open safely."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pandas as pd

from features.whole_files import whole_file

# What a spreadsheet takes for a formula. A number with its sign, or a telephone number, is none.
_FORMULA: Final = re.compile(r"[=@\t\r]|[+-](?![\d\s().,/-]*$)")


def write_csv(frame: pd.DataFrame, path: Path, **options: Any) -> None:
    """Write a table as CSV, whole or not at all; ``options`` are those of `pandas.DataFrame.to_csv`.

    Ids and names come from shops' events, so from anybody. An apostrophe goes before texts that a spreadsheet would run
    as a formula [OWASP, CSV injection].
    """
    with whole_file(path) as partial:
        without_formulas(frame).to_csv(partial, index=False, **options)


def without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with an apostrophe before every text that a spreadsheet would run.

    Examples
    --------
    >>> without_formulas(pd.DataFrame({"customer": ["=1+1", "+49 170 1", "ada"], "spent": [-1, 2, 3]})).values.tolist()
    [["'=1+1", -1], ['+49 170 1', 2], ['ada', 3]]
    """
    safe = frame.copy()
    for name in frame:
        if not pd.api.types.is_numeric_dtype(frame[name].dtype):
            safe[name] = frame[name].map(_as_text)
    return safe


def _as_text(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value

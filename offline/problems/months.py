"""Names of months, as a column of a table may have them."""

from __future__ import annotations

from typing import Final

import pandas as pd

#: The twelve months by the first three letters of their English names.
MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
LEAST_MONTHS: Final = 3

_FULL_MONTHS: Final = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip


def month_numbers(values: pd.Series) -> pd.Series | None:
    """Return 1 to 12 where all values are names of months (at least three of them), else None.

    Examples
    --------
    >>> month_numbers(pd.Series(["Feb", "June", "December"])).tolist()
    [2, 6, 12]
    """
    texts = values.dropna().astype(str).str.strip().str.lower()
    found = texts.str[:3].map({month: at + 1 for at, month in enumerate(MONTHS)})
    full = texts.map(lambda text: any(m.startswith(text) or text == m[:4] for m in _FULL_MONTHS))
    if found.isna().any() or not full.all() or texts.nunique() < LEAST_MONTHS:
        return None
    return found.astype(int)

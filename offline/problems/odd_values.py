"""Values in columns of numbers that are none: errors of spreadsheets, words of exports, infinite and huge numbers.

They are taken as missing and named. Of a column with other words than numbers and these, nothing is taken away.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import pandas as pd

from offline.problems.text_columns import read_numbers

#: In lower case: what spreadsheets, Google Analytics and programs write in place of a number.
ODD_WORDS: Final = frozenset(
    {"#div/0!", "#value!", "#ref!", "#name?", "#num!", "#null!", "#####", "#error!"}
    | {"(not set)", "(none)", "(not provided)"}
    | {"inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"}
)
#: Models compute with 32 bits, and with squares.
HUGE: Final = 1e30
#: A word that is not known is taken as missing only where nearly all others are numbers, and many different ones.
_CLEAR_SHARE: Final = 0.95
_MANY: Final = 40
_MOST_WORDS: Final = 3
_SHOWN: Final = 40


class Reduced(NamedTuple):
    """A column without odd values, and the sentence that names them; None if there were none."""

    values: pd.Series
    note: str | None


def without_odd_values(raw: pd.Series) -> Reduced:
    """Return a column with odd values as missing, if it is one of numbers otherwise.

    Examples
    --------
    >>> column = pd.Series(["1", "#DIV/0!", "3"], name="margin")
    >>> without_odd_values(column).note
    "Column 'margin': 1 value is no number a model can use and is taken as missing ('#DIV/0!', row 2)."
    >>> without_odd_values(pd.Series(["red", "(none)"], name="colour")).note is None
    True
    """
    if pd.api.types.is_bool_dtype(raw.dtype) or pd.api.types.is_datetime64_any_dtype(raw.dtype):
        return Reduced(raw, None)
    known = raw.dropna()
    typed = pd.api.types.is_numeric_dtype(raw.dtype)
    odd = _beyond(known.astype("float64")) if typed else _odd_texts(known)
    if not odd.any():
        return Reduced(raw, None)
    rows = odd.index[odd]
    first = int(rows[0])
    shown = repr(str(known.loc[first])[:_SHOWN])
    values = "1 value is no number" if len(rows) == 1 else f"{len(rows):,} values are no numbers"
    note = (
        f"Column {str(raw.name)!r}: {values} a model can use and {'is' if len(rows) == 1 else 'are'} taken as missing "
        f"({shown}, row {first + 1})."
    )
    return Reduced(raw.mask(raw.index.isin(rows)), note)


def _beyond(numbers: pd.Series) -> pd.Series:
    return ~(numbers.abs() <= HUGE) & numbers.notna()


def _odd_texts(known: pd.Series) -> pd.Series:
    nothing = pd.Series(False, known.index)
    texts = known.map(lambda value: str(value).strip().lower())
    words = texts.isin(ODD_WORDS)
    numbers = read_numbers(known[~words]).values
    if not numbers.notna().any():
        return nothing
    huge = _beyond(numbers).reindex(known.index, fill_value=False)
    others = numbers.index[numbers.isna()]
    if not len(others):
        return words | huge
    share = float(numbers.notna().mean())
    recurs = texts.loc[others].value_counts()
    slips = int(recurs.iloc[0]) <= max(3, 0.001 * len(known))  # which are refused with their row
    if share < _CLEAR_SHARE or slips or len(recurs) > _MOST_WORDS or numbers.nunique() <= _MANY:
        return nothing
    return words | huge | known.index.isin(others)

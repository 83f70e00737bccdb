"""Texts as numbers: decimal commas, separators of thousands, and a unit that all values of a column share."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pandas as pd

_UNITS: Final = r"€|\$|£|¥|%|EUR|USD|GBP|CHF"
_WITH_UNIT: Final = rf"^(?P<before>{_UNITS})?\s*(?P<number>[+-]?[\d.,' ]*\d)\s*(?P<after>{_UNITS})?$"
_SPACES: Final = r"[\u00a0\u202f]"
# With commas: 1.234,56 or 0,5 or 1.234 (which then are thousands); with points: 1,234.56 and 1 234.56.
_COMMA_NUMBER: Final = r"[+-]?(?:\d+|\d{1,3}(?:[. ']\d{3})+)(?:,\d+)?"
_POINT_NUMBER: Final = r"[+-]?(?:\d{1,3}(?:[, ']\d{3})+)(?:\.\d+)?"
# 0,5 and 12,50 can only be decimals, 1,234 could be a thousand; 1.5 and 1,234.5 speak for the point.
_SURE_COMMA: Final = r"[+-]?(?:\d{1,3}(?:[. ']\d{3})+,\d+|\d+,(?:\d{1,2}|\d{4,})|0,\d+|\d{4,},\d+)"
_SURE_POINT: Final = r"[+-]?(?:\d{1,3}(?:,\d{3})+\.\d+|\d+\.(?:\d{1,2}|\d{4,})|0\.\d+|\d{4,}\.\d+)"


class Numbers(NamedTuple):
    """Values as floats, NaN where a text is no finite number, and in words how they are written."""

    values: pd.Series
    how: str


def read_numbers(raw: pd.Series) -> Numbers:
    """Read texts as numbers by one reading for the whole column.

    Examples
    --------
    >>> read_numbers(pd.Series(["1.234,50 €", "7,25 €", "1.000 €"])).values.tolist()
    [1234.5, 7.25, 1000.0]
    >>> read_numbers(pd.Series(["1,234", "5"]))[1]
    'numbers, commas between thousands'
    """
    plain = _finite(pd.to_numeric(raw, errors="coerce"))
    if plain.notna().sum() == raw.notna().sum():
        return Numbers(plain, "numbers")
    texts = (
        raw.map(str, na_action="ignore").astype("string").str.replace(_SPACES, " ", regex=True).str.strip()
    )
    texts, unit = _without_unit(texts)
    if _decimal_comma(texts):
        fits = texts.str.fullmatch(_COMMA_NUMBER).fillna(False).astype(bool)
        cleaned = texts.where(fits).str.replace(r"[. ']", "", regex=True).str.replace(",", ".", regex=False)
        how = "numbers with a decimal comma"
    else:
        grouped = texts.str.fullmatch(_POINT_NUMBER).fillna(False).astype(bool)
        cleaned = texts.where(~grouped, texts.str.replace(r"[, ']", "", regex=True))
        how = "numbers, commas between thousands" if texts[grouped].str.contains(",").any() else "numbers"
    values = _finite(pd.to_numeric(cleaned.astype(object), errors="coerce"))
    return Numbers(values, f"{how}, in {unit}" if unit else how)


def _finite(values: pd.Series) -> pd.Series:
    values = values.astype("float64")
    return values.where(np.isfinite(values))


def _without_unit(texts: pd.Series) -> tuple[pd.Series, str]:
    """Return texts less their unit, if there is just one in the column, and that unit."""
    parts = texts.str.extract(_WITH_UNIT)
    units = parts["before"].fillna(parts["after"])
    found = units.dropna().unique()
    if len(found) != 1 or (parts["before"].notna() & parts["after"].notna()).any():
        return texts, ""
    return parts["number"].where(units.notna(), texts), str(found[0])


def _decimal_comma(texts: pd.Series) -> bool:
    comma = texts.str.fullmatch(_SURE_COMMA).fillna(False)
    return bool(comma.any()) and int(comma.sum()) > int(texts.str.fullmatch(_SURE_POINT).fillna(False).sum())

"""What kind each column of a table is: numbers, categories, yes or no, dates, identifiers.

The rules are few and said aloud: every judgement carries its reason, so that a person can see it and overrule it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, cast

import numpy as np
import pandas as pd

from offline.datasets.yes_no import are_yes_and_no, means_yes
from offline.problems.errors import TableError
from offline.problems.months import LEAST_MONTHS, month_numbers
from offline.problems.odd_values import without_odd_values
from offline.problems.text_columns import mostly_digits, read_dates, read_digits, read_numbers

TableKind = Literal["numeric", "categorical", "boolean", "date", "identifier", "constant", "text"]
#: What a user may call a column; the other kinds are only inferred.
CHOICES: Final = ("numeric", "categorical", "boolean", "date", "identifier")

#: Share of values that must read as dates (numbers) for the rest to be mistakes instead of categories.
CLEAR_SHARE: Final = 0.95
#: Beyond this many categories, most of them rare, a column of texts is no category.
_MOST_CATEGORIES: Final = 200
#: Whole numbers with at most this many distinct values can be codes.
_MOST_CODES: Final = 40
_ID_NAME: Final = re.compile(
    r"(^|[^a-z])(id|uuid|guid|key|e-?mail|phone|row|index|unnamed:? ?\d*)$|[a-z]Id$|ID$"
)
#: Names of columns that tell customers apart.
CUSTOMER_NAME: Final = re.compile(r"(customer|user|visitor|client|member|shopper|buyer|kunde)", re.IGNORECASE)
_DATE_NAME: Final = re.compile(r"(date|datum|timestamp)", re.IGNORECASE)
_CODE_NAME: Final = re.compile(
    r"(type|region|browser|system|device|code|channel|zip|categor|class|kind|store|countr|segment|gender|plan)",
    re.IGNORECASE,
)


class ColumnReading(NamedTuple):
    """A column as it was understood: its kind, why, its values in pandas' type for the kind, and counts.

    ``note`` names values that were taken as missing.
    """

    name: str
    kind: TableKind
    why: str
    values: pd.Series
    missing: int
    distinct: int
    note: str | None = None


def read_column(raw: pd.Series, choice: str | None = None) -> ColumnReading:
    """Judge a column, or read it as the kind that the user chose.

    Parameters
    ----------
    raw
        Texts (None: missing) or typed values, index 0, 1, 2, ...
    choice
        One of `CHOICES`.

    Raises
    ------
    TableError
        A value is not of the chosen or of the clearly meant kind; names its row.
    """
    note = None
    if choice in (None, "numeric"):
        raw, note = without_odd_values(raw)
    missing, distinct = int(raw.isna().sum()), int(raw.nunique())
    if choice is None:
        kind, why, values = _infer(raw, distinct)
    else:
        if choice not in CHOICES:
            raise TableError(f"column {raw.name!r}: unknown kind {choice!r}: use one of {', '.join(CHOICES)}")
        kind, why, values = cast(TableKind, choice), "as told", _read_as(raw, choice)
    return ColumnReading(str(raw.name), kind, why, values, missing, distinct, note)


def _infer(raw: pd.Series, distinct: int) -> tuple[TableKind, str, pd.Series]:
    name, known = str(raw.name), raw.dropna()
    if distinct <= 1:
        return "constant", "always the same value" if distinct else "always missing", raw
    if pd.api.types.is_datetime64_any_dtype(raw.dtype):
        return "date", "type of the file", raw
    if distinct == 2 and are_yes_and_no(known.unique()):  # noqa: PLR2004
        return "boolean", "two values that mean yes and no", _boolean(raw)
    if pd.api.types.is_numeric_dtype(raw.dtype):
        return _infer_numbers(raw.astype("float64"), distinct, "numbers")
    numbers, how = read_numbers(known)
    share = float(numbers.notna().mean())
    if share == 1:
        return _infer_numbers(numbers.reindex(raw.index), distinct, how)
    if share >= CLEAR_SHARE and _few_unreadable(numbers, known):
        row = int(numbers.index[numbers.isna()][0])
        raise TableError(
            f"row {row + 1}, column {name!r}: {known.loc[row]!r} is no number, but {share:.1%} of the column "
            f"are: correct it, leave it empty, or say --kind '{name}=categorical'"
        )
    return _infer_texts(raw, known, distinct)


def _infer_numbers(raw: pd.Series, distinct: int, how: str) -> tuple[TableKind, str, pd.Series]:
    name, known = str(raw.name), raw.dropna()
    if _DATE_NAME.search(name) and (dates := read_digits(known)) is not None:
        return "date", dates.how, dates.values.reindex(raw.index)
    whole = bool((known % 1 == 0).all())
    if whole and distinct == len(known) and (_ID_NAME.search(name) or _consecutive(known)):
        return "identifier", "whole numbers, another one in every row", raw
    if whole and _ID_NAME.search(name):
        return "identifier", "its name", raw
    if whole and distinct <= _MOST_CODES and (why := _code(name, known)):
        return "categorical", why, _categories(raw.map(lambda v: None if np.isnan(v) else f"{v:.0f}"))
    return "numeric", how, raw


def _infer_texts(raw: pd.Series, known: pd.Series, distinct: int) -> tuple[TableKind, str, pd.Series]:
    name = str(raw.name)
    if (dates := _dates(raw)) is not None:
        return "date", dates[1], dates[0]
    if _ID_NAME.search(name) and CUSTOMER_NAME.search(name):
        return "identifier", "its name", raw
    if _ID_NAME.search(name) and distinct > len(known) / 2:
        return "identifier", "its name, and nearly every row has another", raw
    if distinct == len(known) and len(known) > _MOST_CODES:
        return "identifier", "another text in every row", raw
    if distinct > _MOST_CATEGORIES and distinct > len(known) / 10:
        return "text", f"{distinct:,} different texts are no categories", raw
    return "categorical", f"{distinct} texts", _categories(raw)


def _read_as(raw: pd.Series, kind: str) -> pd.Series:
    name = str(raw.name)
    if kind == "numeric":
        values = read_numbers(raw).values
        _refuse(raw, values, name, "is no number")
    elif kind == "boolean":
        wrong = raw.dropna()[lambda s: ~s.map(lambda value: are_yes_and_no([value]))]
        if len(wrong):
            row = int(wrong.index[0])
            raise TableError(f"row {row + 1}, column {name!r}: {wrong.iloc[0]!r} is neither yes nor no")
        values = _boolean(raw)
    elif kind == "date":
        dates = _dates(raw, strict=True)
        assert dates is not None  # what is no date was refused
        values = dates[0]
    elif kind == "categorical":
        values = _categories(raw.map(lambda v: None if pd.isna(v) else _shown(v)))
    else:
        values = raw
    return values


def _refuse(raw: pd.Series, values: pd.Series, name: str, what: str) -> None:
    wrong = values.isna() & raw.notna()
    if wrong.any():
        row = int(wrong.index[np.flatnonzero(wrong)[0]])
        raise TableError(f"row {row + 1}, column {name!r}: {raw.loc[row]!r} {what}")


def _few_unreadable(numbers: pd.Series, known: pd.Series) -> bool:
    """Say whether what is no number looks like slips: a single odd word that recurs is a category of its own."""
    return int(known[numbers.isna()].value_counts().iloc[0]) <= max(3, 0.001 * len(known))


def _dates(raw: pd.Series, *, strict: bool = False) -> tuple[pd.Series, str] | None:
    if pd.api.types.is_datetime64_any_dtype(raw.dtype):
        return raw, "type of the file"
    known = raw.dropna()
    if not strict and (month_numbers(known) is not None or mostly_digits(known)):
        return None
    values, how = read_dates(known)
    if not strict and values.notna().mean() < CLEAR_SHARE:
        return None
    name = str(raw.name)
    _refuse(
        known, values, name, f"is not a date: correct it, leave it empty, or say --kind '{name}=categorical'"
    )
    return values.reindex(raw.index), how


def _code(name: str, known: pd.Series) -> str | None:
    """Say why whole numbers are codes of categories, None where they count something."""
    counts = known.value_counts().sort_index()
    if float(counts.index[0]) < 1 or float(counts.index[-1]) > 2 * _MOST_CODES:
        return None
    if _CODE_NAME.search(name):
        return "whole numbers under a name of categories"
    steps = np.diff(counts.to_numpy())
    # Only steps beyond what chance makes of equal frequencies.
    noise = 2 * np.sqrt(counts.to_numpy()[1:] + counts.to_numpy()[:-1])
    turns = int(np.count_nonzero(np.diff(np.sign(steps[np.abs(steps) > noise])) != 0))
    # Counts rise to one peak and fall; codes have frequencies in any order.
    if len(counts) > LEAST_MONTHS and turns >= max(3, len(counts) // 3):
        return "few whole numbers whose frequencies go up and down"
    return None


def _consecutive(known: pd.Series) -> bool:
    steps = np.diff(np.sort(known.to_numpy(dtype="float64")))
    return bool(len(steps)) and bool((steps == 1).all())


def _shown(value: Any) -> str:
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)


def _boolean(raw: pd.Series) -> pd.Series:
    """Return booleans; where values are missing, 1, 0 and NaN."""
    values = raw.map(lambda v: np.nan if pd.isna(v) else float(means_yes(v))).astype("float64")
    return values if values.isna().any() else values.astype(bool)


def _categories(raw: pd.Series) -> pd.Series:
    months = month_numbers(raw)
    if months is None:
        return raw.astype("category")
    order = raw.dropna().groupby(months, sort=True).first().tolist()
    return raw.astype(
        pd.CategoricalDtype(list(dict.fromkeys([*order, *raw.dropna().unique()])), ordered=True)
    )


def check_choices(kinds: Mapping[str, str], names: list[str]) -> None:
    """Refuse choices for columns that there are not."""
    for name in kinds:
        if name not in names:
            raise TableError(f"there is no column {name!r}: the columns are {', '.join(names)}")

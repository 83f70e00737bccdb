"""What kind each column of a table is: numbers, categories, yes or no, dates, identifiers.

The rules are few and said aloud: every judgement carries its reason, so that a person can see it and overrule it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, cast

import numpy as np
import pandas as pd

from offline.tables.errors import TableError

TableKind = Literal["numeric", "categorical", "boolean", "date", "identifier", "constant", "text"]
#: What a user may call a column; the other kinds are only inferred.
CHOICES: Final = ("numeric", "categorical", "boolean", "date", "identifier")

#: Share of values that must read as numbers (dates) for the rest to be mistakes instead of categories.
_CLEAR_SHARE: Final = 0.95
#: Beyond this many categories, most of them rare, a column of texts is no category.
_MOST_CATEGORIES: Final = 200
#: Whole numbers with at most this many distinct values can be codes.
_MOST_CODES: Final = 40
_YES: Final = frozenset({"true", "yes", "y", "t", "1", "1.0"})
_NO: Final = frozenset({"false", "no", "n", "f", "0", "0.0"})
_ID_NAME: Final = re.compile(
    r"(^|[^a-z])(id|uuid|guid|key|e-?mail|phone|row|index|unnamed:? ?\d*)$|[a-z]Id$|ID$"
)
#: Names of columns that tell customers apart.
CUSTOMER_NAME: Final = re.compile(r"(customer|user|visitor|client|member|shopper|buyer)", re.IGNORECASE)
_CODE_NAME: Final = re.compile(
    r"(type|region|browser|system|device|code|channel|zip|categor|class|kind|store|countr|segment|gender|plan)",
    re.IGNORECASE,
)
_THOUSANDS: Final = re.compile(r"^[+-]?\d{1,3}(,\d{3})+(\.\d+)?$")
#: The twelve months by the first three letters of their English names.
MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LEAST_MONTHS: Final = 3


class ColumnReading(NamedTuple):
    """A column as it was understood: its kind, why, its values in pandas' type for the kind, and counts."""

    name: str
    kind: TableKind
    why: str
    values: pd.Series
    missing: int
    distinct: int


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
    missing, distinct = int(raw.isna().sum()), int(raw.nunique())
    if choice is None:
        kind, why, values = _infer(raw, distinct)
    else:
        if choice not in CHOICES:
            raise TableError(f"column {raw.name!r}: there is no kind {choice!r}, only {', '.join(CHOICES)}")
        kind, why, values = cast(TableKind, choice), "as told", _read_as(raw, choice)
    return ColumnReading(str(raw.name), kind, why, values, missing, distinct)


def _infer(raw: pd.Series, distinct: int) -> tuple[TableKind, str, pd.Series]:
    name, known = str(raw.name), raw.dropna()
    if distinct <= 1:
        return "constant", "always the same value" if distinct else "always missing", raw
    if pd.api.types.is_datetime64_any_dtype(raw.dtype):
        return "date", "type of the file", raw
    if distinct == 2 and _is_boolean(known):  # noqa: PLR2004
        return "boolean", "two values that mean yes and no", _boolean(raw)
    if pd.api.types.is_numeric_dtype(raw.dtype):
        return _infer_numbers(raw.astype("float64"), distinct)
    numbers = _numbers(known)
    share = float(numbers.notna().mean())
    if share == 1:
        return _infer_numbers(_numbers(raw), distinct)
    if share >= _CLEAR_SHARE and _few_unreadable(numbers, known):
        row = int(numbers.index[numbers.isna()][0])
        raise TableError(
            f"row {row + 1}, column {name!r}: {known.loc[row]!r} is no number, but {share:.1%} of the column "
            f"are: correct it, leave it empty, or say --kind '{name}=categorical'"
        )
    return _infer_texts(raw, known, distinct)


def _infer_numbers(raw: pd.Series, distinct: int) -> tuple[TableKind, str, pd.Series]:
    name, known = str(raw.name), raw.dropna()
    whole = bool((known % 1 == 0).all())
    if whole and distinct == len(known) and (_ID_NAME.search(name) or _consecutive(known)):
        return "identifier", "whole numbers, another one in every row", raw
    if whole and _ID_NAME.search(name):
        return "identifier", "its name", raw
    if whole and distinct <= _MOST_CODES and (why := _code(name, known)):
        return "categorical", why, _categories(raw.map(lambda v: None if np.isnan(v) else f"{v:.0f}"))
    return "numeric", "numbers", raw


def _infer_texts(raw: pd.Series, known: pd.Series, distinct: int) -> tuple[TableKind, str, pd.Series]:
    name = str(raw.name)
    if (dates := _dates(raw)) is not None:
        return "date", "dates or times", dates
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
        values = _numbers(raw) if not pd.api.types.is_numeric_dtype(raw.dtype) else raw.astype("float64")
        _refuse(raw, values, name, "is no number")
    elif kind == "boolean":
        if not _is_boolean(raw.dropna()):
            wrong = raw.dropna()[lambda s: ~s.map(_text).isin(_YES | _NO)]
            row = int(wrong.index[0])
            raise TableError(f"row {row + 1}, column {name!r}: {wrong.iloc[0]!r} is neither yes nor no")
        values = _boolean(raw)
    elif kind == "date":
        values = _dates(raw, strict=True)
    elif kind == "categorical":
        values = _categories(raw.map(lambda v: None if pd.isna(v) else _shown(v)))
    else:
        values = raw
    return values


def _refuse(raw: pd.Series, values: pd.Series, name: str, what: str) -> None:
    wrong = values.isna() & raw.notna()
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise TableError(f"row {row + 1}, column {name!r}: {raw.iloc[row]!r} {what}")


def _few_unreadable(numbers: pd.Series, known: pd.Series) -> bool:
    """Say whether what is no number looks like slips: a single odd word that recurs is a category of its own."""
    return int(known[numbers.isna()].value_counts().iloc[0]) <= max(3, 0.001 * len(known))


def _numbers(texts: pd.Series) -> pd.Series:
    cleaned = texts.map(lambda v: v.replace(",", "") if isinstance(v, str) and _THOUSANDS.match(v) else v)
    numbers = pd.to_numeric(cleaned, errors="coerce").astype("float64")
    return numbers.where(np.isfinite(numbers))


def _dates(raw: pd.Series, *, strict: bool = False) -> pd.Series | None:
    if pd.api.types.is_datetime64_any_dtype(raw.dtype):
        return raw
    known = raw.dropna()
    month = month_numbers(known)
    if month is not None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # "could not infer format": then it is judged value by value
        values = pd.to_datetime(known, errors="coerce", utc=True, format="ISO8601")
        if values.notna().mean() < _CLEAR_SHARE:
            values = pd.to_datetime(known, errors="coerce", utc=True)
    if not strict and values.notna().mean() < _CLEAR_SHARE:
        return None
    _refuse(known, values, str(raw.name), "is no date")
    return values.reindex(raw.index)


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
    if found.isna().any() or not full.all() or texts.nunique() < _LEAST_MONTHS:
        return None
    return found.astype(int)


_FULL_MONTHS: Final = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip


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
    if len(counts) > _LEAST_MONTHS and turns >= max(3, len(counts) // 3):
        return "few whole numbers whose frequencies go up and down"
    return None


def _consecutive(known: pd.Series) -> bool:
    steps = np.diff(np.sort(known.to_numpy(dtype="float64")))
    return bool(len(steps)) and bool((steps == 1).all())


def _text(value: Any) -> str:
    return str(value).strip().lower()


def _shown(value: Any) -> str:
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)


def _is_boolean(known: pd.Series) -> bool:
    return set(known.map(_text).unique()) <= (_YES | _NO)


def _boolean(raw: pd.Series) -> pd.Series:
    """Return booleans; where values are missing, 1, 0 and NaN."""
    values = raw.map(lambda v: np.nan if pd.isna(v) else float(_text(v) in _YES)).astype("float64")
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

"""Texts as dates: ISO 8601, day or month first by what the column itself shows, and names of months."""

from __future__ import annotations

import warnings
from typing import Final, NamedTuple

import pandas as pd

#: Share of values that must read as dates (numbers) for the rest to be mistakes instead of categories.
CLEAR_SHARE: Final = 0.95
#: The twelve months by the first three letters of their English names.
MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
LEAST_MONTHS: Final = 3

_FULL_MONTHS: Final = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_DAY_AND_MONTH: Final = (
    r"^(?P<first>\d{1,2})(?P<mark>[./-])(?P<second>\d{1,2})[./-](?P<year>\d{4}|\d{2})"
    r"(?:[ T,]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<s>\d{2}))?)?$"
)
_MONTHS_IN_YEAR: Final = 12
_SHORT_YEAR: Final = 100
# Two digits mean this century up to here (as in POSIX), the one before beyond.
_PIVOT: Final = 69


class Dates(NamedTuple):
    """Times (UTC, NaT where a text is no date), and in words how they are written."""

    values: pd.Series
    how: str


def read_dates(known: pd.Series) -> Dates:
    """Read texts as dates, those without a time zone as UTC.

    Where the order of day and month can be told from no value, a point means that the day stands first, a slash
    that the month does.

    Examples
    --------
    >>> read_dates(pd.Series(["03.02.2024", "28.02.2024"])).values.dt.month.tolist()
    [2, 2]
    >>> read_dates(pd.Series(["02/03/24", "02/28/24"]))[1]
    'dates, month first'
    """
    with warnings.catch_warnings():
        # "Could not infer format": then it is judged value by value.
        warnings.simplefilter("ignore", UserWarning)
        values = pd.to_datetime(known, errors="coerce", utc=True, format="ISO8601")
        if values.notna().mean() >= CLEAR_SHARE:
            return Dates(values, "dates or times")
        parts = known.astype(str).str.strip().str.extract(_DAY_AND_MONTH)
        if parts["year"].notna().mean() >= CLEAR_SHARE:
            return _by_parts(parts)
        return Dates(pd.to_datetime(known, errors="coerce", utc=True), "dates or times")


def _by_parts(parts: pd.DataFrame) -> Dates:
    first, second = (pd.to_numeric(parts[name]) for name in ("first", "second"))
    if (first > _MONTHS_IN_YEAR).any() or (second > _MONTHS_IN_YEAR).any():
        # A few slips must not turn the whole column round.
        day_first, sure = int((first > _MONTHS_IN_YEAR).sum()) > int((second > _MONTHS_IN_YEAR).sum()), ""
    else:
        day_first, sure = bool((parts["mark"] == ".").any()), " (no value tells which)"
    year = pd.to_numeric(parts["year"])
    year = year.where(year >= _SHORT_YEAR, year + 1900 + 100 * (year < _PIVOT))
    whole = {name: pd.to_numeric(parts[at]).fillna(0) for name, at in _CLOCK.items()}
    day, month = (first, second) if day_first else (second, first)
    frame = pd.DataFrame({"year": year, "month": month, "day": day, **whole})
    values = pd.to_datetime(frame, errors="coerce", utc=True)
    return Dates(values, f"dates, {'day' if day_first else 'month'} first{sure}")


_CLOCK: Final = {"hour": "hour", "minute": "minute", "second": "s"}


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

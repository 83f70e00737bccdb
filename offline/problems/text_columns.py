"""Columns of a table as numbers and as dates, read as those of logs are, and in words how they are written."""

from __future__ import annotations

from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa

from offline.datasets.numbers import as_numbers, number_signs
from offline.datasets.times import are_digits, as_times, time_signs


class Numbers(NamedTuple):
    """Values as floats, NaN where a value is not a finite number, and in words how they are written."""

    values: pd.Series
    how: str


class Dates(NamedTuple):
    """Times (UTC, NaT where a value is not a date), and in words how they are written."""

    values: pd.Series
    how: str


def read_numbers(raw: pd.Series) -> Numbers:
    """Read values as numbers by one reading for the whole column.

    Examples
    --------
    >>> read_numbers(pd.Series(["1.234,50 €", "7,25 €", "1.000 €"])).values.tolist()
    [1234.5, 7.25, 1000.0]
    >>> read_numbers(pd.Series(["1,234,567", "5"]))[1]
    'numbers, commas between thousands'
    """
    values = _array(raw)
    form = number_signs(values).form()
    numbers, _ = as_numbers(values, form)
    return Numbers(pd.Series(numbers, raw.index, name=raw.name), str(form))


def read_dates(known: pd.Series) -> Dates:
    """Read values as dates, those without a time zone as UTC.

    Examples
    --------
    >>> read_dates(pd.Series(["03.02.2024", "28.02.2024"])).values.dt.month.tolist()
    [2, 2]
    >>> read_dates(pd.Series(["02/03/24", "02/28/24"]))[1]
    'dates, month first'
    """
    values = _array(known)
    form = time_signs(values).form()
    times = as_times(values, ZoneInfo("UTC"), form=form)
    moments = pd.Series(times.ms.astype("datetime64[ms]"), known.index, name=known.name)
    return Dates(moments.where(~times.bad).dt.as_unit("us").dt.tz_localize("UTC"), str(form))


def read_digits(known: pd.Series) -> Dates | None:
    """Read numbers as dates if all of them fit one reading of digits; None if not.

    Examples
    --------
    >>> read_digits(pd.Series([20240131.0, 20240201.0])).how
    'dates in digits'
    >>> read_digits(pd.Series([1.0, 2.0])) is None
    True
    """
    dates = read_dates(known)
    counted = time_signs(_array(known)).form().digits == "count"
    return None if counted or dates.values.isna().any() else dates


def mostly_digits(known: pd.Series) -> bool:
    """Say whether more than half of the values are digits alone: they could be an epoch, but also anything else."""
    return bool(are_digits(_array(known).cast(pa.string())).mean() > 0.5)  # noqa: PLR2004


def _array(values: pd.Series) -> pa.Array:
    """Return numbers as they are, everything else as texts."""
    if pd.api.types.is_numeric_dtype(values.dtype):
        return pa.array(values.to_numpy(dtype=np.float64), from_pandas=True)
    return pa.array(values.map(_text, na_action="ignore").astype(object), pa.string(), from_pandas=True)


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, bool | np.bool_) else str(value)

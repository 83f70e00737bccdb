"""A user's table as a problem, with an account of what was inferred for every column."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from offline.problems.columns import CUSTOMER_NAME, ColumnReading, check_choices, read_column
from offline.problems.duplicates import drop_duplicates
from offline.problems.errors import TableError
from offline.problems.holdout import UNKNOWN_YEAR
from offline.problems.leaks import find_leaks
from offline.problems.months import month_numbers
from offline.problems.problem import Kind, Problem
from offline.problems.table_files import read_table
from offline.problems.targets import Target, find_target

_SESSION: Final = re.compile(r"(session|bounce|page|visit)", re.IGNORECASE)
_MIDNIGHT_HOURS: Final = 1


@dataclass(frozen=True)
class TableOptions:
    """What a user may say about a table; what is not said is inferred.

    Attributes
    ----------
    target, positive
        The column to predict, and its positive value as written in the table.
    kinds
        Kind of columns: numeric, categorical, boolean, date or identifier.
    leaks, not_leaks
        Columns that know the target, and columns that only seem to.
    drop
        Columns that are not to be used.
    time
        Column by which rows are ordered (dates, or names of months): then folds are temporal.
    customer
        Column that tells which rows belong to one customer.
    unit
        What a row is.
    drop_duplicates
        Whether rows that equal an earlier one in everything are left out.
    """

    target: str | None = None
    positive: str | None = None
    kinds: Mapping[str, str] = field(default_factory=dict)
    leaks: Sequence[str] = ()
    not_leaks: Sequence[str] = ()
    drop: Sequence[str] = ()
    time: str | None = None
    customer: str | None = None
    unit: str | None = None
    drop_duplicates: bool = False


@dataclass(frozen=True)
class TableReading:
    """A table as it was understood.

    Attributes
    ----------
    problem
        What models are made from.
    account
        One row for each column of the table: column, kind, use, why, missing, distinct.
    notes
        What else a person should know, one sentence each.
    changes
        Those of the notes that tell of lines left out and values taken as missing: every page says them.
    """

    problem: Problem
    account: pd.DataFrame
    notes: tuple[str, ...]
    changes: tuple[str, ...] = ()


def problem_from_table(path: str | Path, target: str | None = None, **options: object) -> Problem:
    """Read a table as a problem; ``options`` are those of `TableOptions`.

    Raises
    ------
    TableError
        With row and column where a value is to blame.
    """
    return read_problem_from_table(path, TableOptions(target, **options)).problem  # type: ignore[arg-type]


def read_problem_from_table(path: str | Path, options: TableOptions | None = None) -> TableReading:
    """Read a table as a problem, with the account of its columns.

    Raises
    ------
    TableError
        With row and column where a value is to blame.
    """
    options = options or TableOptions()
    frame, said = read_table(path, options.drop)
    frame.columns = frame.columns.map(str)
    names = list(frame.columns)
    asked = [*options.leaks, *options.not_leaks, *options.drop]
    asked += [name for name in (options.time, options.customer) if name]
    check_choices({**options.kinds, **dict.fromkeys(asked, "")}, names)
    target = find_target(frame, options.target, options.positive)
    readings = [read_column(frame[name], options.kinds.get(name)) for name in names if name != target.column]
    customer = options.customer or _customer(readings)
    columns, kinds, used = _features(readings, {customer, *options.drop, *_time_only(options.time, readings)})
    if not len(columns.columns):
        raise TableError(f"{path}: no column is left to predict {target.column!r} from")
    unit = options.unit or _unit(readings, repeated=customer is not None)
    leaks = find_leaks(columns, kinds, target.happened, unit)
    for name in options.not_leaks:
        leaks.pop(name, None)
    for name in options.leaks:
        if name not in kinds:
            raise TableError(f"column {name!r} is not used, so it cannot be a leak")
        leaks[name] = "as told"
    problem = Problem(
        Path(path).name,
        columns,
        kinds,
        target.happened,
        target.column,
        unit,
        None if options.time is None else _times(frame[options.time], readings, options.time),
        None if customer is None else pd.factorize(frame[customer])[0].astype(np.int64),
        leaks=leaks,
    )
    notes = (*said, *_notes(problem, target, customer, readings))
    if options.drop_duplicates:
        kept = drop_duplicates(problem)
        notes += (
            f"{len(problem) - len(kept):,} {unit}s that equal an earlier one in everything are left out.",
        )
        problem = kept
    changes = (*said, *(reading.note for reading in readings if reading.note is not None))
    return TableReading(problem, _account(target, readings, used, leaks), notes, changes)


def _features(
    readings: Sequence[ColumnReading], passed_over: set[str | None]
) -> tuple[pd.DataFrame, dict[str, Kind], dict[str, str]]:
    """Return the columns for models, their kinds, and what became of each column of the table."""
    columns: dict[str, pd.Series] = {}
    kinds: dict[str, Kind] = {}
    used: dict[str, str] = {}
    for reading in readings:
        name = reading.name
        if name in passed_over:
            used[name] = "not as a feature"
        elif reading.kind == "date":
            parts = _date_parts(reading)
            columns.update(parts)
            kinds.update(dict.fromkeys(parts, "numeric"))
            used[name] = ", ".join(parts)
        elif reading.kind == "boolean":
            # A yes or no that may be missing cannot be bool: it becomes 1, 0 and NaN.
            kinds[name] = "boolean" if reading.values.dtype == bool else "numeric"
            columns[name], used[name] = reading.values, "feature"
        elif reading.kind in ("numeric", "categorical"):
            kinds[name] = reading.kind
            columns[name], used[name] = reading.values, "feature"
        else:
            used[name] = "dropped"
    return pd.DataFrame(columns), kinds, used


def _date_parts(reading: ColumnReading) -> dict[str, pd.Series]:
    """Return month, weekday and hour: what repeats; the date itself would only tell old rows from new ones."""
    when = reading.values.dt
    parts = {f"{reading.name}_month": when.month, f"{reading.name}_weekday": when.day_of_week}
    if when.hour.nunique() > _MIDNIGHT_HOURS:
        parts[f"{reading.name}_hour"] = when.hour
    return {name: part.astype("float64") for name, part in parts.items() if part.nunique() > 1}


def _times(raw: pd.Series, readings: Sequence[ColumnReading], name: str) -> pd.Series:
    months = month_numbers(raw)
    if months is not None and len(months) == len(raw):
        text = months.map(lambda month: f"{UNKNOWN_YEAR}-{month:02d}-01")
        return pd.to_datetime(text, utc=True).reset_index(drop=True)
    reading = next(r for r in readings if r.name == name)
    values = reading.values if reading.kind == "date" else read_column(raw, "date").values
    if values.isna().any():
        row = int(np.flatnonzero(values.isna())[0])
        raise TableError(f"row {row + 1}, column {name!r}: the time is missing, so the row cannot be ordered")
    return values.dt.tz_localize("UTC") if values.dt.tz is None else values.dt.tz_convert("UTC")


def _time_only(time: str | None, readings: Sequence[ColumnReading]) -> set[str]:
    """Return the column of the time unless it is a category (months), which may be a feature as well."""
    return {r.name for r in readings if r.name == time and r.kind != "categorical"}


def _customer(readings: Sequence[ColumnReading]) -> str | None:
    for reading in readings:
        repeated = reading.distinct < len(reading.values) - reading.missing
        if reading.kind in ("identifier", "text") and repeated and CUSTOMER_NAME.search(reading.name):
            return reading.name
    return None


def _unit(readings: Sequence[ColumnReading], *, repeated: bool) -> str:
    """Return what a row is in a marketer's words, as far as the columns' names tell."""
    customers = [reading for reading in readings if CUSTOMER_NAME.search(reading.name)]
    if not repeated and any(reading.kind == "identifier" for reading in customers):
        return "customer"
    if any(_SESSION.search(reading.name) for reading in readings):
        return "session"
    return "customer" if not repeated and customers else "record"


def _account(
    target: Target, readings: Sequence[ColumnReading], used: Mapping[str, str], leaks: Mapping[str, str]
) -> pd.DataFrame:
    rows = [
        {
            "column": r.name,
            "kind": r.kind,
            "use": f"{used[r.name]}, seems to know the target" if r.name in leaks else used[r.name],
            "why": f"{r.why}; {leaks[r.name]}" if r.name in leaks else r.why,
            "missing": r.missing,
            "distinct": r.distinct,
        }
        for r in readings
    ]
    rows.append(
        {"column": target.column, "kind": "boolean", "use": f"target, positive: {target.positive}",
         "why": target.why, "missing": 0, "distinct": 2}
    )  # fmt: skip
    return pd.DataFrame(rows)


def _notes(
    problem: Problem, target: Target, customer: str | None, readings: Sequence[ColumnReading]
) -> tuple[str, ...]:
    notes = [
        f"{len(problem):,} {problem.unit}s; {target.column} = {target.positive} in {problem.prevalence:.2%} of them."
    ]
    if customer is not None:
        notes.append(f"Rows of one {customer} stay together when data are divided.")
    dates = [r.name for r in readings if r.kind == "date"]
    if problem.times is None and dates:
        notes.append(
            f"{dates[0]} holds dates: with --time {dates[0]} models are judged on later rows, as they are used, "
            "instead of on rows at random."
        )
    notes += [r.note for r in readings if r.note is not None]
    notes += [f"{name} seems to know the target: {why}." for name, why in problem.leaks.items()]
    return tuple(notes)

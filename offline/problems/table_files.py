"""Read a table from CSV or Parquet without guessing: values of CSV files stay texts until their column is judged.

Files of CSV are parsed, and words for missing values taken, as for logs (`offline.datasets`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from offline.datasets import DatasetError
from offline.datasets.csv_bytes import clear_errors, detect_encoding
from offline.datasets.csv_files import (
    CSV_SUFFIXES,
    BrokenLine,
    CsvLayout,
    OnMended,
    csv_blocks,
    csv_layout,
    place_of_broken_line,
)
from offline.datasets.missing import COUNTRY_NAME, NAMIBIA, are_country_codes, without_missing
from offline.datasets.parquet_columns import UNNAMED_INDEX, readable
from offline.datasets.source_files import PARQUET_SUFFIXES
from offline.datasets.values import as_text
from offline.problems.errors import TableError

#: Columns of a table that are looked at, at most: models, tests and pictures are made for each.
MOST_COLUMNS: Final = 1_000
_SHOWN: Final = 60
# Zones move a time by up to a day, so the first and the last year of the calendar stay free.
_CALENDAR: Final = ("0002-01-01", "9998-12-31")
_OF_LOGS: Final = frozenset({"event_id", "type", "customer_id", "event_time"})


def is_event_log(path: str | Path) -> bool:
    """Say whether a file is an event log, by the columns that every log has; one may be missing by mistake."""
    path = Path(path)
    if not path.name.lower().endswith(PARQUET_SUFFIXES) or not path.is_file():
        return False
    try:
        names = set(pq.read_schema(path).names)
    except (pa.ArrowException, OSError):
        return False
    return len(_OF_LOGS & names) >= len(_OF_LOGS) - 1


class TableFile(NamedTuple):
    """What a file holds.

    Attributes
    ----------
    frame
        Row ``i`` is row ``i + 1`` of the table, its header not counted. From CSV: texts, missing ones as None. From
        Parquet: the types of the file.
    notes
        What was not quite as it should be, one sentence each.
    """

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()


def read_table(path: str | Path, drop: Collection[str] = ()) -> TableFile:
    """Read a table.

    Parameters
    ----------
    drop
        Columns that are not used, and do not count.

    Raises
    ------
    TableError
        If the file does not exist, is neither CSV nor Parquet or has no rows, if a row has too many or too few values,
        if two columns have the same name, or if there are more than `MOST_COLUMNS`.
    """
    path = Path(path)
    if not path.is_file():
        raise TableError(f"there is no table at {path}: name a CSV or Parquet file")
    name = path.name.lower()
    if name.endswith(PARQUET_SUFFIXES):
        table = _parquet(path, drop)
    elif name.endswith(CSV_SUFFIXES):
        try:
            table = _csv(path, drop)
        except DatasetError as error:
            raise TableError(str(error)) from error
    else:
        raise TableError(f"{path}: cannot tell its format: name it .csv, .tsv, .txt (also .gz) or .parquet")
    if not len(table.frame):
        raise TableError(f"{path} has no rows")
    return table


def _check_names(path: Path, names: Sequence[str], drop: Collection[str]) -> None:
    """Refuse a table by the names of its columns alone, before any work."""
    for name, count in Counter(names).items():
        if count > 1:
            raise TableError(f"{path}: there are two columns {name!r}")
    used = len(set(names).difference(drop))
    if used > MOST_COLUMNS:
        raise TableError(
            f"{path} has {used:,} columns, and {MOST_COLUMNS:,} are the most that are looked at: write a file with "
            "fewer columns, or leave some out by --drop"
        )


def _parquet(path: Path, drop: Collection[str]) -> TableFile:
    try:
        with clear_errors(path), pq.ParquetFile(path) as file:
            _check_names(path, file.schema_arrow.names, drop)
            table = file.read()
        names = table.column_names
        index = [name for name in names if name.startswith(UNNAMED_INDEX)]
        table = table.drop_columns(index)
        columns = {name: readable(table[name], name, path.name) for name in table.column_names}
    except DatasetError as error:
        raise TableError(str(error)) from error
    notes = ["The index that pandas saved is left out: it only numbers the rows."] if index else []
    notes += [
        f"Column {name!r} holds durations: they are read as seconds."
        for name in columns
        if pa.types.is_duration(table.schema.field(name).type)
    ]
    try:
        frame = pa.table(columns).to_pandas(ignore_metadata=True)
        notes += _without_odd_times(frame)
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise TableError(f"cannot read {path.name}: {str(error).splitlines()[0]}") from None
    return TableFile(frame, tuple(notes))


def _without_odd_times(frame: pd.DataFrame) -> list[str]:
    """Take times that no calendar has as missing, and name them."""
    notes = []
    for name in frame.columns[
        [isinstance(kind, pd.DatetimeTZDtype) or kind.kind == "M" for kind in frame.dtypes]
    ]:
        bounds = [pd.Timestamp(text, tz=getattr(frame[name].dtype, "tz", None)) for text in _CALENDAR]
        odd = (frame[name] < bounds[0]) | (frame[name] > bounds[1])
        if odd.any():
            count, row = int(odd.sum()), int(np.flatnonzero(odd)[0]) + 1
            times = "1 time lies" if count == 1 else f"{count:,} times lie"
            notes.append(
                f"Column {name!r}: {times} beyond the years 2 to 9998, taken as missing (row {row})."
            )
            frame[name] = frame[name].mask(odd)
    return notes


def _csv(path: Path, drop: Collection[str]) -> TableFile:
    layout = csv_layout(path, detect_encoding(path))
    names = layout.columns
    for at, name in enumerate(names):
        if not name:
            raise TableError(f"{path}: column {at + 1} of the header has no name")
    _check_names(path, names, drop)
    notes: list[str] = []

    def note(lines: int, example: str) -> None:
        have = "1 line has a quote that quotes" if lines == 1 else f"{lines:,} lines have quotes that quote"
        notes.append(f"{have} nothing, read as a character: {example[:_SHOWN]!r}.")

    table = _read(path, layout, note)
    frame = pd.DataFrame({name: _texts(name, table.column(name)) for name in names}, dtype=object)
    return TableFile(frame, tuple(notes))


def _read(path: Path, layout: CsvLayout, note: OnMended) -> pa.Table:
    """Return all columns; a row with other than one value for each column is refused, as its values may be shifted."""
    broken: list[BrokenLine] = []

    def refuse(line: BrokenLine) -> Literal["error"]:
        broken.append(line)
        return "error"

    schema = pa.schema([(name, pa.string()) for name in layout.columns])
    with clear_errors(path):
        try:
            blocks = [block for block, _ in csv_blocks(path, layout, layout.columns, refuse, note)]
        except pa.ArrowInvalid:
            if not broken:
                raise
            raise _uneven(path, layout, broken[0]) from None
    return pa.Table.from_batches(blocks, schema)


def _texts(name: str, column: pa.ChunkedArray) -> pd.Series:
    texts = column.combine_chunks()
    countries = COUNTRY_NAME.search(name) and are_country_codes(texts)
    texts = as_text(without_missing(texts, {NAMIBIA} if countries else ()))
    return pd.Series(texts.to_numpy(zero_copy_only=False), dtype=object)


def _uneven(path: Path, layout: CsvLayout, line: BrokenLine) -> TableError:
    names, count, where = layout.columns, line.values, str(path)
    if (place := place_of_broken_line(path, layout)) is not None:
        row, number, count = place
        where = f"{path}: row {row} (line {number})"
    values = f"{where} has {count} value{'' if count == 1 else 's'}"
    if count > len(names):
        return TableError(
            f"{values}, the header names {len(names)} columns: quote values that hold the delimiter"
        )
    return TableError(f"{values}, so none for column {names[count]!r}: write a delimiter for every column")

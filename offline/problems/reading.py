"""Read a table from CSV or Parquet without guessing: values of CSV files stay texts until their column is judged."""

from __future__ import annotations

import codecs
import csv
import gzip
from pathlib import Path
from typing import Final, TextIO, cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from offline.problems.errors import TableError

#: Texts that stand for a missing value, besides the empty one; compared without case.
MISSING_TEXTS: Final = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-", "#n/a", "<na>"})

_PARQUET: Final = (".parquet", ".pq")
_CSV: Final = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
_OF_LOGS: Final = frozenset({"event_id", "type", "customer_id", "event_time"})
_DELIMITERS: Final = ",;\t|"
_SNIFFED: Final = 64 * 1024


def is_event_log(path: str | Path) -> bool:
    """Say whether a file is an event log, by the columns that every log has; one may be missing by mistake."""
    path = Path(path)
    if not path.name.lower().endswith(_PARQUET) or not path.is_file():
        return False
    try:
        names = set(pq.read_schema(path).names)
    except pa.ArrowInvalid:
        return False
    return len(_OF_LOGS & names) >= len(_OF_LOGS) - 1


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table; row ``i`` of the frame is row ``i + 1`` of the table, its header not counted.

    Returns
    -------
    pandas.DataFrame
        From CSV: texts, missing ones as None. From Parquet: the types of the file.

    Raises
    ------
    TableError
        There is no such file, it is neither CSV nor Parquet, has no rows, a row with too many or too few values,
        or two columns of one name.
    """
    path = Path(path)
    if not path.is_file():
        raise TableError(f"there is no table at {path}: name a CSV or Parquet file")
    name = path.name.lower()
    if name.endswith(_PARQUET):
        frame = _parquet(path)
    elif name.endswith(_CSV):
        frame = _csv(path)
    else:
        raise TableError(f"{path}: cannot tell its format: name it .csv, .tsv, .txt (also .gz) or .parquet")
    if not len(frame):
        raise TableError(f"{path} has no rows")
    return frame


def _parquet(path: Path) -> pd.DataFrame:
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise TableError(f"{path} is not a Parquet file: {error}") from None
    nested = [field.name for field in table.schema if pa.types.is_nested(field.type)]
    if nested:
        raise TableError(f"{path}: column {nested[0]!r} holds lists or records: make plain columns of it")
    frame = table.to_pandas()
    # Dictionaries are an encoding of the file, not a judgement of the column.
    return frame.astype(
        {name: object for name, kind in frame.dtypes.items() if isinstance(kind, pd.CategoricalDtype)}
    )


def _csv(path: Path) -> pd.DataFrame:
    encoding, head = _encoding(path)
    first = head.splitlines()[0] if head else ""
    if not first.strip():
        raise TableError(f"{path} begins with an empty line: the first line must name the columns")
    delimiter = max(_DELIMITERS, key=first.count)
    names = [name.strip() for name in next(csv.reader([first], delimiter=delimiter))]
    for at, name in enumerate(names):
        if not name:
            raise TableError(f"{path}: column {at + 1} of the header has no name")
        if name in names[:at]:
            raise TableError(f"{path}: the header names {name!r} twice")
    _check_rows(path, encoding, delimiter, names)
    frame = pd.read_csv(
        path,
        sep=delimiter,
        dtype=object,
        keep_default_na=False,
        encoding=encoding,
        names=names,
        header=0,
        index_col=False,
    )
    for column in frame:
        texts = frame[column]
        stripped = texts.str.strip()
        frame[column] = stripped.where(~stripped.str.lower().isin(MISSING_TEXTS), None)
    return frame


def _check_rows(path: Path, encoding: str, delimiter: str, names: list[str]) -> None:
    """Refuse rows with other than one value for each column: the parser would shift or fill them silently."""
    row = 0
    with _opened(path, encoding) as file:
        lines = csv.reader(file, delimiter=delimiter)
        try:
            next(lines)
            for values in lines:
                row += bool(values)
                if values and len(values) != len(names):
                    raise _uneven(f"{path}: row {row} (line {lines.line_num})", len(values), names)
        except csv.Error as error:
            raise TableError(f"{path}: row {row + 1} (line {lines.line_num}): {error}") from None


def _uneven(where: str, count: int, names: list[str]) -> TableError:
    values = f"{where} has {count} value{'' if count == 1 else 's'}"
    if count > len(names):
        return TableError(
            f"{values}, the header names {len(names)} columns: quote values that hold the delimiter"
        )
    return TableError(f"{values}, so none for column {names[count]!r}: write a delimiter for every column")


def _opened(path: Path, encoding: str) -> TextIO:
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    return cast(TextIO, opened(path, "rt", encoding=encoding, errors="replace", newline=""))


def _encoding(path: Path) -> tuple[str, str]:
    """Return the encoding (what its mark says, UTF-8 if all of it is, else Windows' Western one) and the beginning."""
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opened(path, "rb") as raw:
            marked = raw.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        if marked:  # spreadsheets call this "Unicode text"
            with _opened(path, "utf-16") as file:
                return "utf-16", file.read(_SNIFFED)
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            head = file.read(_SNIFFED)
            while file.read(_SNIFFED):
                pass
    except UnicodeDecodeError:
        with _opened(path, "cp1252") as file:
            return "cp1252", file.read(_SNIFFED)
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error}") from None
    return "utf-8-sig", head

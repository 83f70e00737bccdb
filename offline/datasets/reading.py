"""Reading CSV and Parquet files block by block, columns of CSV as text.

Text is turned into numbers and times by `offline.datasets.values`, so that one bad value costs one row and
not the file.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from offline.datasets.conversion import DatasetError, Tally
from offline.progress import OnProgress

CSV_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz")
PARQUET_SUFFIXES = (".parquet", ".pq")
#: What stands for "no value" in a CSV file. Not "NA": it is Namibia, and a brand.
NULLS = ("", "NULL", "null", "NaN", "nan", "None", "\\N")
# A block bounds the memory of the text that is not yet converted, and is the longest line that can be read.
_BLOCK_BYTES = 16 << 20
_BLOCK_ROWS = 250_000
_HEADER_BYTES = 1 << 20
#: Why a line of a CSV file was passed over.
BROKEN_LINE = "line with another number of fields than the header"


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive rows of one file.

    Attributes
    ----------
    file
        Where they come from.
    first_row
        Number of the first row in the file, from 1, header not counted.
    data
        The wanted columns.
    """

    file: Path
    first_row: int
    data: pa.RecordBatch


def find_files(path: Path, *extra_suffixes: str) -> list[Path]:
    """Return the data files that `path` names: itself, or those in a folder in the order of their names.

    Raises
    ------
    DatasetError
        If there is no such file or folder, or no data file in it.
    """
    suffixes = (*CSV_SUFFIXES, *PARQUET_SUFFIXES, *extra_suffixes)
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.is_file() and p.name.lower().endswith(suffixes))
        if not found:
            raise DatasetError(f"no data file in {path}: expected files ending in {', '.join(suffixes)}")
        return found
    if not path.exists():
        raise DatasetError(f"no such file: {path}")
    if not path.name.lower().endswith(suffixes):
        raise DatasetError(f"cannot read {path.name}: expected a name ending in {', '.join(suffixes)}")
    return [path]


def column_names(file: Path, encoding: str = "utf8") -> list[str]:
    """Return the columns that a CSV or Parquet file has."""
    if _is_parquet(file):
        with _clear_errors(file):
            return list(pq.ParquetFile(file).schema_arrow.names)
    return _csv_header(file, encoding)[0]


def check_columns(file: Path, wanted: Sequence[str], there: Sequence[str]) -> None:
    """Complain about wanted columns that the file lacks or has twice.

    Raises
    ------
    DatasetError
        That lists the columns there.
    """
    missing = [name for name in wanted if name not in there]
    if missing:
        raise DatasetError(
            f"{file.name} has no column {', '.join(map(repr, missing))}; its columns are {', '.join(there)}"
        )
    twice = [name for name in wanted if list(there).count(name) > 1]
    if twice:
        raise DatasetError(f"{file.name} has the column {twice[0]!r} more than once; rename one of them")


def read_blocks(
    files: Sequence[Path],
    columns: Sequence[str],
    *,
    broken: Tally,
    encoding: str = "utf8",
    on_progress: OnProgress | None = None,
) -> Iterator[Block]:
    """Yield the wanted columns of all files, block by block.

    Parameters
    ----------
    files
        CSV (plain or gzip; the separator is found out) or Parquet.
    columns
        Names of the columns to read.
    broken
        Counts CSV lines with more or fewer fields than the header; they don't count in row numbers.
    encoding
        Of the CSV files.
    on_progress
        Called with bytes read and bytes in all.

    Raises
    ------
    DatasetError
        If a file cannot be read or lacks a column, or none has a row.
    """
    total = sum(file.stat().st_size for file in files)
    before, rows = 0, 0
    wanted = list(dict.fromkeys(columns))
    for file in files:
        check_columns(file, wanted, column_names(file, encoding))
        first_row = 1
        blocks = (
            _parquet_blocks(file, wanted)
            if _is_parquet(file)
            else _csv_blocks(file, wanted, broken, encoding)
        )
        size = file.stat().st_size
        with _clear_errors(file):
            for data, share in blocks:
                rows += data.num_rows
                if data.num_rows:
                    yield Block(file, first_row, data)
                first_row += data.num_rows
                if on_progress is not None:
                    on_progress(before + int(share * size), total)
        before += size
        if on_progress is not None:
            on_progress(before, total)
    if not rows:
        raise DatasetError(f"{files[0].name} has no rows")


def _parquet_blocks(file: Path, wanted: list[str]) -> Iterator[tuple[pa.RecordBatch, float]]:
    source = pq.ParquetFile(file)
    rows, done = max(source.metadata.num_rows, 1), 0
    for batch in source.iter_batches(batch_size=_BLOCK_ROWS, columns=wanted):
        done += batch.num_rows
        yield batch.select(wanted), done / rows


def _csv_blocks(
    file: Path, wanted: list[str], broken: Tally, encoding: str
) -> Iterator[tuple[pa.RecordBatch, float]]:
    def skip(row: pacsv.InvalidRow) -> str:
        if broken.strict:
            return "error"
        broken.add(
            BROKEN_LINE,
            1,
            f"{file.name}: {row.text[:60]!r} has {row.actual_columns} fields, "
            f"expected {row.expected_columns}",
        )
        return "skip"

    size = max(file.stat().st_size, 1)
    with pa.OSFile(str(file)) as raw:
        stream = pa.CompressedInputStream(raw, "gzip") if file.name.lower().endswith(".gz") else raw
        reader = pacsv.open_csv(
            stream,
            read_options=pacsv.ReadOptions(block_size=_BLOCK_BYTES, encoding=encoding),
            parse_options=pacsv.ParseOptions(
                delimiter=_csv_header(file, encoding)[1], newlines_in_values=True, invalid_row_handler=skip
            ),
            convert_options=pacsv.ConvertOptions(
                include_columns=wanted,
                column_types=dict.fromkeys(wanted, pa.string()),
                null_values=list(NULLS),
                strings_can_be_null=True,
            ),
        )
        for batch in reader:
            yield batch, min(raw.tell() / size, 1.0)


def _csv_header(file: Path, encoding: str) -> tuple[list[str], str]:
    opener = gzip.open if file.name.lower().endswith(".gz") else open
    with _clear_errors(file), opener(file, "rb") as stream:
        head = stream.read(_HEADER_BYTES)
    # The rest may end within a character; only the first record is looked at.
    text = head.decode("utf-8-sig" if encoding in ("utf8", "utf-8") else encoding, errors="replace")
    first = text.splitlines()[0] if text.strip() else ""
    if not first:
        raise DatasetError(f"{file.name} is empty: expected a header line with the names of the columns")
    separator = max(",;\t|", key=first.count)
    return next(csv.reader(io.StringIO(text), delimiter=separator)), separator


def _is_parquet(file: Path) -> bool:
    return file.name.lower().endswith(PARQUET_SUFFIXES)


class _clear_errors:  # noqa: N801  (used like a function)
    """Turn what the readers raise into one line that names the file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, pa.ArrowException | OSError | EOFError | UnicodeDecodeError):
            line = str(error).splitlines()[0] if str(error) else type(error).__name__
            hint = "; name its encoding, e.g. latin1, or save it as UTF-8" if "UTF8" in line else ""
            raise DatasetError(f"cannot read {self._file.name}: {line}{hint}") from error

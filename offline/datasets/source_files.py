"""Reading the files of a source, CSV or Parquet, block by block.

Columns of CSV files are texts, those that stand for a missing value null. Texts are turned into numbers and times by
`offline.datasets.numbers` and `offline.datasets.times`, so that one bad value costs one row and not the file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from offline.datasets.conversion import DatasetError, Tally
from offline.datasets.csv_bytes import UTF8, clear_errors
from offline.datasets.csv_files import CSV_SUFFIXES, BrokenLine, csv_blocks, csv_layout
from offline.datasets.missing import without_missing
from offline.datasets.parquet_columns import readable
from offline.progress import OnProgress

PARQUET_SUFFIXES = (".parquet", ".pq")
_BLOCK_ROWS = 250_000
#: Why a line of a CSV file was passed over.
BROKEN_LINE = "line with another number of fields than the header"
#: What is noted of a line whose quotes are taken as characters.
STRAY_QUOTE = "line with a quote that quotes nothing: read as a character"


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
        If the file or folder does not exist, or the folder has no data file.
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
        raise DatasetError(f"cannot read {path}: expected a name ending in {', '.join(suffixes)}")
    return [path]


def column_names(file: Path, encoding: str = UTF8) -> list[str]:
    """Return the columns that a CSV or Parquet file has."""
    if is_parquet(file):
        return list(_parquet_schema(file).names)
    return list(csv_layout(file, encoding).columns)


def undecided_columns(file: Path, columns: Sequence[str], times: Collection[str]) -> list[str]:
    """Return those of the columns whose values can be read in several ways: all of a CSV file, and texts.

    Numbers can if they stand for times.
    """
    if not is_parquet(file):
        return list(columns)
    schema = _parquet_schema(file)

    def is_decided(name: str) -> bool:
        kind = schema.field(name).type
        counted = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        return pa.types.is_primitive(kind) and not (counted and name in times)

    return [name for name in columns if name in schema.names and not is_decided(name)]


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
            f"{file} has no column {', '.join(map(repr, missing))}; its columns are {', '.join(there)}"
        )
    twice = [name for name in wanted if list(there).count(name) > 1]
    if twice:
        raise DatasetError(f"{file} has the column {twice[0]!r} more than once; rename one of them")


def read_blocks(
    files: Sequence[Path],
    columns: Sequence[str],
    *,
    broken: Tally,
    notes: Tally,
    encoding: str = UTF8,
    kept_words: Mapping[str, Collection[str]] | None = None,
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
    notes
        Counts CSV lines whose quotes quote nothing.
    encoding
        Of the CSV files.
    kept_words
        By column: words that are values there, though they stand for a missing value elsewhere.
    on_progress
        Called with bytes read and bytes in all.

    Raises
    ------
    DatasetError
        If a file cannot be read or lacks a column, or all of them together have no rows.
    """
    total = sum(file.stat().st_size for file in files)
    before, rows = 0, 0
    wanted = list(dict.fromkeys(columns))
    for file in files:
        check_columns(file, wanted, column_names(file, encoding))
        first_row = 1
        blocks = (
            _parquet_blocks(file, wanted)
            if is_parquet(file)
            else _text_blocks(file, wanted, broken, notes, encoding, kept_words or {})
        )
        size = file.stat().st_size
        with clear_errors(file):
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
        raise DatasetError(f"{files[0]} has no rows")


def is_parquet(file: Path) -> bool:
    """Say whether a file is Parquet, by its name."""
    return file.name.lower().endswith(PARQUET_SUFFIXES)


def _parquet_schema(file: Path) -> pa.Schema:
    with clear_errors(file):
        schema = pq.read_schema(file)
    return schema


def _parquet_blocks(file: Path, wanted: list[str]) -> Iterator[tuple[pa.RecordBatch, float]]:
    source = pq.ParquetFile(file)
    rows, done = max(source.metadata.num_rows, 1), 0
    for batch in source.iter_batches(batch_size=_BLOCK_ROWS, columns=wanted):
        done += batch.num_rows
        columns = [readable(batch.column(name), name, str(file)) for name in wanted]
        yield pa.RecordBatch.from_arrays(columns, names=wanted), done / rows


def _note_words(written: pa.Array, known: pa.Array, name: str, file: Path, notes: Tally) -> None:
    """Count the words, other than nothing, that were taken as missing."""
    if known.null_count == written.null_count:
        return
    words = pc.utf8_trim_whitespace(written.filter(pc.and_(pc.is_null(known), pc.is_valid(written))))
    words = words.filter(pc.not_equal(words, ""))
    if len(words):
        notes.add(
            f"word in column {name!r} that stands for a missing value",
            len(words),
            f"{file.name}: {words[0].as_py()!r}",
        )


def _text_blocks(  # noqa: PLR0917
    file: Path,
    wanted: list[str],
    broken: Tally,
    notes: Tally,
    encoding: str,
    kept_words: Mapping[str, Collection[str]],
) -> Iterator[tuple[pa.RecordBatch, float]]:
    def count(line: BrokenLine) -> Literal["skip", "error"]:
        if broken.strict:
            return "error"
        broken.add(
            BROKEN_LINE,
            1,
            f"{file.name}: {line.text[:60]!r} has {line.values} fields, expected {line.expected}",
        )
        return "skip"

    def note(lines: int, example: str) -> None:
        notes.add(STRAY_QUOTE, lines, f"{file.name}: {example[:60]!r}")

    for batch, share in csv_blocks(file, csv_layout(file, encoding), wanted, count, note):
        columns = []
        for name in wanted:
            written = batch.column(name)
            columns.append(without_missing(written, kept_words.get(name, ())))
            _note_words(written, columns[-1], name, file, notes)
        yield pa.RecordBatch.from_arrays(columns, names=wanted), share

"""CSV files as columns of texts: encoding, separator, quotes, and lines of the wrong length.

This is the one place that parses CSV, for logs (`intent convert`) and for tables alike. The first line names the
columns. The separator is the one of comma, semicolon, tab and bar that this line has most often. Values may stand in
double quotes, and then hold separators and line ends. Empty lines are passed over. What the texts mean is decided
elsewhere: `offline.datasets.missing`, `offline.datasets.numbers`, `offline.datasets.times`.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal, cast

import pyarrow as pa
import pyarrow.csv as pacsv

from offline.datasets.conversion import DatasetError

CSV_SUFFIXES: Final = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz")
#: What `detect_encoding` may answer besides UTF-8: spreadsheets' "Unicode text", and the one of Windows in the West.
UTF16: Final = "utf-16"
WESTERN: Final = "cp1252"
UTF8: Final = "utf8"

# A block bounds the memory of the text that is not yet converted, and is the longest line that can be read.
_BLOCK_BYTES = 16 << 20
_HEADER_BYTES: Final = 1 << 20
_SEPARATORS: Final = ",;\t|"


@dataclass(frozen=True, slots=True)
class CsvLayout:
    """How a CSV file is written.

    Attributes
    ----------
    encoding
        Name of the encoding, for Python's codecs.
    separator
        The character between values.
    columns
        Names of the columns, without spaces around them.
    """

    encoding: str
    separator: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BrokenLine:
    """A line whose number of values is not that of the header.

    Attributes
    ----------
    text
        The line.
    values, expected
        How many values it has, and how many columns the header names.
    """

    text: str
    values: int
    expected: int


#: Says what becomes of a broken line: it is passed over, or ends the reading.
OnBroken = Callable[[BrokenLine], Literal["skip", "error"]]


def csv_layout(file: Path, encoding: str = UTF8) -> CsvLayout:
    """Return how a CSV file is written.

    Parameters
    ----------
    file
        Plain or gzipped.
    encoding
        Its encoding; a mark of UTF-16 at the beginning of the file overrules UTF-8.

    Raises
    ------
    DatasetError
        If the file cannot be read or does not begin with the names of the columns.
    """
    with clear_errors(file), open_bytes(file) as stream:
        head = stream.read(_HEADER_BYTES)
    if _is_utf8(encoding):
        encoding = UTF16 if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else UTF8
    # The end may lie within a character; only the first record is looked at.
    text = head.decode("utf-8-sig" if encoding == UTF8 else encoding, errors="replace")
    if not text.strip():
        raise DatasetError(f"{file.name} is empty: expected a header line with the names of the columns")
    first = text.splitlines()[0]
    if not first.strip():
        raise DatasetError(f"{file.name} begins with an empty line: the first line must name the columns")
    separator = max(_SEPARATORS, key=first.count)
    with clear_errors(file):
        names = next(csv.reader(io.StringIO(text, newline=None), delimiter=separator))
    return CsvLayout(encoding, separator, tuple(name.strip() for name in names))


def detect_encoding(file: Path) -> str:
    """Return the encoding of a CSV file: what its mark says, UTF-8 if all of it is, else Windows' Western one.

    Raises
    ------
    DatasetError
        If the file cannot be read.
    """
    decoder = codecs.getincrementaldecoder(UTF8)()
    with clear_errors(file), open_bytes(file) as stream:
        block = stream.read(_HEADER_BYTES)
        if block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return UTF16
        try:
            while block:
                decoder.decode(block)
                block = stream.read(_HEADER_BYTES)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return WESTERN
    return UTF8


def csv_blocks(
    file: Path, layout: CsvLayout, columns: Sequence[str], on_broken: OnBroken
) -> Iterator[tuple[pa.RecordBatch, float]]:
    """Yield columns of a CSV file as texts, block by block, each with the share of the file read so far.

    Values are as they stand in the file, spaces included; nothing is null.

    Raises
    ------
    pyarrow.ArrowInvalid
        If the text is not in the encoding, or `on_broken` ends the reading.
    """

    def judge(row: pacsv.InvalidRow) -> str:
        return on_broken(BrokenLine(row.text, row.actual_columns, row.expected_columns))

    size = max(file.stat().st_size, 1)
    with pa.OSFile(str(file)) as raw:
        stream = pa.CompressedInputStream(raw, "gzip") if _is_gzip(file) else raw
        reader = pacsv.open_csv(
            stream,
            read_options=pacsv.ReadOptions(
                block_size=_BLOCK_BYTES,
                encoding=layout.encoding,
                column_names=list(layout.columns),
                skip_rows_after_names=1,
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=layout.separator, newlines_in_values=True, invalid_row_handler=judge
            ),
            convert_options=pacsv.ConvertOptions(
                include_columns=list(columns),
                column_types=dict.fromkeys(columns, pa.string()),
                strings_can_be_null=False,
            ),
        )
        for batch in reader:
            yield batch, min(raw.tell() / size, 1.0)


def place_of_broken_line(file: Path, layout: CsvLayout) -> tuple[int, int, int] | None:
    """Return row, line and number of values of the first line with other than one value for each column.

    Rows count from 1 after the header, lines from 1 with it; a row can have several lines. None if all lines are whole.
    """
    row = 0
    with open_bytes(file) as raw:
        text = io.TextIOWrapper(raw, "utf-8-sig" if layout.encoding == UTF8 else layout.encoding, newline="")
        lines = csv.reader(text, delimiter=layout.separator)
        next(lines)
        for values in lines:
            row += bool(values)
            if values and len(values) != len(layout.columns):
                return row, lines.line_num, len(values)
    return None


def open_bytes(file: Path) -> IO[bytes]:
    """Open a plain or gzipped file for reading."""
    return cast(IO[bytes], gzip.open(file, "rb") if _is_gzip(file) else file.open("rb"))


@contextmanager
def clear_errors(file: Path) -> Iterator[None]:
    """Turn what the readers raise into one line that names the file."""
    try:
        yield
    except (pa.ArrowException, csv.Error, OSError, EOFError, UnicodeDecodeError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        hint = "; name its encoding, e.g. latin1, or save it as UTF-8" if "UTF8" in line else ""
        raise DatasetError(f"cannot read {file.name}: {line}{hint}") from error


def _is_gzip(file: Path) -> bool:
    return file.name.lower().endswith(".gz")


def _is_utf8(encoding: str) -> bool:
    return encoding.lower() in ("utf8", "utf-8", "utf-8-sig")

"""CSV files as columns of texts: separator, header, quotes, and lines of the wrong length.

This is the one place that parses CSV, for logs (`intent convert`) and for tables alike.

- Compression and encoding are the matter of `offline.datasets.csv_bytes`, quotes that quote nothing that of
  `offline.datasets.csv_quotes`.
- What stands before the header is passed over: empty lines, lines that begin with ``#`` (exports of Google Analytics),
  and ``sep=;``, which names the separator (spreadsheets).
- The next line names the columns. The separator is the one of comma, semicolon, tab and bar that it has most often
  outside of quotes.
- Values may stand in double quotes, and then hold separators and line ends. Empty lines are passed over. If every row
  ends with a separator too many, that is no column.

What the texts mean is decided elsewhere: `offline.datasets.missing`, `offline.datasets.numbers`,
`offline.datasets.times`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Final, Literal, NamedTuple

import pyarrow as pa
import pyarrow.csv as pacsv

from offline.datasets.conversion import DatasetError
from offline.datasets.csv_bytes import (
    UTF8,
    ByteStream,
    check_head,
    clear_errors,
    decompressed,
    encoding_of,
    open_bytes,
    utf8_blocks,
)
from offline.datasets.csv_quotes import QuoteMender

CSV_SUFFIXES: Final = (
    ".csv",
    ".tsv",
    ".txt",
    ".csv.gz",
    ".tsv.gz",
    ".txt.gz",
    ".csv.zip",
    ".tsv.zip",
    ".zip",
)

# A block bounds the memory of the text that is not yet converted, and is the longest line that can be read.
_BLOCK_BYTES = 16 << 20
_HEADER_BYTES: Final = 1 << 20
_SEPARATORS: Final = ",;\t|"
_SEPARATOR_LINE: Final = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
# So many rows tell whether all of them end with a separator too many.
_ROWS_TO_LEARN: Final = 20


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
    first_line
        Number of the header's line in the file, from 0.
    trailing
        Whether all rows end with a separator that is followed by nothing.
    """

    encoding: str
    separator: str
    columns: tuple[str, ...]
    first_line: int = 0
    trailing: bool = False

    @property
    def width(self) -> int:
        """How many values a row has."""
        return len(self.columns) + self.trailing


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
#: Told how many lines have quotes that quote nothing, and the first of them.
OnMended = Callable[[int, str], None]


def csv_layout(file: Path, encoding: str = UTF8) -> CsvLayout:
    """Return how a CSV file is written.

    Parameters
    ----------
    file
        Plain, gzipped or zipped.
    encoding
        Its encoding; a mark of UTF-16 at the beginning of the file overrules UTF-8.

    Raises
    ------
    DatasetError
        If the file cannot be read or does not begin with the names of the columns.
    """
    with clear_errors(file), open_bytes(file) as stream:
        head = stream.read(_HEADER_BYTES)
        encoding = encoding_of(head, encoding)
        head = next(utf8_blocks(io.BytesIO(head), encoding), b"")
    check_head(head, str(file))
    # The end may lie within a character; only the first records are looked at.
    text = head.decode(errors="replace").replace("\r\n", "\n")
    if not text.strip():
        raise DatasetError(f"{file} is empty: expected a header line with the names of the columns")
    said, before = None, 0
    lines = text.split("\n")
    while before < len(lines) - 1 and (
        not lines[before].strip() or lines[before].startswith("#") or _SEPARATOR_LINE.fullmatch(lines[before])
    ):
        said = said or _SEPARATOR_LINE.fullmatch(lines[before])
        before += 1
    text = "\n".join(lines[before:])
    separator = said[1] if said else max(_SEPARATORS, key=_outside_quotes(text).count)
    records = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    with clear_errors(file):
        names = tuple(name.strip() for name in next(records))
    if len(names) > 1 and not names[-1]:
        names, trailing = names[:-1], True
    else:
        rows = _complete_rows(records)
        trailing = bool(rows) and all(len(row) == len(names) + 1 and not row[-1].strip() for row in rows)
    return CsvLayout(encoding, separator, names, before, trailing)


def _outside_quotes(text: str) -> str:
    """Return the first line of a text, without what stands in quotes."""
    first = re.match(r'(?:"[^"]*"|[^"\n])*', text)
    return re.sub(r'"[^"]*"', "", first[0] if first else text.split("\n", 1)[0])


def _complete_rows(records: Iterator[list[str]]) -> list[list[str]]:
    """Return some rows; none where they cannot be read, which whoever reads the whole file will say."""
    try:
        rows = [row for row in islice(records, _ROWS_TO_LEARN + 1) if row]
    except csv.Error:
        return []
    return rows[:-1] if len(rows) > _ROWS_TO_LEARN else rows


class _Opened(NamedTuple):
    """A file from its header on as UTF-8, with all quotes in their places."""

    stream: io.BufferedReader
    mender: QuoteMender
    raw: IO[bytes]


@contextmanager
def _opened(file: Path, layout: CsvLayout) -> Iterator[_Opened]:
    mender = QuoteMender(layout.separator.encode(), layout.width)
    with file.open("rb") as raw, decompressed(raw, str(file)) as stream:
        blocks = mender.blocks(_without_lines(utf8_blocks(stream, layout.encoding), layout.first_line))
        blocks = (_with_readable_lines(block, layout) for block in blocks)
        yield _Opened(io.BufferedReader(ByteStream(blocks), _HEADER_BYTES), mender, raw)


def _with_readable_lines(block: bytes, layout: CsvLayout) -> bytes:
    """Return whole lines with those of the wrong length as UTF-8: pyarrow does not ask about others."""
    try:
        block.decode()
    except UnicodeDecodeError:
        lines = io.BytesIO(block).readlines()
        return b"".join(
            line if _is_usual(line, layout) else line.decode(errors="replace").encode() for line in lines
        )
    return block


def _is_usual(line: bytes, layout: CsvLayout) -> bool:
    """Whether a line may have the right length; one that belongs to a value of several lines may."""
    if line.isascii() or line.count(b'"') % 2:
        return True
    try:
        values = next(csv.reader([line.decode("latin1")], delimiter=layout.separator))
    except csv.Error:
        return True
    return len(values) == layout.width


def _without_lines(blocks: Iterator[bytes], count: int) -> Iterator[bytes]:
    for block in blocks:
        while count and block:
            _, ended, block = block.partition(b"\n")  # noqa: PLW2901
            count -= bool(ended)
        if block:
            yield block


def csv_blocks(
    file: Path,
    layout: CsvLayout,
    columns: Sequence[str],
    on_broken: OnBroken,
    on_mended: OnMended = lambda count, example: None,
) -> Iterator[tuple[pa.RecordBatch, float]]:
    """Yield columns of a CSV file as texts, block by block, each with the share of the file read so far.

    Values are as they stand in the file, spaces included; nothing is null.

    Parameters
    ----------
    file, layout
        The file, and how it is written.
    columns
        Names of the columns that are wanted.
    on_broken
        Decides about lines whose number of values is not that of the header.
    on_mended
        Told at the end how many lines have quotes that quote nothing, and the first of them, if there are any.

    Raises
    ------
    pyarrow.ArrowInvalid
        If the text is not in the encoding, or `on_broken` ends the reading.
    """

    def judge(row: pacsv.InvalidRow) -> str:
        return on_broken(BrokenLine(row.text, row.actual_columns, row.expected_columns))

    size = max(file.stat().st_size, 1)
    with _opened(file, layout) as (stream, mender, raw):
        reader = pacsv.open_csv(
            pa.PythonFile(stream, mode="r"),
            read_options=pacsv.ReadOptions(
                block_size=_BLOCK_BYTES,
                column_names=[*layout.columns, *([""] if layout.trailing else [])],
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
        if mender.mended:
            on_mended(mender.mended, mender.example)


def place_of_broken_line(file: Path, layout: CsvLayout) -> tuple[int, int, int] | None:
    """Return row, line and number of values of the first line with other than one value for each column.

    Rows count from 1 after the header, lines from 1 with it; a row can have several lines. None if all lines are whole.
    """
    row = 0
    with _opened(file, layout) as (stream, _, _):
        lines = csv.reader(io.TextIOWrapper(stream, UTF8, newline=""), delimiter=layout.separator)
        next(lines)
        for values in lines:
            row += bool(values)
            if values and len(values) != layout.width:
                return row, lines.line_num + layout.first_line, len(values)
    return None

"""CSV files as they come: compressed, encoded, with something before the header, and with quotes that quote nothing."""

from __future__ import annotations

import gzip
import io
import random
import zipfile
from pathlib import Path
from typing import Literal

import pytest

from offline.datasets.conversion import DatasetError
from offline.datasets.csv_bytes import UTF8
from offline.datasets.csv_files import BrokenLine, csv_blocks, csv_layout
from offline.datasets.csv_quotes import QuoteMender

Rows = list[tuple[str, ...]]
PLAIN = "a,b\n1,2\n"


def read(path: Path, encoding: str = UTF8) -> tuple[Rows, list[str], int]:
    """Return rows, broken lines, and how many lines were mended."""
    broken: list[str] = []
    mended = [0]

    def skip(line: BrokenLine) -> Literal["skip"]:
        broken.append(line.text)
        return "skip"

    def count(lines: int, example: str) -> None:
        mended[0] += lines

    layout = csv_layout(path, encoding)
    blocks = csv_blocks(path, layout, layout.columns, skip, count)
    rows = [tuple(row.values()) for block, _ in blocks for row in block.to_pylist()]
    return rows, broken, mended[0]


def zipped(**files: str) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"export/{name}.csv", text)
    return whole.getvalue()


@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.csv.gz", "a.zip"])
@pytest.mark.parametrize(
    "data",
    [PLAIN.encode(), gzip.compress(PLAIN.encode()), zipped(a=PLAIN), "\ufeff".encode() + PLAIN.encode(),
     PLAIN.encode("utf-16"), b"a,b\r1,2\r", b"a,b\r\n1,2\r\n", b"a,b\n1,2"],
    ids=["plain", "gzip", "zip", "marked", "utf-16", "cr", "crlf", "no-end"],
)  # fmt: skip
def test_the_bytes_say_how_a_file_is_written_and_not_its_name(tmp_path: Path, data: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert csv_layout(path).columns == ("a", "b")
    assert read(path) == ([("1", "2")], [], 0)


def test_an_archive_of_several_files_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zipped(a=PLAIN, b=PLAIN))
    with pytest.raises(DatasetError, match=r"a\.zip is an archive of 2 files: unpack the one to read"):
        csv_layout(path)


@pytest.mark.parametrize("cut", [1, 5, 20, 40])
@pytest.mark.parametrize("data", [gzip.compress(PLAIN.encode() * 9), zipped(a=PLAIN)], ids=["gzip", "zip"])
def test_a_damaged_archive_is_one_line(tmp_path: Path, data: bytes, cut: int) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(data[:-cut])
    with pytest.raises(DatasetError, match=rf"^cannot read {path}: [^\n]+$|^{path} is empty"):
        read(path)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("sep=;\na;b\n1;2\n", ("a", "b")),
        ("\n\na,b\n1,2\n", ("a", "b")),
        ('# Google Analytics\n# 20240101-20240131\n\na,"b, all"\n1,2\n', ("a", "b, all")),
        ('"a;x;y;z",b\n1,2\n', ("a;x;y;z", "b")),
        (" a , b \n1,2\n", ("a", "b")),
        ("a,b,\n1,2,\n", ("a", "b")),
        ("a,b\n1,2,\n", ("a", "b")),
    ],
)
def test_what_stands_around_the_header_is_understood(
    tmp_path: Path, text: str, columns: tuple[str, ...]
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    assert csv_layout(path).columns == columns
    assert read(path) == ([("1", "2")], [], 0)


@pytest.mark.parametrize(
    ("lines", "values"),
    [
        (['1,"24 inch screen'], ['"24 inch screen']),
        (['1,"24 inch screen', '2,desk 30"', "3,cup"], ['"24 inch screen', 'desk 30"', "cup"]),
        (['1,"24" screen'], ['"24" screen']),
        (['1,5" x 7" frame'], ['5" x 7" frame']),
        (['1,desk 30"', '2,"24 inch'], ['desk 30"', '"24 inch']),
        (['1,"two', 'lines, all"'], ["two\nlines, all"]),
        (['1,"a ""b"" c"', '2,""'], ['a "b" c', ""]),
    ],
)
def test_quotes_are_taken_for_what_they_are(tmp_path: Path, lines: list[str], values: list[str]) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["number,name", "0,cup", *lines]) + "\n")
    rows, broken, _ = read(path)
    assert [row[1] for row in rows] == ["cup", *values]
    assert not broken


def test_a_line_that_no_reading_makes_whole_is_told_and_swallows_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('a,b\n1,"24 inch, wide\n2,x\n3,y\n')
    rows, broken, _ = read(path)
    assert rows == [("2", "x"), ("3", "y")]
    assert len(broken) == 1
    assert "24 inch" in broken[0]


def test_values_of_several_lines_and_stray_quotes_read_alike_however_the_bytes_are_cut() -> None:
    chance = random.Random(3)
    names = ['"24 inch', 'desk 30"', "cup", '"two\nlines"', '"a ""b"" c"', '"x,y"', '"5" long']
    text = "".join(f"{n},{chance.choice(names)},{n}\n" for n in range(500)).encode()
    whole = b"".join(QuoteMender(b",", 3).blocks(iter([b"a,b,c\n" + text])))
    for _ in range(20):
        cuts = sorted(chance.sample(range(200, len(text)), 30))
        pieces = [text[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        pieces[0] = b"a,b,c\n" + pieces[0]
        assert b"".join(QuoteMender(b",", 3).blocks(iter(pieces))) == whole


def test_a_line_that_never_ends_is_not_kept() -> None:
    pieces = (b"x" * (1 << 20) for _ in range(100))
    mender = QuoteMender(b",", 1)
    longest = max(map(len, mender.blocks(pieces)))
    assert longest < 40 << 20


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_zero_bytes_say_that_the_encoding_is_another(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "shop.csv"
    path.write_bytes("user,ts\n1,2\n".encode(encoding))
    with pytest.raises(DatasetError, match="zero bytes in its first line"):
        csv_layout(path)


def test_what_is_compressed_twice_or_holds_nothing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv.gz"
    path.write_bytes(gzip.compress(gzip.compress(b"user,ts\n1,2\n")))
    with pytest.raises(DatasetError, match="compressed twice"):
        csv_layout(path)
    with zipfile.ZipFile(path, "w"):
        pass
    with pytest.raises(DatasetError, match="an archive without a file"):
        csv_layout(path)

"""The bytes of a CSV file as UTF-8, however it is compressed and encoded.

What a file is, its first bytes say, not its name: gzip and zip are recognised in any file, and so are the marks of
UTF-16 and UTF-8.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, cast

import pyarrow as pa

from features.causes import cause
from offline.datasets.conversion import DatasetError

#: What `detect_encoding` may answer besides UTF-8: spreadsheets' "Unicode text", and the one of Windows in the West.
UTF16: Final = "utf-16"
WESTERN: Final = "cp1252"
UTF8: Final = "utf8"

_BLOCK_BYTES: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK\x03\x04"
_EMPTY_ZIP: Final = b"PK\x05\x06"
_UTF16_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@contextmanager
def open_bytes(file: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading, decompressed."""
    with file.open("rb") as raw, decompressed(raw, str(file)) as stream:
        yield stream


def decompressed(raw: IO[bytes], name: str) -> IO[bytes]:
    """Return the stream of what a file holds; ``raw.tell()`` still says how far it has been read.

    Raises
    ------
    DatasetError
        If it is an archive of several files.
    """
    magic = raw.read(len(_ZIP))
    raw.seek(0)
    if magic.startswith(_GZIP):
        return cast(IO[bytes], gzip.GzipFile(fileobj=raw))
    if magic not in (_ZIP, _EMPTY_ZIP):
        return raw
    archive = zipfile.ZipFile(raw)
    members = [
        one for one in archive.infolist() if not one.is_dir() and not one.filename.startswith("__MACOSX/")
    ]
    if len(members) != 1:
        raise DatasetError(
            f"{name} is an archive of {len(members)} files: unpack the one to read"
            if members
            else f"{name} is an archive without a file"
        )
    return archive.open(members[0])


def detect_encoding(file: Path) -> str:
    """Return the encoding of a CSV file: what its mark says, UTF-8 if all of it is, else Windows' Western one.

    Raises
    ------
    DatasetError
        If the file cannot be read.
    """
    decoder = codecs.getincrementaldecoder(UTF8)()
    with clear_errors(file), open_bytes(file) as stream:
        block = stream.read(_BLOCK_BYTES)
        if block.startswith(_UTF16_MARKS):
            return UTF16
        try:
            while block:
                decoder.decode(block)
                block = stream.read(_BLOCK_BYTES)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return WESTERN
    return UTF8


def check_head(head: bytes, name: str) -> None:
    """Look at the first bytes of a CSV file, decompressed and as UTF-8.

    Raises
    ------
    DatasetError
        They are still compressed, or of an encoding that nobody has named.
    """
    if head.startswith((_GZIP, _ZIP)):
        raise DatasetError(f"{name} is compressed twice: unpack it once")
    if b"\x00" in head.partition(b"\n")[0]:
        raise DatasetError(
            f"{name} has zero bytes in its first line, as files in UTF-16 or UTF-32 without a mark have: name its "
            "encoding, e.g. utf-16-le, or save it as UTF-8"
        )


def encoding_of(head: bytes, said: str) -> str:
    """Return the encoding that was said, but for a file that begins with a mark of UTF-16."""
    if said.lower() not in ("utf8", "utf-8", "utf-8-sig"):
        return said
    return UTF16 if head.startswith(_UTF16_MARKS) else UTF8


def utf8_blocks(stream: IO[bytes], encoding: str) -> Iterator[bytes]:
    r"""Yield what a stream holds as UTF-8, without a mark; line ends are ``\n`` or ``\r\n``.

    Bytes that are said to be UTF-8 are passed on as they are, whether they are or not.

    Raises
    ------
    UnicodeDecodeError
        If the bytes are not in another encoding that was said.
    """
    blocks: Iterable[bytes] = iter(lambda: stream.read(_BLOCK_BYTES), b"")
    if encoding != UTF8:
        blocks = (text.encode() for text in codecs.iterdecode(blocks, encoding))
    old_mac = None
    for block in blocks:
        if old_mac is None:
            block = block.removeprefix(codecs.BOM_UTF8)  # noqa: PLW2901
            old_mac = b"\n" not in block and b"\r" in block
        yield block.replace(b"\r", b"\n") if old_mac else block


class ByteStream(io.RawIOBase):
    """Blocks of bytes as a stream."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer as far as the present block goes; 0 at the end."""
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


@contextmanager
def clear_errors(file: Path) -> Iterator[None]:
    """Turn what the readers raise into one line that names the file."""
    try:
        yield
    except (
        pa.ArrowException, csv.Error, OSError, EOFError, UnicodeError, zipfile.BadZipFile, zlib.error,
        NotImplementedError, RuntimeError,
    ) as error:  # fmt: skip
        line = cause(error)
        hint = "; name its encoding, e.g. latin1, or save it as UTF-8" if "UTF8" in line else ""
        raise DatasetError(f"cannot read {file}: {line}{hint}") from error

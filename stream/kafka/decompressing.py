"""Decompression of record batches within a bound: a few kB may expand to gigabytes.

Kafka limits a batch as it is sent, which is compressed, and aiokafka decompresses whatever comes. Here, a batch is
decompressed into a buffer of `BATCH_BYTES`, and given up as soon as that is full.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Final

import cramjam
import numpy as np
from aiokafka.record.default_records import DefaultRecordBatch

# What a batch may hold, decompressed. Kafka's own limit (`message.max.bytes`) is 1 MiB compressed, and events as JSON
# are compressed to a tenth: three times what the largest batch of events has. Over 32 MiB on purpose: up to there,
# glibc may serve the buffer from its heap, and would clear all of it for each batch.
BATCH_BYTES: Final = (32 << 20) + 4096

_GZIP: Final = 31  # zlib's name for: with gzip's header, the largest window
_GZIP_STEP: Final = 1 << 20
_XERIAL: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER: Final = 16
_BLOCK: Final = struct.Struct(">i")

# What cramjam says when its output does not fit.
_FULL: Final = "failed to write whole buffer"


class TooLarge(Exception):
    """A batch holds more than is taken of one, decompressed."""

    def __init__(self, held: str = f"more than {BATCH_BYTES} bytes") -> None:
        super().__init__(f"it holds {held}, decompressed")


def _gzip(data: memoryview, out: memoryview) -> int:
    at = 0
    rest: bytes | memoryview = data
    while rest:
        member = zlib.decompressobj(_GZIP)
        while not member.eof:
            piece = member.decompress(rest, _GZIP_STEP)
            if at + len(piece) > len(out):
                raise TooLarge
            out[at : at + len(piece)] = piece
            at += len(piece)
            rest = member.unconsumed_tail
            if not (piece or rest or member.eof):
                raise EOFError("the compressed data ends too early")
        rest = member.unused_data.lstrip(b"\x00")
    return at


def _snappy_block(data: memoryview, out: memoryview) -> int:
    if cramjam.snappy.decompress_raw_len(data) > len(out):
        raise TooLarge
    return int(cramjam.snappy.decompress_raw_into(data, out))


def _snappy(data: memoryview, out: memoryview) -> int:
    if len(data) <= _XERIAL_HEADER or bytes(data[: len(_XERIAL)]) != _XERIAL:
        return _snappy_block(data, out)
    at, block = 0, _XERIAL_HEADER
    while block < len(data):
        (size,) = _BLOCK.unpack_from(data, block)
        block += _BLOCK.size
        if not 0 < size <= len(data) - block:
            raise ValueError(f"a block of {size} bytes does not fit in the batch")
        at += _snappy_block(data[block : block + size], out[at:])
        block += size
    return at


def _lz4(data: memoryview, out: memoryview) -> int:
    return _into(cramjam.lz4.decompress_into, data, out)


def _zstd(data: memoryview, out: memoryview) -> int:
    return _into(cramjam.zstd.decompress_into, data, out)


def _into(decompress_into: Callable[[memoryview, memoryview], int], data: memoryview, out: memoryview) -> int:
    try:
        return int(decompress_into(data, out))
    except cramjam.DecompressionError as error:
        if _FULL in str(error):
            raise TooLarge from None
        raise


#: Kafka's compression types.
CODECS: Final[dict[int, Callable[[memoryview, memoryview], int]]] = {
    DefaultRecordBatch.CODEC_GZIP: _gzip,
    DefaultRecordBatch.CODEC_SNAPPY: _snappy,
    DefaultRecordBatch.CODEC_LZ4: _lz4,
    DefaultRecordBatch.CODEC_ZSTD: _zstd,
}


def decompress(compression_type: int, data: memoryview, before: bytes = b"") -> memoryview:
    """Return what ``data`` is, decompressed, behind the bytes ``before``.

    Parameters
    ----------
    compression_type
        One of `CODECS`.
    data
        The compressed bytes.
    before
        What the returned bytes begin with.

    Raises
    ------
    TooLarge
        It would be more than `BATCH_BYTES`.
    Exception
        Of the codec: it cannot be decompressed.
    """
    buffer = np.empty(
        len(before) + BATCH_BYTES, np.uint8
    ).data  # a bytearray would be cleared: 32 MiB for each batch
    buffer[: len(before)] = before
    size = CODECS[compression_type](data, buffer[len(before) :])
    return buffer[: len(before) + size]

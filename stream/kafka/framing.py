"""Record batches as Kafka keeps them (magic 2), framed by a kernel from columns.

Byte for byte as aiokafka frames them; only a batch that compression makes no smaller is left uncompressed.

aiokafka's own builder takes one record at a time, as Python objects. Here records have keys and values, of which each
may be null, no headers, and one time for all.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from aiokafka.record.default_records import DefaultRecordBatch
from crc32c import crc32c
from numpy.typing import NDArray

from features.compiled import kernel
from features.text_column import TextColumn
from stream.kafka.keyed import ByteColumn, Strings, copy_string, strings

# Base offset, length of what follows, leader epoch, magic, checksum, attributes, last offset, first and last time,
# producer, its epoch, the number of the first record, and how many there are.
_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
# What the length does not count.
_BEFORE_LENGTH: Final = 12
_CHECKSUM: Final = struct.Struct(">I")
_CHECKSUM_AT: Final = 17
# Where what the checksum is of begins.
_CHECKED: Final = 21

# Bytes of a record beside its key and value, at most: four lengths and an offset of 5, attributes, time and headers.
_AROUND: Final = 24

_SIZE: Final = _HEADER.size


class Codec(NamedTuple):
    """How a batch is compressed: the number that Kafka gives it, and what does it."""

    number: int
    compress: Callable[[bytes], bytes]


#: By what aiokafka's producer calls them.
CODECS: Final = {
    "gzip": Codec(DefaultRecordBatch.CODEC_GZIP, gzip_encode),
    "snappy": Codec(DefaultRecordBatch.CODEC_SNAPPY, snappy_encode),
    "lz4": Codec(DefaultRecordBatch.CODEC_LZ4, lz4_encode),
    "zstd": Codec(DefaultRecordBatch.CODEC_ZSTD, zstd_encode),
}


class FramedBatch:
    """A batch that is full from the beginning: what `AIOKafkaProducer.send_batch` asks of a ``BatchBuilder``.

    Parameters
    ----------
    framed
        Room for the header, and the records behind it.
    count
        How many they are.
    timestamp
        Of all of them, epoch ms.
    codec
        How they are compressed; ``None`` where they are not.
    """

    def __init__(self, framed: NDArray[np.uint8], count: int, timestamp: int, codec: Codec | None) -> None:
        self._framed = framed
        self._count = count
        self._timestamp = timestamp
        self._codec = codec
        self._producer = (-1, -1, 0)
        self._built: bytes | memoryview | None = None

    def append(self, **_: Any) -> None:
        """Take nothing more, which ``None`` says."""

    def close(self) -> None:
        """Do nothing: it is closed."""

    def closed(self) -> bool:
        """Whether nothing more is taken, which is always so."""
        return True

    def size(self) -> int:
        """Return its bytes; before it is built, they are not compressed."""
        return len(self._framed if self._built is None else self._built)

    def record_count(self) -> int:
        """Return how many records there are."""
        return self._count

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._producer = producer_id, producer_epoch, base_sequence

    def _build(self) -> bytes | memoryview:
        if self._built is None:
            self._built = self._with_header(*self._compressed())
        return self._built

    def _compressed(self) -> tuple[NDArray[np.uint8], int]:
        """Return the batch, compressed where that makes it smaller, and the number of the codec."""
        if self._codec is not None:
            records = self._framed[_SIZE:].tobytes()
            smaller = self._codec.compress(records)
            if len(smaller) < len(records):
                return np.frombuffer(bytearray(_SIZE) + smaller, np.uint8), self._codec.number
        return self._framed, DefaultRecordBatch.CODEC_NONE

    def _with_header(self, batch: NDArray[np.uint8], codec: int) -> memoryview:
        whole, last, now = batch.data, self._count - 1, self._timestamp
        length = len(whole) - _BEFORE_LENGTH
        _HEADER.pack_into(whole, 0, 0, length, -1, 2, 0, codec, last, now, now, *self._producer, self._count)
        _CHECKSUM.pack_into(whole, _CHECKSUM_AT, crc32c(whole[_CHECKED:]))
        return whole


def framed(
    keys: TextColumn | ByteColumn,
    values: ByteColumn,
    timestamp: int,
    limit: int,
    codec: Codec | None = None,
) -> Iterator[FramedBatch]:
    """Yield the batches of these records; each but one of a single record has less than ``limit`` bytes."""
    columns = strings(keys), strings(values)
    sizes = np.cumsum(np.maximum(keys.length, 0) + np.maximum(values.length, 0) + _AROUND)
    start, before = 0, 0
    while start < len(sizes):
        room = max(min(sizes[-1] - before, limit), sizes[start] - before)
        batch = np.empty(_SIZE + room, np.uint8)
        stop, end = _frame(*columns, start, limit, batch)
        yield FramedBatch(batch[:end], stop - start, timestamp, codec)
        start, before = stop, sizes[stop - 1]


@kernel
def _frame(
    keys: Strings,
    values: Strings,
    start: int,
    limit: int,
    out: NDArray[np.uint8],
) -> tuple[int, int]:  # pragma: no cover
    """Write records from ``start`` on, one at least, as aiokafka below the limit; return the next one, and the end."""
    at = _SIZE
    for row in range(start, len(keys.at)):
        size = 3 + _varint_size(row - start)  # attributes, time and headers have a byte each
        size += _varint_size(keys.length[row]) + max(keys.length[row], 0)
        size += _varint_size(values.length[row]) + max(values.length[row], 0)
        if row > start and at + _varint_size(size) + size >= limit:
            return row, at
        at = _write_varint(size, out, at)
        out[at] = 0
        out[at + 1] = 0
        at = _write_varint(row - start, out, at + 2)
        at = _write_varint(keys.length[row], out, at)
        at = copy_string(keys, row, out, at)
        at = _write_varint(values.length[row], out, at)
        at = copy_string(values, row, out, at)
        out[at] = 0
        at += 1
    return len(keys.at), at


@kernel
def _varint_size(number: int) -> int:  # pragma: no cover
    rest = (number << 1) ^ (number >> 63)
    size = 1
    while rest > 127:  # noqa: PLR2004 (seven bits to a byte)
        rest >>= 7
        size += 1
    return size


@kernel
def _write_varint(number: int, out: NDArray[np.uint8], at: int) -> int:  # pragma: no cover
    """Write a length or a number, of which -1 is the only negative one; return where it ends."""
    rest = (number << 1) ^ (number >> 63)
    while rest > 127:  # noqa: PLR2004 (seven bits to a byte)
        out[at] = 128 | (rest & 127)
        rest >>= 7
        at += 1
    out[at] = rest
    return at + 1

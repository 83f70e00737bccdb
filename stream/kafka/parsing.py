"""Parsing of fetched record batches that no record can stop.

aiokafka's parser gives up the whole batch where one header name is not UTF-8, and what was fetched with it. Here, a
batch that it cannot parse is parsed again, record by record:

- a record whose header names are not UTF-8 keeps its key, value and headers; the names are escaped (see
  `stream.kafka.unreadable.escaped_name`);
- a record that cannot be parsed at all has no key, and its bytes as they stand in the batch as its value;
- a batch that cannot be decompressed, or only to more than a worker takes, is one such record, and so is what is left
  of a batch whose framing is broken.

Each of them carries a header first that says why (`stream.kafka.unreadable`); who reads events refuses it, as a dead
letter. A batch whose checksum (CRC) is wrong is another thing: the disk or the network has changed it, and nothing in
it can be trusted. What was fetched before it is handed over, and then it is an error that names its offsets.

What one fetch expands to is bounded, too: it ends behind the batch with which it has reached `BATCH_BYTES`, and the
next one goes on from there. Batches of the formats before Kafka 0.11 are left to aiokafka: Kafka 4 writes none.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from operator import attrgetter
from typing import Any, Final, Protocol

import aiokafka.consumer.fetcher
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.control_record import ControlRecord
from aiokafka.record.default_records import DefaultRecord, DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint_py as decode_varint
from crc32c import crc32c

from features.causes import cause
from features.refusals import Reason
from stream.kafka.decompressing import BATCH_BYTES, CODECS, TooLarge, decompress
from stream.kafka.unreadable import Unreadable, escaped_name

# Before a batch: its base offset (8 bytes) and the length of what follows (4).
_LENGTH: Final = struct.Struct(">8xi")
#: From the start of a batch to its first record.
BATCH_HEADER: Final = 61

# In that header: the checksum, and where what it is of begins.
_CHECKSUM: Final = struct.Struct(">17xI")
_CHECKED: Final = 21

_offset = attrgetter("offset")

# In that header: the lower byte of the attributes, which holds the codec, and the number of records.
_ATTRIBUTES: Final = 22
COUNT: Final = struct.Struct(">57xi")

# Records of a batch, decompressed. What holds more of them within `BATCH_BYTES` gives each less room than the required
# fields of an event take; as Python objects they would take a gigabyte.
BATCH_RECORDS: Final = BATCH_BYTES >> 6


class Pack(Protocol):
    """See `stream.kafka.record_scan.Packer`; returns something with the ``offset`` of the last record."""

    def __call__(self, batch: Any, start: int, whole: memoryview) -> Any:
        """Return the records of a batch; ``None``: some of them are not as most are."""
        ...


class LenientRecords:
    """The batches of one fetch of a partition: aiokafka's `MemoryRecords`, with lenient batches.

    Attributes
    ----------
    raw
        What the broker sent.
    pack
        Makes one object of all records of a batch where they are as most are (`stream.kafka.record_scan`); ``None``
        where each is wanted by itself.
    """

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.pack: Pack | None = None
        self._inner = MemoryRecords(raw)
        self._at = 0
        self._first = True
        self._expanded = 0  # bytes that the batches handed over were decompressed to
        self._next: Any = None
        self._look()

    def size_in_bytes(self) -> int:
        """Return how many bytes were fetched."""
        return len(self.raw)

    def has_next(self) -> bool:
        """Whether there is a batch that can be handed over.

        One that is corrupt ends the fetch before it, and so does having reached the bound of what is decompressed.
        """
        return self._next is not None and self._expanded < BATCH_BYTES

    def next_batch(self) -> Any:
        """Return the next batch.

        Raises
        ------
        CorruptRecordException
            It is the first one, and its checksum is wrong.
        """
        batch = self._next
        self._first = False
        self._look()
        if isinstance(batch, CorruptRecordException):
            raise batch
        return batch

    def _look(self) -> None:
        self._next = None
        if not self._inner.has_next():
            return
        start = self._at
        self._at += _LENGTH.size + _LENGTH.unpack_from(self.raw, start)[0]
        try:
            batch = self._inner.next_batch()
        except SystemError:  # aiokafka's reader of records as Kafka had them before 0.11 trusts their lengths
            batch = None
        raw = memoryview(self.raw)[start : self._at]
        if batch is not None and _is_intact(batch, raw):
            plain = not isinstance(batch, DefaultRecordBatch) or (batch.is_control_batch and _is_marker(raw))
            self._next = batch if plain else _LenientBatch(batch, raw, start, self)
        elif self._first:
            self._next = CorruptRecordException(
                f"the batch at offsets {batch.base_offset} to {batch.next_offset - 1} fails its checksum (CRC)"
                if isinstance(batch, DefaultRecordBatch)
                else "a batch of an old format fails its checksum (CRC)"
            )

    def count(self, expanded: int) -> None:
        """Take note of the bytes that a batch has been decompressed to."""
        self._expanded += expanded


class _LenientBatch:
    """A batch with an intact checksum, as aiokafka's `PartitionRecords` uses it."""

    is_control_batch = False

    def __init__(self, batch: Any, raw: memoryview, start: int, fetch: LenientRecords) -> None:
        self._batch = batch
        self._raw = raw
        self._start = start  # in what the broker sent
        self._fetch = fetch
        self.base_offset = batch.base_offset
        self.next_offset = batch.next_offset
        self.producer_id = batch.producer_id
        self.is_transactional = batch.is_transactional

    def validate_crc(self) -> bool:
        """Return what `LenientRecords` has found."""
        return True

    def __iter__(self) -> Iterator[Any]:
        batch, raw = self._batch, self._raw
        compressed = batch.compression_type in CODECS
        if compressed:
            try:
                raw = self._expanded()
            except MemoryError:  # is this machine's fault, not the batch's
                raise
            except Exception as error:  # of a codec: whatever the bytes are, they are one record's fault
                return iter([_undecompressed(batch, bytes(raw[BATCH_HEADER:]), error)])
        if self._fetch.pack is not None and (compressed or not batch.compression_type):
            packed = self._fetch.pack(batch, self._start, raw)
            if packed is not None:
                return iter([packed])
        try:
            if compressed:
                batch = DefaultRecordBatch(raw)
            records = list(batch)
            if not self._in_order(list(map(_offset, records))):
                raise CorruptRecordException("its records' offsets are out of order")  # noqa: TRY301
            return iter(records)
        except UnsupportedCodecError:
            raise
        except Exception:  # of the parser: as above
            return iter(_parse(batch, bytes(raw[BATCH_HEADER:])))

    def _expanded(self) -> memoryview:
        """Return the batch as it would be without compression."""
        header = bytearray(self._raw[:BATCH_HEADER])
        header[_ATTRIBUTES] &= ~DefaultRecordBatch.CODEC_MASK
        (count,) = COUNT.unpack_from(header)
        if count > BATCH_RECORDS:
            raise TooLarge(f"{count} records, more than {BATCH_RECORDS}")
        try:
            expanded = decompress(self._batch.compression_type, self._raw[BATCH_HEADER:], bytes(header))
        except TooLarge:
            self._fetch.count(BATCH_BYTES)  # which it has cost
            raise
        self._fetch.count(len(expanded))
        return expanded

    def _in_order(self, offsets: list[int]) -> bool:
        """Whether no record would be taken for one that has been read: of plain batches, the broker does not check."""
        first = self.base_offset
        return offsets == list(range(first, first + len(offsets))) or (  # without holes, as nearly always
            offsets == sorted(set(offsets)) and first <= offsets[0] and offsets[-1] < self.next_offset
        )


def _is_intact(batch: Any, raw: memoryview) -> bool:
    """Whether a batch has its checksum; aiokafka computes it without the processor's own instruction for that."""
    if not isinstance(batch, DefaultRecordBatch):
        return bool(batch.validate_crc())
    (stored,) = _CHECKSUM.unpack_from(raw)
    return bool(crc32c(raw[_CHECKED:]) == stored)


def _is_marker(raw: memoryview) -> bool:
    """Whether a control batch holds what aiokafka looks for in one; if not, its records are records like others."""
    try:
        ControlRecord.parse(next(iter(DefaultRecordBatch(raw))).key)
    except Exception:  # of the parser: as with other batches
        return False
    return True


def _undecompressed(batch: Any, data: bytes, error: Exception) -> Any:
    """Return the one record that a batch is which cannot be decompressed."""
    offsets = f"{batch.base_offset} to {batch.next_offset - 1}"
    why = cause(error)
    detail = f"the batch at offsets {offsets} cannot be decompressed ({why}); its bytes are the value"
    return _unreadable(batch, batch.base_offset, data, Unreadable(Reason.UNREADABLE, detail))


def _parse(batch: Any, body: bytes) -> list[Any]:
    """Return the records of a batch that cannot be parsed as a whole, each parsed by itself."""
    records: list[Any] = []
    expected, at = batch.base_offset, 0
    while at < len(body) and expected < batch.next_offset:
        try:
            length, start = decode_varint(body, at)
            stop = start + length
            if length < 0 or stop > len(body):
                raise ValueError("its length goes beyond the batch")
        except (ValueError, IndexError) as fault:
            start, stop = at, len(body)
            record = _broken(batch, expected, body[at:], fault)
        else:
            record = _record(batch, expected, body[start:stop])
        records.append(record)
        expected, at = record.offset + 1, stop
    return records


def _record(batch: Any, expected: int, body: bytes) -> Any:
    """Return the record that ``body`` is, at ``expected`` or later."""
    try:
        delta, at = decode_varint(body, 1)  # after one byte of attributes
        offset_delta, at = decode_varint(body, at)
        offset = batch.base_offset + offset_delta
        if not expected <= offset < batch.next_offset:
            raise ValueError(f"its offset {offset} is out of order")
        key, at = _field(body, at)
        value, at = _field(body, at)
        count, at = decode_varint(body, at)
        if not 0 <= count <= len(body):
            raise ValueError(f"it says that it has {count} headers")
        names, headers = [], []
        for _ in range(count):
            name, at = _field(body, at)
            if name is None:
                raise ValueError("a header has no name")
            of_header, at = _field(body, at)
            names.append(name)
            headers.append(of_header)
        if at != len(body):
            raise ValueError(f"{len(body) - at} bytes follow its last header")
    except (ValueError, IndexError) as fault:
        return _broken(batch, expected, body, fault)
    timestamp = batch.max_timestamp if batch.timestamp_type else batch.first_timestamp + delta
    try:
        named = [(name.decode(), of_header) for name, of_header in zip(names, headers, strict=True)]
    except UnicodeDecodeError:
        bad = next(name for name in names if not _is_text(name))
        detail = f"the header name {bad[:100]!r} is not UTF-8: headers are written with their names escaped"
        escaped = [(escaped_name(name), of_header) for name, of_header in zip(names, headers, strict=True)]
        named = [Unreadable(Reason.BAD_HEADERS, detail).header, *escaped]
    return DefaultRecord(offset, timestamp, batch.timestamp_type, key, value, named)


def _field(body: bytes, at: int) -> tuple[bytes | None, int]:
    """Return the bytes whose length stands at ``at`` (negative: null), and where they end."""
    length, at = decode_varint(body, at)
    if length < 0:
        return None, at
    if at + length > len(body):
        raise ValueError("a length in it goes beyond its end")
    return body[at : at + length], at + length


def _broken(batch: Any, offset: int, body: bytes, fault: Exception) -> Any:
    detail = f"the record cannot be parsed: {fault}; its bytes, as they stand in the batch, are the value"
    return _unreadable(batch, offset, body, Unreadable(Reason.UNREADABLE, detail))


def _unreadable(batch: Any, offset: int, body: bytes, why: Unreadable) -> Any:
    return DefaultRecord(offset, batch.max_timestamp, batch.timestamp_type, None, body, [why.header])


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def parse_leniently() -> None:
    """Have aiokafka's consumers of this program parse leniently: it has no other place to say so."""
    aiokafka.consumer.fetcher.MemoryRecords = LenientRecords

"""Compiled reading of fetched batches: their records as columns, and when each of them arrived.

It takes only what it surely reads as aiokafka does. A batch with anything unusual in it is left to
`stream.kafka.parsing`, record by record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiled import kernel
from features.hashes import same_bytes
from features.text_column import read_only
from stream.kafka.parsing import BATCH_HEADER, COUNT
from stream.kafka.record_columns import PLACE, Packed, Record, RecordColumns, appended_of
from stream.kafka.records import ARRIVED_AT, TIME_DIGITS, arrival

# The smallest record: a length, attributes, two deltas, two nulls, and no headers.
_SMALLEST: Final = 7
_ASCII: Final = 128
_NONE_AT: Final = -1
_ARRIVED_AT: Final = np.frombuffer(ARRIVED_AT.encode(), np.uint8)


class Packer:
    """Packs the batches of one fetch of a partition.

    Parameters
    ----------
    raw
        What the broker sent.
    """

    def __init__(self, raw: bytes) -> None:
        self._whole = np.frombuffer(raw, np.uint8)

    def __call__(self, batch: Any, start: int, whole: memoryview) -> Packed | None:
        """Return the records of a batch, ``None`` for one that is not as most are.

        Parameters
        ----------
        batch
            Its header, as aiokafka has read it.
        start
            Where it begins in what the broker sent.
        whole
            All of it, decompressed.
        """
        data, stop = self._whole, start + len(whole)
        if batch.compression_type:
            # A copy: what was decompressed lies in a buffer as large as a batch may ever be.
            data, start, stop = read_only(np.frombuffer(whole, np.uint8).copy()), 0, len(whole)
        if len(whole) < BATCH_HEADER:
            return None
        (count,) = COUNT.unpack_from(whole)
        if not 0 < count <= (stop - start) // _SMALLEST:
            return None
        places = np.empty(count, PLACE)
        times = batch.first_timestamp, batch.max_timestamp, batch.timestamp_type
        if not _walk(data, start + BATCH_HEADER, stop, batch.base_offset, batch.next_offset, *times, places):
            return None
        return Packed(int(places[-1]["offset"]), RecordColumns(data, places))


class Arrivals(NamedTuple):
    """When each record arrived, epoch ms (`stream.kafka.records.arrival`), and which have other headers than that."""

    at: NDArray[np.int64]
    other_headers: NDArray[np.bool_]


def arrivals_of(records: Sequence[Record]) -> Arrivals:
    """Return when records arrived."""
    others = np.zeros(len(records), np.bool_)
    if not isinstance(records, RecordColumns):
        return Arrivals(np.fromiter(map(arrival, records), np.int64, len(records)), others)
    at = appended_of(records)
    if records.places["header_count"].any():
        _arrivals(records.data, records.places, at, others)
    return Arrivals(at, others)


@kernel
def _varint(data: NDArray[np.uint8], at: int, stop: int) -> Any:  # pragma: no cover
    """Return a number and where it ends; -1 where it does not end before ``stop``, or has more than 63 bits."""
    number, shift = np.uint64(0), np.uint64(0)
    while at < stop and shift < np.uint64(63):
        byte = np.uint64(data[at])
        number |= (byte & np.uint64(0x7F)) << shift
        at += 1
        if byte < np.uint64(0x80):
            return np.int64(number >> np.uint64(1)) ^ -np.int64(number & np.uint64(1)), at
        shift += np.uint64(7)
    return np.int64(0), _NONE_AT


@kernel
def _field(data: NDArray[np.uint8], at: int, stop: int) -> Any:  # pragma: no cover
    """Return where a field begins, its length (-1: null), and where it ends; -1 where it goes beyond ``stop``."""
    length, at = _varint(data, at, stop)
    if at < 0 or length > stop - at:
        return 0, 0, _NONE_AT
    if length < 0:
        return at, -1, at
    return at, length, at + length


@kernel
def _walk(  # noqa: C901, PLR0911, PLR0912, PLR0917  (a format, step by step)
    data: NDArray[np.uint8],
    at: int,
    stop: int,
    base: int,
    end: int,
    first_timestamp: int,
    max_timestamp: int,
    timestamp_type: int,
    places: NDArray[np.void],
) -> bool:  # pragma: no cover
    """Fill in where records lie; return whether all of them are as most are, and nothing follows them."""
    expected = base
    for i in range(len(places)):
        place = places[i]
        length, at = _varint(data, at, stop)
        if at < 0 or length < _SMALLEST - 1 or length > stop - at or data[at] >= _ASCII:
            return False
        own = at + length
        delta, at = _varint(data, at + 1, own)  # after the attributes
        if at < 0:
            return False
        place.timestamp = max_timestamp if timestamp_type else first_timestamp + delta
        place.timestamp_type = timestamp_type
        delta, at = _varint(data, at, own)
        if at < 0 or not expected <= base + delta < end:
            return False
        place.offset = base + delta
        expected = place.offset + 1
        place.key_at, place.key_length, at = _field(data, at, own)
        if at < 0:
            return False
        place.value_at, place.value_length, at = _field(data, at, own)
        if at < 0:
            return False
        count, at = _varint(data, at, own)
        if at < 0 or not 0 <= count <= length:
            return False
        place.headers_at, place.header_count, place.end = at, count, own
        for _ in range(count):
            name_at, name_length, at = _field(data, at, own)
            if at < 0 or name_length < 0:
                return False
            for k in range(name_at, at):
                if data[k] >= _ASCII:
                    return False
            _, _, at = _field(data, at, own)
            if at < 0:
                return False
        if at != own:
            return False
    return at == stop


@kernel
def _arrivals(
    data: NDArray[np.uint8], places: NDArray[np.void], found: NDArray[np.int64], others: NDArray[np.bool_]
) -> None:  # pragma: no cover
    for i in range(len(places)):
        at, stop = places[i].headers_at, places[i].end
        said = -1
        for _ in range(places[i].header_count):
            name_at, name_length, at = _field(data, at, stop)
            value_at, value_length, at = _field(data, at, stop)
            if name_length != len(_ARRIVED_AT) or not same_bytes(data, name_at, name_length, _ARRIVED_AT, 0):
                others[i] = True
            elif said < 0 and value_length < TIME_DIGITS:
                said = _decimal(data, value_at, value_length)
        if said >= 0:
            found[i] = min(said, places[i].timestamp)


@kernel
def _decimal(data: NDArray[np.uint8], at: int, length: int) -> int:  # pragma: no cover
    """Return the number that digits say, -1 where there are none or something else stands among them."""
    number = 0 if length > 0 else -1
    for k in range(at, at + length):
        digit = int(data[k]) - ord("0")
        if not 0 <= digit <= 9:  # noqa: PLR2004
            return -1
        number = 10 * number + digit
    return number

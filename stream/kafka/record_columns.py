"""Records as columns over the bytes that were fetched: none is a Python object before somebody asks for it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, Final, NamedTuple, Protocol, Self, overload

import numpy as np
from aiokafka.record.default_records import DefaultRecord
from aiokafka.record.util import decode_varint_py as decode_varint
from numpy.typing import NDArray

from features.structured import concatenated
from features.text_column import read_only

_offset, _timestamp = attrgetter("offset"), attrgetter("timestamp")

#: A record: what its batch says of it, and where in the buffer its parts lie. A length of -1 is a null.
PLACE: Final = np.dtype(
    [
        ("offset", np.int64),
        ("timestamp", np.int64),
        ("key_at", np.int64),
        ("key_length", np.int64),
        ("value_at", np.int64),
        ("value_length", np.int64),
        ("headers_at", np.int64),  # of the first one
        ("end", np.int64),  # of the record
        ("header_count", np.int32),
        ("timestamp_type", np.int32),
    ]
)
_IN_BUFFER: Final = ("key_at", "value_at", "headers_at", "end")

# What a header costs besides its name and its value, as Python objects.
HEADER_BYTES: Final = 150


class Record(Protocol):
    """A record as aiokafka parses it: raw bytes, and nothing that its batch knows already."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class RecordColumns(Sequence[Record]):
    """Records in the order of their offsets. Whoever asks for one gets it as aiokafka parses it.

    Parameters
    ----------
    data
        The buffer, of bytes.
    places
        Where each record lies in it, a `PLACE` each.
    """

    __slots__ = ("data", "places")

    def __init__(self, data: NDArray[np.uint8], places: NDArray[np.void]) -> None:
        self.data = read_only(data)
        self.places = places

    @classmethod
    def joined(cls, pieces: Sequence[RecordColumns]) -> Self:
        """Return the records of all pieces, none of them empty; those of one buffer stay in it."""
        data, places = pieces[0].data, concatenated([piece.places for piece in pieces])
        if all(piece.data is data for piece in pieces):
            return cls(data, places)
        starts = [int(piece.places[0]["key_at"]) for piece in pieces]
        parts = [
            piece.data[start : piece.places[-1]["end"]] for piece, start in zip(pieces, starts, strict=True)
        ]
        begins = np.cumsum([0, *map(len, parts[:-1])])
        shift = np.repeat(begins - starts, list(map(len, pieces)))
        for name in _IN_BUFFER:
            places[name] += shift
        return cls(np.concatenate(parts), places)

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: int | slice) -> Record | Self:
        if isinstance(index, slice):
            return type(self)(self.data, self.places[index])
        place = self.places[index].item()
        offset, timestamp, key_at, key_length, value_at, value_length, headers_at, _, headers, kind = place
        return DefaultRecord(  # type: ignore[no-any-return]
            offset,
            timestamp,
            kind,
            self._bytes(key_at, key_length),
            self._bytes(value_at, value_length),
            self._headers(headers_at, headers),
        )

    def values(self) -> list[bytes | None]:
        """Return the values of all records."""
        whole = self.data.tobytes()
        at, length = self.places["value_at"], self.places["value_length"]
        bounds = zip(at.tolist(), (at + length).tolist(), strict=True)
        return [whole[start:end] if end >= start else None for start, end in bounds]

    def sizes(self) -> NDArray[np.int64]:
        """Return how many bytes key, value and headers of each record take as Python objects, about."""
        own: NDArray[np.int64] = self.places["end"] - self.places["key_at"]
        own += HEADER_BYTES * self.places["header_count"]
        return own

    def compact(self) -> RecordColumns:
        """Return the records without what else lies in their buffer, if that is more than they are themselves."""
        places = self.places
        lengths = places["end"] - places["key_at"]
        if 2 * int(lengths.sum()) >= len(self.data):
            return self
        starts = places["key_at"].tolist()
        parts = [self.data[start:end] for start, end in zip(starts, places["end"].tolist(), strict=True)]
        moved = places.copy()
        shift = np.cumsum(lengths) - lengths - places["key_at"]
        for name in _IN_BUFFER:
            moved[name] += shift
        return RecordColumns(np.concatenate([self.data[:0], *parts]), moved)

    def _bytes(self, at: int, length: int) -> bytes | None:
        return None if length < 0 else self.data[at : at + length].tobytes()

    def _headers(self, at: int, count: int) -> list[tuple[str, bytes | None]]:
        headers = []
        for _ in range(count):
            name, at = self._field(at)
            value, at = self._field(at)
            headers.append(((name or b"").decode(), value))
        return headers

    def _field(self, at: int) -> tuple[bytes | None, int]:
        length, at = decode_varint(self.data.data, at)
        return self._bytes(at, length), at + max(length, 0)


class Packed(NamedTuple):
    """All records of one batch, as aiokafka passes them on: by the offset of the last it knows how far it has got."""

    offset: int
    records: RecordColumns


def joined(pieces: Sequence[Sequence[Record]]) -> Sequence[Record]:
    """Return the records of all pieces: columns if all of them are."""
    filled = [piece for piece in pieces if len(piece)]
    if len(filled) == 1:
        return filled[0]
    columns = [piece for piece in filled if isinstance(piece, RecordColumns)]
    if filled and len(columns) == len(filled):
        return RecordColumns.joined(columns)
    return list(chain.from_iterable(filled))


def unpacked(found: Sequence[Any], start: int) -> Sequence[Record]:
    """Return the records that aiokafka has passed on, from ``start`` on: whole batches, and some by themselves."""
    if not all(isinstance(one, Packed) for one in found):
        return list(chain.from_iterable(one.records if isinstance(one, Packed) else [one] for one in found))
    records = joined([one.records for one in found])
    left = records[place_of(records, start) :]
    return left.compact() if isinstance(left, RecordColumns) else left


def place_of(records: Sequence[Record], offset: int) -> int:
    """Return the position of the first record at ``offset`` or after it."""
    if isinstance(records, RecordColumns):
        return int(records.places["offset"].searchsorted(offset))
    return bisect_left(records, offset, key=_offset)


def contents_of(records: Sequence[Record]) -> Iterable[tuple[int, int, bytes | None]]:
    """Return offset, time and value of each record."""
    if isinstance(records, RecordColumns):
        places = records.places
        return zip(places["offset"].tolist(), places["timestamp"].tolist(), records.values(), strict=True)
    return ((record.offset, record.timestamp, record.value) for record in records)


def offsets_of(records: Sequence[Record]) -> NDArray[np.int64]:
    """Return the offset of each record."""
    if isinstance(records, RecordColumns):
        return records.places["offset"].copy()
    return np.fromiter(map(_offset, records), np.int64, len(records))


def appended_of(records: Sequence[Record]) -> NDArray[np.int64]:
    """Return when the log says that each record came there, epoch ms."""
    if isinstance(records, RecordColumns):
        return records.places["timestamp"].copy()
    return np.fromiter(map(_timestamp, records), np.int64, len(records))

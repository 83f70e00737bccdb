"""Scored events that become examples once it is known what happened after them, and their binary form."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

import cramjam
import msgspec
import numpy as np
from numpy.typing import NDArray

from features.exceptions import SchemaMismatch
from features.vector import WIDTH, Vectors
from stream.learning.records.differences import DIFFERS_BYTES, count_of, differences, whole
from stream.learning.records.header import (
    EXAMPLES,
    RECORD_BYTES,
    TIME_LIMIT,
    Header,
    Piece,
    Unpacked,
    check_offsets,
    check_times,
    pack,
    stretches,
    unpack,
)
from stream.learning.records.texts import lengths_of, texts_from_bytes, texts_to_bytes

# One example without its identifiers, at most: offset, as_of, kind, weight, segment, logit, vector, and two lengths.
_FIXED_BYTES: Final = 8 + 8 + 1 + 4 + 2 + 8 + DIFFERS_BYTES + 4 * WIDTH + 4
_CHARACTER_BYTES: Final = 4  # of UTF-8, at most
_BESIDE_BYTES: Final = 8  # a probability of a bundle beside the one that is learned

# In front of a body that is compressed: its size, which is believed only as far as a record can be that large.
_SIZE: Final = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Examples:
    """Scored events, one element each.

    Attributes
    ----------
    partition, offset
        Where the event stands in the events topic.
    event_id, customer
        Whose event it is; empty where that is not needed any more.
    kind
        Type code of the event.
    as_of
        The moment that the vector refers to, epoch ms.
    weight
        One over the sampling rate of the event's type.
    segment
        Segment id.
    logit
        Of the network, before calibration.
    vectors
        Model input as scored, float32, shape ``(examples, WIDTH)``, segment column filled.
    beside
        By the version of a bundle that scored beside: its probabilities, NaN where it did not score an example.
    """

    partition: NDArray[np.int32]
    offset: NDArray[np.int64]
    event_id: Sequence[str]
    customer: Sequence[str]
    kind: NDArray[np.uint8]
    as_of: NDArray[np.int64]
    weight: NDArray[np.float32]
    segment: NDArray[np.int64]
    logit: NDArray[np.float64]
    vectors: Vectors
    beside: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.as_of)

    @classmethod
    def none(cls) -> Examples:
        """Return no examples."""
        nothing = np.zeros(0, np.int64)
        return cls(
            np.zeros(0, np.int32),
            nothing,
            [],
            [],
            np.zeros(0, np.uint8),
            nothing,
            np.zeros(0, np.float32),
            nothing,
            np.zeros(0, np.float64),
            np.zeros((0, WIDTH), np.float32),
        )

    def __getitem__(self, rows: slice) -> Examples:
        return Examples(
            self.partition[rows],
            self.offset[rows],
            self.event_id[rows],
            self.customer[rows],
            self.kind[rows],
            self.as_of[rows],
            self.weight[rows],
            self.segment[rows],
            self.logit[rows],
            self.vectors[rows],
            {version: said[rows] for version, said in self.beside.items()},
        )


class ExampleRecord(NamedTuple):
    """A record of the examples topic; ``examples`` is ``None`` where other features wrote it."""

    header: Header
    examples: Examples | None


def encode_examples(
    header: Header, examples: Examples, before: int, limit: int = RECORD_BYTES
) -> Iterator[bytes]:
    """Yield the records of a batch, at least one.

    Parameters
    ----------
    header
        Of the whole batch; ``rows`` and ``beside`` are filled in here.
    examples
        Those of the batch, in the order of their offsets.
    before
        The watermark before the batch: all that a record other than the last may promise.
    limit
        Bytes that a record has at most.
    """
    ids, customers = lengths_of(examples.event_id), lengths_of(examples.customer)
    sizes = _FIXED_BYTES + _CHARACTER_BYTES * (ids.astype(np.int64) + customers)
    sizes += _BESIDE_BYTES * len(examples.beside)
    header = msgspec.structs.replace(header, beside=tuple(examples.beside))
    for rows, own in stretches(header, examples.offset, sizes, before, limit):
        lengths = np.concatenate([ids[rows], customers[rows]])
        yield pack(EXAMPLES, own, *_body(examples[rows], lengths))


def decode_examples(raw: bytes, partition: int, features: str) -> ExampleRecord:
    """Return what `encode_examples` wrote.

    Parameters
    ----------
    partition
        Where the record came from; examples and their events have the same.
    features
        Version of this program's features; what others wrote is not looked at.

    Raises
    ------
    SchemaMismatch
        The record was written by another version of this program, or is damaged.
    """
    record = unpack(EXAMPLES, raw)
    header, rows = record.header, record.header.rows
    if header.features != features:
        return ExampleRecord(header, None)
    body = opened(record)
    if not rows:
        return ExampleRecord(header, Examples.none())
    columns = np.frombuffer(body.columns, layout(rows, len(header.beside)))[0]
    return ExampleRecord(
        header,
        Examples(
            np.full(rows, partition, np.int32),
            columns["offset"],
            body.texts[:rows],
            body.texts[rows:],
            columns["kind"],
            columns["as_of"],
            columns["weight"],
            columns["segment"].astype(np.int64),
            columns["logit"],
            whole(columns["differs"], np.frombuffer(body.values, "<u4"), rows),
            dict(zip(header.beside, columns["beside"], strict=True)) if header.beside else {},
        ),
    )


@lru_cache(maxsize=1024)
def layout(rows: int, beside: int = 0, *, compressed: bool = False) -> np.dtype[np.void]:
    """Return the columns of a body with so many rows, and so many bundles beside.

    The values of the vectors that differ follow them, then the texts; where it was ``compressed``, vectors are columns.
    """
    vectors = ("vector", "<f4", (rows, WIDTH)) if compressed else ("differs", "u1", (rows, DIFFERS_BYTES))
    columns = [
        ("offset", "<i8", (rows,)),
        ("as_of", "<i8", (rows,)),
        ("logit", "<f8", (rows,)),
        vectors,
        ("weight", "<f4", (rows,)),
        ("segment", "<i2", (rows,)),
        ("kind", "u1", (rows,)),
        ("beside", "<f8", (beside, rows)),
    ]
    return np.dtype(columns)


class Body(NamedTuple):
    """The parts of a body: columns (see `layout`), values of vectors, and texts: event ids, then customers."""

    columns: memoryview
    values: memoryview
    texts: list[str]


def opened(record: Unpacked, latest: int = TIME_LIMIT) -> Body:
    """Return the parts of a record's body; ``latest`` is the latest time that it can tell of, epoch ms.

    Raises
    ------
    SchemaMismatch
        It is damaged.
    """
    header = record.header
    try:
        body = (_parts_of_before if record.compressed else _parts)(
            record.body, header.rows, len(header.beside)
        )
        if header.rows:
            columns = np.frombuffer(body.columns, layout(header.rows, len(header.beside)))[0]
            check_offsets(header, columns["offset"])
            check_times(columns["as_of"], latest)
    except (ValueError, OverflowError, cramjam.DecompressionError) as error:
        raise SchemaMismatch(f"a record of the examples topic is damaged ({error}): it is left out") from None
    return body


def _parts(raw: memoryview, rows: int, beside: int) -> Body:
    columns = layout(rows, beside)
    if len(raw) < columns.itemsize:
        raise ValueError(f"{len(raw)} bytes of columns where there should be {columns.itemsize}")
    own, rest = raw[: columns.itemsize], raw[columns.itemsize :]
    size = 4 * count_of(np.frombuffer(own, columns)[0]["differs"]) if rows else 0
    return Body(own, rest[:size], texts_from_bytes(rest[size:], 2 * rows))


def _parts_of_before(raw: memoryview, rows: int, beside: int) -> Body:
    """Return the parts as they would be written today."""
    if len(raw) <= _SIZE.size or _SIZE.unpack_from(raw)[0] > RECORD_BYTES:
        raise ValueError("no size that a record can have")
    body, before = memoryview(cramjam.lz4.decompress_block(raw)), layout(rows, beside, compressed=True)
    texts = texts_from_bytes(body[before.itemsize :], 2 * rows)
    columns = np.zeros(1, layout(rows, beside))
    if not rows:
        return Body(memoryview(b""), memoryview(b""), texts)
    old = np.frombuffer(body[: before.itemsize], before)[0]
    for name in ("offset", "as_of", "logit", "weight", "segment", "kind", "beside"):
        columns[name] = old[name]
    columns["differs"], values = differences(old["vector"])
    return Body(memoryview(columns.tobytes()), memoryview(values.tobytes()), texts)


def _body(examples: Examples, lengths: NDArray[np.uint16]) -> Iterator[Piece]:
    differs, values = differences(examples.vectors)
    yield np.ascontiguousarray(examples.offset, "<i8").data
    yield np.ascontiguousarray(examples.as_of, "<i8").data
    yield np.ascontiguousarray(examples.logit, "<f8").data
    yield differs.data
    yield np.ascontiguousarray(examples.weight, "<f4").data
    yield np.ascontiguousarray(examples.segment, "<i2").data
    yield np.ascontiguousarray(examples.kind).data
    for said in examples.beside.values():
        yield np.ascontiguousarray(said, "<f8").data
    yield values.data
    yield texts_to_bytes(lengths, examples.event_id, examples.customer)

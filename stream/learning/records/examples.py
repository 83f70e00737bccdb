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
from stream.learning.records.header import (
    EXAMPLES,
    RECORD_BYTES,
    TIME_LIMIT,
    Header,
    check_offsets,
    check_times,
    pack,
    stretches,
    unpack,
)
from stream.learning.records.texts import lengths_of, texts_from_bytes, texts_to_bytes

# One example without its identifiers: offset, as_of, kind, weight, segment, logit and vector; then with two lengths.
_COLUMN_BYTES: Final = 8 + 8 + 1 + 4 + 2 + 8 + 4 * WIDTH
_FIXED_BYTES: Final = _COLUMN_BYTES + 4
_CHARACTER_BYTES: Final = 4  # of UTF-8, at most
_BESIDE_BYTES: Final = 8  # a probability of a bundle beside the one that is learned

# In front of a compressed body: its size, which is believed only as far as a record can be that large.
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
        Bytes that a record has at most, before compression.
    """
    ids, customers = lengths_of(examples.event_id), lengths_of(examples.customer)
    sizes = _FIXED_BYTES + _CHARACTER_BYTES * (ids.astype(np.int64) + customers)
    sizes += _BESIDE_BYTES * len(examples.beside)
    header = msgspec.structs.replace(header, beside=tuple(examples.beside))
    for rows, own in stretches(header, examples.offset, sizes, before, limit):
        lengths = np.concatenate([ids[rows], customers[rows]])
        yield pack(EXAMPLES, own, bytes(cramjam.lz4.compress_block(_body(examples[rows], lengths))))


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
    header, compressed = unpack(EXAMPLES, raw)
    if header.features != features:
        return ExampleRecord(header, None)
    rows = header.rows
    body, texts = opened(header, compressed)
    if not rows:
        return ExampleRecord(header, Examples.none())
    columns = np.frombuffer(body, layout(rows, len(header.beside)))[0]
    return ExampleRecord(
        header,
        Examples(
            np.full(rows, partition, np.int32),
            columns["offset"],
            texts[:rows],
            texts[rows:],
            columns["kind"],
            columns["as_of"],
            columns["weight"],
            columns["segment"].astype(np.int64),
            columns["logit"],
            columns["vector"],
            dict(zip(header.beside, columns["beside"], strict=True)) if header.beside else {},
        ),
    )


@lru_cache(maxsize=1024)
def layout(rows: int, beside: int = 0) -> np.dtype[np.void]:
    """Return the columns of a body with so many rows, and so many bundles beside, in front of its texts."""
    columns = [
        ("offset", "<i8", (rows,)),
        ("as_of", "<i8", (rows,)),
        ("logit", "<f8", (rows,)),
        ("vector", "<f4", (rows, WIDTH)),
        ("weight", "<f4", (rows,)),
        ("segment", "<i2", (rows,)),
        ("kind", "u1", (rows,)),
        ("beside", "<f8", (beside, rows)),
    ]
    return np.dtype(columns)


def opened(header: Header, compressed: memoryview, latest: int = TIME_LIMIT) -> tuple[memoryview, list[str]]:
    """Return the columns (see `layout`) and the texts of a body: event ids, then customers.

    Parameters
    ----------
    latest
        The latest time that the record can tell of, epoch ms.

    Raises
    ------
    SchemaMismatch
        It is damaged.
    """
    rows = header.rows
    size = (_COLUMN_BYTES + _BESIDE_BYTES * len(header.beside)) * rows
    try:
        if len(compressed) <= _SIZE.size or _SIZE.unpack_from(compressed)[0] > RECORD_BYTES:
            raise ValueError("no size that a record can have")
        body = memoryview(cramjam.lz4.decompress_block(compressed))
        texts = texts_from_bytes(body[size:], 2 * rows)
        if rows:
            check_offsets(header, np.frombuffer(body, "<i8", rows))
            check_times(np.frombuffer(body, "<i8", rows, 8 * rows), latest)
    except (ValueError, OverflowError, cramjam.DecompressionError) as error:
        raise SchemaMismatch(f"a record of the examples topic is damaged ({error}): it is left out") from None
    return body[:size], texts


def _body(examples: Examples, lengths: NDArray[np.uint16]) -> bytes:
    return b"".join(
        (
            examples.offset.astype("<i8").tobytes(),
            examples.as_of.astype("<i8").tobytes(),
            examples.logit.astype("<f8").tobytes(),
            np.ascontiguousarray(examples.vectors, "<f4").tobytes(),
            examples.weight.astype("<f4").tobytes(),
            examples.segment.astype("<i2").tobytes(),
            examples.kind.tobytes(),
            *(said.astype("<f8").tobytes() for said in examples.beside.values()),
            texts_to_bytes(lengths, examples.event_id, examples.customer),
        )
    )

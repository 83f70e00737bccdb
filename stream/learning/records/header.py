"""What a record of examples or outcomes starts with: the stretch of the events topic that it tells of.

::

    magic (4 bytes) | schema version (u16) | length of the header (u32) | header (MessagePack) | body

A batch of the scorer may be done again after a crash, cut differently, and even while its successor is at work. So
every record names the source offsets that it covers, and a reader takes each of them once, whoever tells of it first.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.decoding import Undecodable, decoded
from features.exceptions import SchemaMismatch
from features.watermark import BEGINNING

#: Event times end with the year 9999 (epoch ms).
TIME_LIMIT: Final = 253_402_300_800_000

# Raise the newest one whenever the meaning of a header or of a body changes. Where nobody logs in, outcomes are as they
# were in version 1, and are marked so: learners of before can read them. Examples of versions 1 (no bundle scored
# beside the live one) and 2 were compressed, and are still read.
_PLAIN, _BESIDE, _LINKED, _DIFFERENCES = 1, 2, 3, 4
_WITH_BESIDE: Final = (_BESIDE, _DIFFERENCES)
#: Bundles that score beside the live one, at most.
MOST_BESIDE: Final = 2

EXAMPLES: Final = b"PIex"
OUTCOMES: Final = b"PIoc"

#: A record, or what is compressed to one. The broker takes 1 MiB (`message.max.bytes`).
RECORD_BYTES: Final = 900_000

# Characters that the version of a bundle or of features has at most.
_NAME: Final = 200

# Offsets of a record that can be believed lie below.
_LIMIT: Final = 2**62

# What a record tells of has reached the broker before it, so no time in it is much later (ms) than its own arrival.
# Generous: clocks of brokers differ.
_AHEAD_MS: Final = 24 * 3_600_000

_NAMES: Final = {EXAMPLES: "examples", OUTCOMES: "outcomes"}
_NEWEST: Final = {EXAMPLES: _DIFFERENCES, OUTCOMES: _LINKED}
_START: Final = struct.Struct("<4sHI")


#: A piece of a record.
Piece = bytes | memoryview


class Header(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What every record says, examples and outcomes alike.

    Attributes
    ----------
    start, stop
        Source offsets that the record covers, ``start <= offset < stop``. Equal ones declare how far event time is
        without any event: the partition is idle.
    watermark
        Of the partition after ``stop``, epoch ms: no event that follows is older.
    closes
        Source offsets of the control records that end a replay: all before one is final.
    rows
        Examples, or outcomes, in the body.
    bundle, features
        Versions of the bundle that scored, and of its features.
    beside
        Versions of the bundles that scored beside it: the body has their probabilities. Always empty with outcomes.
    """

    start: int
    stop: int
    watermark: int
    closes: tuple[int, ...]
    rows: int
    bundle: str
    features: str
    beside: tuple[str, ...] = ()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Header)


def pack(magic: bytes, header: Header, *body: Piece, linked: bool = False) -> bytes:
    """Return a record, its body in pieces; ``linked``: it tells of linked ids (`stream.learning.records.outcomes`)."""
    head = _encoder.encode(header)
    version = _DIFFERENCES if magic == EXAMPLES else _LINKED if linked else _PLAIN
    return b"".join((_START.pack(magic, version, len(head)), head, *body))


class Unpacked(NamedTuple):
    """A record's header and body; ``compressed`` says whether the body is, as in examples of before."""

    header: Header
    body: memoryview
    compressed: bool


def unpack(magic: bytes, raw: bytes | None, latest: int = TIME_LIMIT) -> Unpacked:
    """Return a record's parts; ``latest`` is the latest time that it can tell of, epoch ms.

    Raises
    ------
    SchemaMismatch
        The record is none, is damaged, or was written by another version of this program.
    """
    name = _NAMES[magic]
    if raw is None or len(raw) < _START.size or raw[: len(magic)] != magic:
        raise SchemaMismatch(
            f"a record of the {name} topic begins with {bytes((raw or b'')[:6]).hex() or 'nothing'}: only workers may "
            "write to it; take another INTENT_TOPIC_PREFIX"
        )
    _, version, length = _START.unpack_from(raw)
    if not _PLAIN <= version <= _NEWEST[magic]:
        raise SchemaMismatch(
            f"a record of the {name} topic has schema version {version}, this program reads up to {_NEWEST[magic]}: "
            "run workers and learner of one version"
        )
    body = _START.size + length
    whole = memoryview(raw)
    try:
        header = decoded(_decoder.decode, whole[_START.size : body])
    except Undecodable as error:
        raise SchemaMismatch(f"a record of the {name} topic is damaged ({error}): it is left out") from None
    if not (
        0 <= header.start <= header.stop < _LIMIT
        and BEGINNING <= header.watermark <= latest
        and max(map(len, (header.bundle, header.features, *header.beside))) <= _NAME
        and len(header.beside) <= (MOST_BESIDE if version in _WITH_BESIDE else 0)
        and 0 <= header.rows <= min(header.stop - header.start, RECORD_BYTES)
        and (not header.closes or header.start <= min(header.closes) <= max(header.closes) < header.stop)
    ):
        raise SchemaMismatch(
            f"a record of the {name} topic is damaged (offsets {header.start} to {header.stop}, {header.rows} rows, "
            f"watermark {header.watermark}): it is left out"
        )
    return Unpacked(header, whole[body:], magic == EXAMPLES and version < _DIFFERENCES)


def latest_time(appended: int) -> int:
    """Return the latest time (epoch ms) that a record can tell of which Kafka ``appended`` then.

    Examples
    --------
    >>> latest_time(1_772_366_400_000)
    1772452800000
    """
    return (
        min(appended + _AHEAD_MS, TIME_LIMIT) if appended > 0 else TIME_LIMIT
    )  # Kafka says -1 for "unknown"


def check_times(times: NDArray[np.int64], latest: int) -> None:
    """Raise `ValueError` unless event times, at least one, lie between 1970 and ``latest`` (epoch ms)."""
    first, last = (int(times[0]),) * 2 if len(times) == 1 else (int(times.min()), int(times.max()))
    if not 0 <= first <= last <= latest:
        raise ValueError(f"event times {first} to {last}, where {latest} is possible at the latest")


def check_offsets(header: Header, offsets: NDArray[np.int64]) -> None:
    """Raise `ValueError` unless the source offsets of a record, at least one, rise and lie in its stretch."""
    first, last = int(offsets[0]), int(offsets[-1])
    if not header.start <= first <= last < header.stop or (
        len(offsets) > 1 and not (np.diff(offsets) > 0).all()
    ):
        raise ValueError(f"offsets {first} to {last} where it covers {header.start} to {header.stop}")


def stretches(
    header: Header, offsets: NDArray[np.int64], sizes: NDArray[np.int64], before: int, limit: int
) -> Iterator[tuple[slice, Header]]:
    """Cut a batch into records that the broker takes; yields at least one, each with its rows and its header.

    Parameters
    ----------
    header
        Of the whole batch; ``rows`` is filled in here.
    offsets, sizes
        Source offset and encoded size (bytes) of each row.
    before
        The watermark before the batch: all that a record other than the last may promise.
    limit
        Bytes that a record has at most.
    """
    if int(sizes.sum()) <= limit:
        yield slice(0, len(sizes)), msgspec.structs.replace(header, rows=len(sizes))
        return
    ends = np.cumsum(sizes)
    cuts = [0]
    while ends[-1] - (filled := int(ends[cuts[-1]] - sizes[cuts[-1]])) > limit:
        cuts.append(max(int(np.searchsorted(ends, filled + limit, side="right")), cuts[-1] + 1))
        if cuts[-1] == len(sizes):
            cuts.pop()
            break
    bounds = [header.start, *(int(offsets[cut]) for cut in cuts[1:]), header.stop]
    cuts.append(len(offsets))
    for (low, high), (start, stop) in zip(pairwise(cuts), pairwise(bounds), strict=True):
        own = Header(
            start,
            stop,
            header.watermark if stop == header.stop else before,
            tuple(at for at in header.closes if start <= at < stop),
            high - low,
            header.bundle,
            header.features,
            header.beside,
        )
        yield slice(low, high), own

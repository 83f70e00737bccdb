"""A snapshot: named arrays and JSON in one piece of bytes, with a schema version. No pickle.

::

    8 bytes    magic
    4 bytes    length of the head, little endian
    head       JSON: schema version, meta, and name, type and shape of each array
    arrays     raw, little endian, in the order of the head
    8 bytes    seal of all of this (`features.sealing`); not where the magic is that of earlier versions

Equal contents give equal bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.decoding import Undecodable, decoded
from features.exceptions import IntentError
from features.sealing import sealed, unsealed

#: Layout of what learners write; another one is refused.
SCHEMA_VERSION: Final = 1

_MAGIC: Final = b"INTLEAR2"
_UNSEALED: Final = b"INTLEARN"  # of earlier versions
_HEAD_AT: Final = len(_MAGIC) + 4
_TYPES: Final = frozenset({"<f8", "<f4", "<i8", "<i4", "|u1"})


class SnapshotError(IntentError):
    """A snapshot is damaged, or was written by another version of this program or for another bundle."""


@contextmanager
def snapshot_errors() -> Iterator[None]:
    """Translate what using a snapshot raises that has lost, or never had, what it should hold.

    Raises
    ------
    SnapshotError
        It is damaged.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, msgspec.MsgspecError) as error:
        raise SnapshotError(
            f"the learner's snapshot is damaged, a part is missing or no longer itself ({error}): "
            "restore it from a backup of Redis, or run `intent learner --start-over`"
        ) from error


class _Part(msgspec.Struct, frozen=True, array_like=True):
    name: str
    type: str
    shape: tuple[int, ...]


class _Head(msgspec.Struct, frozen=True):
    schema: int
    meta: dict[str, Any]
    arrays: list[_Part]


_decode_head = msgspec.json.Decoder(_Head).decode


class Snapshot:
    """All of a learner at one point: what it needs to continue, and what scorers need.

    Parameters
    ----------
    arrays
        By name.
    meta
        JSON values by name; `with_meta` adds to them (a learner's cursors, for instance).
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> None:
        self.arrays = dict(arrays)
        self.meta = dict(meta)

    @property
    def version(self) -> int:
        """Number of mini-batches learned."""
        return int(self.meta["version"])

    def with_meta(self, **entries: Any) -> Self:
        """Return the same snapshot with more entries in its meta."""
        return type(self)(self.arrays, self.meta | entries)

    def under(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Return the arrays whose name begins with ``prefix/``, without it."""
        start = prefix + "/"
        return {name[len(start) :]: array for name, array in self.arrays.items() if name.startswith(start)}

    def to_bytes(self) -> bytes:
        """Return the snapshot as bytes."""
        parts, pieces = [], []
        for name in sorted(self.arrays):
            array = np.ascontiguousarray(self.arrays[name])
            array = array.astype(array.dtype.newbyteorder("<"), copy=False)
            kind = "|u1" if array.dtype == np.uint8 else "<" + array.dtype.str[1:]
            if kind not in _TYPES:
                raise TypeError(f"array {name} of type {array.dtype} has no place in a snapshot")
            parts.append(_Part(name, kind, array.shape))
            pieces.append(array.tobytes())
        head = msgspec.json.encode(_Head(SCHEMA_VERSION, self.meta, parts), order="deterministic")
        return sealed(b"".join([_MAGIC, len(head).to_bytes(4, "little"), head, *pieces]))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote.

        Raises
        ------
        SnapshotError
            The bytes are damaged or of another schema version.
        """
        magic = data[: len(_MAGIC)]
        if magic not in (_MAGIC, _UNSEALED):
            raise SnapshotError(
                "the stored bytes are not a snapshot of the learner: run `intent learner --start-over`"
            )
        if magic == _MAGIC:
            content = unsealed(data)
            if content is None:
                raise SnapshotError(
                    "the learner's snapshot is damaged: its seal does not fit; restore it from a backup of Redis, or "
                    "run `intent learner --start-over`"
                )
            data = content
        length = int.from_bytes(data[len(_MAGIC) : _HEAD_AT], "little")
        try:
            head = decoded(_decode_head, data[_HEAD_AT : _HEAD_AT + length])
        except Undecodable as error:
            raise SnapshotError(f"the learner's snapshot is damaged: {error}") from None
        if head.schema != SCHEMA_VERSION:
            raise SnapshotError(
                f"the learner's snapshot has schema version {head.schema}, this program reads {SCHEMA_VERSION}: "
                "run the program that wrote it, or `intent learner --start-over`"
            )
        arrays: dict[str, NDArray[Any]] = {}
        at = _HEAD_AT + length
        for part in head.arrays:
            if part.type not in _TYPES or min(part.shape, default=0) < 0:
                raise SnapshotError(
                    f"the learner's snapshot is damaged: array {part.name} has type {part.type}"
                )
            kind = np.dtype(part.type)
            size = math.prod(part.shape) * kind.itemsize
            if at + size > len(data):
                raise SnapshotError(f"the learner's snapshot is damaged: it ends within array {part.name}")
            try:
                flat = np.frombuffer(data, kind, size // kind.itemsize, at) if size else np.zeros(0, kind)
                arrays[part.name] = flat.reshape(part.shape).copy()
            except (ValueError, OverflowError) as error:  # more dimensions than numpy knows, say
                raise SnapshotError(
                    f"the learner's snapshot is damaged: array {part.name}: {error}"
                ) from None
            at += size
        if at != len(data):
            raise SnapshotError(f"the learner's snapshot is damaged: {len(data) - at} bytes too many")
        return cls(arrays, head.meta)

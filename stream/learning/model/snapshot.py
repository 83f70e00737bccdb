"""A snapshot: named arrays and JSON in one piece of bytes, with a schema version. No pickle.

::

    8 bytes    magic
    4 bytes    length of the head, little endian
    head       JSON: schema version, meta, and name, type and shape of each array
    arrays     raw, little endian, in the order of the head

Equal contents give equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.exceptions import IntentError

#: Layout of what learners write; another one is refused.
SCHEMA_VERSION: Final = 1

_MAGIC: Final = b"INTLEARN"
_HEAD_AT: Final = len(_MAGIC) + 4
_TYPES: Final = frozenset({"<f8", "<f4", "<i8", "<i4", "|u1"})


class SnapshotError(IntentError):
    """A snapshot is damaged, or was written by another version of this program or for another bundle."""


class _Part(msgspec.Struct, frozen=True, array_like=True):
    name: str
    type: str
    shape: tuple[int, ...]


class _Head(msgspec.Struct, frozen=True):
    schema: int
    meta: dict[str, Any]
    arrays: list[_Part]


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
        return b"".join([_MAGIC, len(head).to_bytes(4, "little"), head, *pieces])

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote.

        Raises
        ------
        SnapshotError
            The bytes are damaged or of another schema version.
        """
        if data[: len(_MAGIC)] != _MAGIC:
            raise SnapshotError(
                "the stored bytes are not a snapshot of the learner: run `intent learner --start-over`"
            )
        length = int.from_bytes(data[len(_MAGIC) : _HEAD_AT], "little")
        try:
            head = msgspec.json.decode(data[_HEAD_AT : _HEAD_AT + length], type=_Head)
        except msgspec.DecodeError as error:
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
            size = int(np.prod(part.shape, dtype=np.int64)) * kind.itemsize
            if at + size > len(data):
                raise SnapshotError(f"the learner's snapshot is damaged: it ends within array {part.name}")
            arrays[part.name] = (
                np.frombuffer(data, kind, size // kind.itemsize, at).reshape(part.shape).copy()
            )
            at += size
        if at != len(data):
            raise SnapshotError(f"the learner's snapshot is damaged: {len(data) - at} bytes too many")
        return cls(arrays, head.meta)

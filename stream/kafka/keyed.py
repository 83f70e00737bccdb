"""Records that are to be written, as columns: keys and values lie in buffers, without an object for each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Self, overload

import numpy as np
from numpy.typing import NDArray

from features.compiled import kernel
from features.text_column import TextColumn, read_only

#: The length of what is null.
NULL: Final = -1


class ByteColumn(Sequence[bytes | None]):
    """Byte strings, or nulls, in a buffer.

    Parameters
    ----------
    data
        The buffer. What lies between the byte strings means nothing.
    at, length
        Where in the buffer each begins, and how many bytes it has: `NULL` for a null.

    Examples
    --------
    >>> column = ByteColumn.of([b"ada", None, b""])
    >>> column[0], list(column[1:])
    (b'ada', [None, b''])
    """

    __slots__ = ("at", "data", "length")

    def __init__(self, data: NDArray[np.uint8], at: NDArray[np.int64], length: NDArray[np.int64]) -> None:
        self.data = data
        self.at = at
        self.length = length

    @classmethod
    def of(cls, values: Sequence[bytes | None]) -> Self:
        """Return these byte strings as a column."""
        filled = [value or b"" for value in values]
        taken = np.fromiter(map(len, filled), np.int64, len(filled))
        null = np.fromiter((value is None for value in values), np.bool_, len(filled))
        at, data = np.cumsum(taken) - taken, np.frombuffer(b"".join(filled), np.uint8)
        return cls(data, at, np.where(null, NULL, taken))

    @classmethod
    def nulls(cls, count: int) -> Self:
        """Return so many nulls."""
        return cls(np.zeros(0, np.uint8), np.zeros(count, np.int64), np.full(count, NULL, np.int64))

    def take(self, rows: NDArray[np.intp]) -> Self:
        """Return the byte strings at these positions, in the same buffer."""
        return type(self)(self.data, self.at[rows], self.length[rows])

    def __len__(self) -> int:
        return len(self.at)

    @overload
    def __getitem__(self, index: int) -> bytes | None: ...

    @overload
    def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: int | slice) -> bytes | None | Self:
        if isinstance(index, slice):
            return type(self)(self.data, self.at[index], self.length[index])
        at, length = self.at[index], self.length[index]
        return None if length == NULL else self.data[at : at + length].tobytes()

    def __iter__(self) -> Iterator[bytes | None]:
        whole = self.data.tobytes()
        for at, length in zip(self.at.tolist(), self.length.tolist(), strict=True):
            yield None if length == NULL else whole[at : at + length]


class KeyedRecords(Sequence[tuple[str, bytes | None]]):
    """Records by their customers; a value that is null is a tombstone.

    Examples
    --------
    >>> records = KeyedRecords.of([("ada", b"{}"), ("bert", None)])
    >>> records[0], list(records[1:])
    (('ada', b'{}'), [('bert', None)])
    """

    __slots__ = ("keys", "values")

    def __init__(self, keys: TextColumn, values: ByteColumn) -> None:
        self.keys = keys
        self.values = values

    @classmethod
    def of(cls, records: Iterable[tuple[str, bytes | None]]) -> Self:
        """Return these records as columns."""
        listed = list(records)
        return cls(TextColumn.of(key for key, _ in listed), ByteColumn.of([value for _, value in listed]))

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, index: int) -> tuple[str, bytes | None]: ...

    @overload
    def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: int | slice) -> tuple[str, bytes | None] | Self:
        if isinstance(index, slice):
            return type(self)(self.keys[index], self.values[index])
        return self.keys[index], self.values[index]

    def __iter__(self) -> Iterator[tuple[str, bytes | None]]:
        return zip(self.keys, self.values, strict=True)


class Strings(NamedTuple):
    """A column as kernels take it; see `strings`."""

    data: NDArray[np.uint8]
    at: NDArray[np.int64]
    length: NDArray[np.int64]


def strings(column: TextColumn | ByteColumn) -> Strings:
    """Return a column contiguous and for reading alone: numba compiles a kernel for each kind of its arguments."""
    return Strings(*(read_only(np.ascontiguousarray(own)) for own in (column.data, column.at, column.length)))


@kernel
def copy_string(column: Strings, row: int, out: NDArray[np.uint8], at: int) -> int:  # pragma: no cover
    """Copy a byte string, nothing of a null; return where it ends.

    Places are unsigned, so that numba does not count negative ones from the end: that takes ten times as long.
    """
    end: int = at + max(column.length[row], 0)
    source, target = np.uint64(column.at[row]), np.uint64(at)
    for i in range(np.uint64(end - at)):
        out[target + i] = column.data[source + i]
    return end

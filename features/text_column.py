"""A column of texts as bytes in a buffer: what a list of ``str`` is, without an object for each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array for reading alone, wherever it comes from: numba compiles a kernel for each kind of arrays."""
    if array.flags.writeable:
        array = array.view()
        array.flags.writeable = False
    return array


class TextColumn(Sequence[str]):
    """Texts in UTF-8. Where one is asked for, it becomes a ``str``.

    Parameters
    ----------
    data
        The buffer. What lies between the texts means nothing.
    at, length
        Where in the buffer each text begins, and how many bytes it has.

    Examples
    --------
    >>> column = TextColumn.of(["ada", "bert"])
    >>> column[1], list(column.take(np.array([1, 0])))
    ('bert', ['bert', 'ada'])
    """

    __slots__ = ("at", "data", "length")

    def __init__(self, data: NDArray[np.uint8], at: NDArray[np.int64], length: NDArray[np.int64]) -> None:
        self.data = read_only(data)
        self.at = at
        self.length = length

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """Return these texts as a column."""
        encoded = [text.encode() for text in texts]
        length = np.fromiter(map(len, encoded), np.int64, len(encoded))
        return cls(np.frombuffer(b"".join(encoded), np.uint8), np.cumsum(length) - length, length)

    @classmethod
    def joined(cls, columns: Sequence[Sequence[str]]) -> Self:
        """Return the texts of all columns, one after the other."""
        whole = [column if isinstance(column, TextColumn) else cls.of(column) for column in columns]
        starts = np.cumsum([0, *(len(column.data) for column in whole[:-1])])
        return cls(
            np.concatenate([column.data for column in whole]),
            np.concatenate([column.at + start for column, start in zip(whole, starts, strict=True)]),
            np.concatenate([column.length for column in whole]),
        )

    def __len__(self) -> int:
        return len(self.at)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: int | slice) -> str | Self:
        if isinstance(index, slice):
            return type(self)(self.data, self.at[index], self.length[index])
        at = self.at[index]
        return self.data[at : at + self.length[index]].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        if not len(self):
            return iter(())
        ends, first = self.at + self.length, int(self.at.min())
        around = self.data[first : ends.max()].tobytes()
        bounds = zip((self.at - first).tolist(), (ends - first).tolist(), strict=True)
        return (around[start:end].decode() for start, end in bounds)

    def take(self, rows: NDArray[np.intp]) -> Self:
        """Return the texts at these positions, in the same buffer."""
        return type(self)(self.data, self.at[rows], self.length[rows])


def taken(texts: Sequence[str], rows: NDArray[np.intp]) -> Sequence[str]:
    """Return the texts at these positions."""
    return texts.take(rows) if isinstance(texts, TextColumn) else [texts[row] for row in rows.tolist()]

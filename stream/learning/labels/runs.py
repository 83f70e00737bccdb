"""Rows that come a few at a time and are asked for in order: a handful of sorted runs (a log-structured merge).

A new run is merged with the one before it as soon as it is half as long. So there are only about log2(rows) runs, and
every row is copied about log2(rows) times in all, however few rows come at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Columns of equal length. The first is what rows are sorted by first.
Columns = tuple[NDArray[Any], ...]

_NO_OFFSET: Final = -1


class _Run(NamedTuple):
    columns: Columns
    held: int  # rows of the arrays that these are a part of
    last: int  # the highest offset


class SortedRuns:
    """Rows as columns, kept in order.

    Parameters
    ----------
    dtypes
        Of the columns.
    order
        Returns the positions of rows in order. It has to be stable where it does not look at all columns.
    offset
        Which column holds source offsets.
    """

    def __init__(
        self, dtypes: Sequence[type], order: Callable[[Columns], NDArray[np.intp]], offset: int
    ) -> None:
        self._none: Columns = tuple(np.zeros(0, dtype) for dtype in dtypes)
        self._order = order
        self._offset = offset
        self._needed = _NO_OFFSET
        self._runs: list[_Run] = []

    def __len__(self) -> int:
        return sum(len(run.columns[0]) for run in self._runs)

    def __iter__(self) -> Iterator[Columns]:
        return (run.columns for run in self._runs)

    def add(self, columns: Columns) -> None:
        """Take further rows; their offsets are higher than those of the rows before."""
        if len(columns[0]):
            self._runs.append(self._run(_taken(columns, self._order(columns))))
        while len(self._runs) > 1 and 2 * self._length(-1) > self._length(-2):
            newer, older = self._runs.pop(), self._runs.pop()
            both = self._still_needed(_joined([older.columns, newer.columns]))
            if len(both[0]):
                self._runs.append(self._run(_taken(both, self._order(both))))

    def pop_below(self, bound: int | None) -> Columns:
        """Return, in order, the rows whose first column is below ``bound``, by default all, and drop them."""
        popped: list[Columns] = []
        left: list[_Run] = []
        for columns, held, last in self._runs:
            rows = len(columns[0])
            at = rows if bound is None else int(np.searchsorted(columns[0], bound))
            if at:
                popped.append(tuple(column[:at] for column in columns))
            if at == rows:
                continue
            rest = tuple(column[at:] for column in columns)
            if 2 * (rows - at) < held:  # a view keeps the whole array alive
                rest, held = tuple(column.copy() for column in rest), rows - at  # noqa: PLW2901
            left.append(_Run(rest, held, last))
        self._runs = left
        if not popped:
            return self._none
        joined = _joined(popped)
        return _taken(joined, self._order(joined))

    def forget(self, offset: int) -> None:
        """Drop the rows before a source offset, those at once that cost no work and the others with the next merge."""
        self._needed = offset
        self._runs = [run for run in self._runs if run.last >= offset]

    @property
    def lowest(self) -> int | None:
        """The lowest value of the first column, ``None`` without rows."""
        return min((int(run.columns[0][0]) for run in self._runs), default=None)

    def _run(self, columns: Columns) -> _Run:
        return _Run(columns, len(columns[0]), int(columns[self._offset].max()))

    def _length(self, at: int) -> int:
        return len(self._runs[at].columns[0])

    def _still_needed(self, columns: Columns) -> Columns:
        if self._needed == _NO_OFFSET:
            return columns
        return tuple(column[columns[self._offset] >= self._needed] for column in columns)


def _joined(parts: Sequence[Columns]) -> Columns:
    return (
        parts[0] if len(parts) == 1 else tuple(np.concatenate(column) for column in zip(*parts, strict=True))
    )


def _taken(columns: Columns, rows: NDArray[np.intp]) -> Columns:
    return tuple(column[rows] for column in columns)

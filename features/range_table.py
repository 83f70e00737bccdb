"""The ranges that several rules ask for, as one table, and the kernel that asks all of them of every row at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from features.compiled import kernel
from features.ranges import Range
from features.vector import COLUMN_NAMES, Vectors

#: Rules in one table, at most: each is a bit of a number.
MAX_RULES: Final = 62

_AT: Final = {name: at for at, name in enumerate(COLUMN_NAMES)}
_OTHER: Final = -1  # in the place of a column: the further value of each row


class RangeTable(NamedTuple):
    """Ranges of columns by rule: those of rule ``r`` stand from ``starts[r]`` to ``starts[r + 1]``."""

    starts: NDArray[np.int64]
    columns: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    low_open: NDArray[np.bool_]
    high_open: NDArray[np.bool_]

    @classmethod
    def of(cls, rules: Sequence[Mapping[str, Range]], other: str = "") -> Self:
        """Return the table of rules, each of which asks for ranges of columns by their names.

        Parameters
        ----------
        other
            How rules call the further value of a row, which is no column.
        """
        if len(rules) > MAX_RULES:
            raise ValueError(f"{len(rules)} rules are too many for one table; use at most {MAX_RULES}")
        asked = [(name, found) for ranges in rules for name, found in ranges.items()]
        columns = [_OTHER if name == other else _AT[name] for name, _ in asked]
        bounds = [(found.low, found.high) for _, found in asked]
        table = np.array(bounds, np.float64).reshape(-1, 2)
        own = np.array(columns, np.int64) != _OTHER
        with np.errstate(over="ignore"):  # beyond all that columns hold
            table[own] = table[own].astype(np.float32)  # columns are compared as what they are
        return cls(
            np.cumsum([0, *map(len, rules)]),
            np.array(columns, np.int64),
            table[:, 0].copy(),
            table[:, 1].copy(),
            np.array([found.low_open for _, found in asked], np.bool_),
            np.array([found.high_open for _, found in asked], np.bool_),
        )

    def held(self, vectors: Vectors, other: NDArray[np.float64] | None = None) -> NDArray[np.int64]:
        """Return for each row the rules of which all ranges hold, as bits; what is no number is in no range.

        Parameters
        ----------
        other
            The further value of each row; rules that ask for it need it.
        """
        bits = np.zeros(len(vectors), np.int64)
        if len(self.starts) > 1 and len(vectors):
            _hold(vectors, _NOTHING if other is None else other, *self, bits)
        return bits


_NOTHING: Final = np.zeros(0, np.float64)


@kernel
def _hold(
    vectors: Vectors,
    other: NDArray[np.float64],
    starts: NDArray[np.int64],
    columns: NDArray[np.int64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    low_open: NDArray[np.bool_],
    high_open: NDArray[np.bool_],
    bits: NDArray[np.int64],
) -> None:  # pragma: no cover
    for i in range(len(bits)):
        held = 0
        for r in range(len(starts) - 1):
            inside = True
            for k in range(starts[r], starts[r + 1]):
                value = other[i] if columns[k] < 0 else np.float64(vectors[i, columns[k]])
                above = value > low[k] if low_open[k] else value >= low[k]
                below = value < high[k] if high_open[k] else value <= high[k]
                if not (above and below):
                    inside = False
                    break
            if inside:
                held |= 1 << r
        bits[i] = held

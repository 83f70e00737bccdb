"""How columns were distributed in training: what drift of a population is measured against."""

from __future__ import annotations

from typing import Final, Self

import numpy as np
from msgspec import Struct

from features.exceptions import BundleError
from features.vector import COLUMN_NAMES, Vectors

#: Bins of a column, where its values allow as many.
DECILES: Final = 10


class ColumnReference(Struct, frozen=True):
    """Bins of a column by its deciles: bin k holds what is above edge k - 1 and at most edge k.

    A column with frequent values (0, "never") has fewer edges. ``shares`` has one element more than ``edges``.
    """

    edges: list[float]
    shares: list[float]


class Reference(Struct, frozen=True):
    """The reference of every column, by name.

    Examples
    --------
    >>> vectors = np.zeros((100, len(COLUMN_NAMES)), np.float32)
    >>> vectors[:, 0] = np.arange(100)
    >>> reference = Reference.of(vectors)
    >>> reference.columns[COLUMN_NAMES[0]].edges[:3], reference.columns[COLUMN_NAMES[1]].edges
    ([9.0, 19.0, 29.0], [0.0])
    """

    columns: dict[str, ColumnReference]

    def __post_init__(self) -> None:
        for name, column in self.columns.items():
            if name not in COLUMN_NAMES or len(column.shares) != len(column.edges) + 1:
                raise BundleError(f"the bundle's reference of column {name!r} is damaged: train again")

    @classmethod
    def of(cls, vectors: Vectors) -> Self:
        """Return the reference of vectors, shape ``(examples, WIDTH)``."""
        columns = {}
        for at, name in enumerate(COLUMN_NAMES):
            values = np.sort(vectors[:, at])
            places = np.arange(1, DECILES) * len(values) // DECILES - 1
            edges = np.unique(values[np.maximum(places, 0)])
            below = np.searchsorted(values, edges, side="right")
            shares = np.diff(np.concatenate([[0], below, [len(values)]])) / len(values)
            columns[name] = ColumnReference([float(edge) for edge in edges], [float(s) for s in shares])
        return cls(columns)

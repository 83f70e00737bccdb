"""Examples and outcomes of a partition that are in memory, and how rows are picked from them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.learning.labels.cursors import Cursor, Key
from stream.learning.labels.labelling import Labeller
from stream.learning.records.examples import Examples, concatenate


@dataclass(slots=True)
class Chunk:
    """Examples of one record and one generation; ``before`` is the cursor from which they would be read again."""

    before: Cursor
    generation: int
    examples: Examples
    customer: NDArray[np.uint64]
    left: NDArray[np.intp]  # the rows that were not learned yet
    oldest: int  # as_of

    def drop_learned(self, learned: Key | None) -> None:
        """Keep only the rows that come after ``learned``."""
        rows = self.beyond(learned)
        if len(rows) < len(self.left):
            self.left = rows
            self.oldest = int(self.examples.as_of[rows].min()) if len(rows) else 0

    def beyond(self, learned: Key | None) -> NDArray[np.intp]:
        """Return the rows left that come after ``learned``."""
        if learned is None or self.generation > learned.generation:
            return self.left
        if self.generation < learned.generation:
            return self.left[:0]
        if self.oldest > learned.as_of:
            return self.left
        as_of = self.examples.as_of[self.left]
        partition = int(self.examples.partition[0])
        if partition == learned.partition:
            later = self.examples.offset[self.left] > learned.offset
        else:
            later = np.full(len(as_of), partition > learned.partition)
        rows: NDArray[np.intp] = self.left[(as_of > learned.as_of) | ((as_of == learned.as_of) & later)]
        return rows

    def first_offset(self, learned: Key | None) -> int | None:
        """Return the source offset of the first row that comes after ``learned``."""
        rows = self.beyond(learned)
        return int(self.examples.offset[rows[0]]) if len(rows) else None


@dataclass(slots=True)
class Buffered:
    """What was read of one partition and may still be needed."""

    examples: Cursor
    outcomes: Cursor
    chunks: list[Chunk] = field(default_factory=list)
    labellers: dict[int, Labeller] = field(default_factory=dict)
    # Outcome records: the cursor before each, and the source offset up to which it covers outcomes.
    covered: deque[tuple[Cursor, int]] = field(default_factory=deque)

    def needed_from(self, learned: Key | None) -> int:
        """Return the source offset from which on outcomes are needed."""
        firsts = (chunk.first_offset(learned) for chunk in self.chunks)
        return min([self.examples.covered, *(first for first in firsts if first is not None)])


class Rows(NamedTuple):
    """Rows that could be released: where they are, and their place in the order."""

    chunk: NDArray[np.intp]
    row: NDArray[np.intp]
    as_of: NDArray[np.int64]
    partition: NDArray[np.int32]
    offset: NDArray[np.int64]
    customer: NDArray[np.uint64]

    def take(self, at: NDArray[np.intp] | NDArray[np.bool_]) -> Rows:
        """Return these rows."""
        columns: list[Any] = [column[at] for column in self]
        return Rows(*columns)


def final_rows(chunks: Sequence[Chunk], generation: int, until: int | None) -> Rows:
    """Return the rows of a generation older than ``until``, those cancelled left out, in order."""
    parts: list[list[Any]] = [[] for _ in Rows._fields]
    for number, chunk in enumerate(chunks):
        if chunk.generation != generation:
            continue
        rows, at = chunk.examples, chunk.left
        if until is not None:
            at = at[rows.as_of[at] < until] if chunk.oldest < until else at[:0]
        if len(at):
            columns = (rows.as_of, rows.partition, rows.offset, chunk.customer)
            for part, column in zip(
                parts, (np.full(len(at), number), at, *(c[at] for c in columns)), strict=True
            ):
                part.append(column)
    if not parts[0]:
        nothing: list[Any] = [np.zeros(0, np.int64)] * len(Rows._fields)
        return Rows(*nothing)
    found = Rows(*[np.concatenate(part) for part in parts])
    return found.take(np.lexsort((found.offset, found.partition, found.as_of)))


def gathered(chunks: Sequence[Chunk], chunk: NDArray[np.intp], row: NDArray[np.intp]) -> Examples:
    """Return the examples at these places, in this order."""
    order = np.argsort(chunk, kind="stable")
    numbers, starts = np.unique(chunk[order], return_index=True)
    parts = [
        chunks[number].examples.take(row[order[low:high]])
        for number, (low, high) in zip(
            numbers.tolist(), pairwise([*starts.tolist(), len(order)]), strict=True
        )
    ]
    back = np.empty(len(order), np.intp)
    back[order] = np.arange(len(order))
    return concatenate(parts).take(back)

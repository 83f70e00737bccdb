"""How far a topic's partition has been read, in terms of Kafka's offsets, of source offsets and of event time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from features.watermark import BEGINNING
from stream.learning.records.header import Header

#: Before the first record nobody knows which source offset comes first.
UNKNOWN: Final = -1


class Moment(NamedTuple):
    """A moment of event time; what a control record closes comes before all that follows it, whatever its time.

    Attributes
    ----------
    generation
        How many control records came before.
    time
        Epoch ms.
    """

    generation: int
    time: int


class Key(NamedTuple):
    """The place of an example in the one order in which examples are learned."""

    generation: int
    as_of: int
    partition: int
    offset: int


class Cursor(NamedTuple):
    """Where reading a partition of the examples or outcomes topic continues, and what was known there.

    Attributes
    ----------
    next
        Kafka's offset of the first record that was not read; `UNKNOWN` = the earliest.
    covered
        Source offset up to which everything was taken; `UNKNOWN` before any record.
    generation, watermark
        See `Moment`; no event that follows is older.
    """

    next: int = UNKNOWN
    covered: int = UNKNOWN
    generation: int = 0
    watermark: int = BEGINNING

    @property
    def moment(self) -> Moment:
        """How far event time is."""
        return Moment(self.generation, self.watermark)


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """From where a restart re-reads everything that was not learned yet, and nothing that was counts twice.

    Attributes
    ----------
    learned
        Examples up to this place, in the order of keys, were learned (or will never be); ``None`` before any.
    examples, outcomes
        The cursors of each partition.
    """

    learned: Key | None
    examples: Sequence[Cursor]
    outcomes: Sequence[Cursor]

    @classmethod
    def beginning(cls, partitions: int) -> Progress:
        """Return the progress before anything was read."""
        return cls(learned=None, examples=[Cursor()] * partitions, outcomes=[Cursor()] * partitions)


class Place(msgspec.Struct, frozen=True):
    """Where the examples of another bundle begin; ``since`` is how far event time was then (epoch ms)."""

    since: int
    progress: Progress


class NewRows(NamedTuple):
    """What of a record has not been taken before.

    Attributes
    ----------
    since
        Rows from this source offset on are new.
    gap
        Where a stretch that no record covers starts, `UNKNOWN` if there is no such stretch.
    closes
        Source offsets of the new control records.
    """

    since: int
    gap: int
    closes: tuple[int, ...]


def take(cursor: Cursor, header: Header) -> tuple[Cursor, NewRows | None]:
    """Return the cursor behind a record (its ``next`` is left to the caller), and what of the record is new.

    A repeated record changes nothing; one that repeats in part counts from where the others ended.
    """
    covered = cursor.covered
    if header.stop < covered or (header.stop == covered and header.start < covered):
        return cursor, None
    closes = tuple(at for at in header.closes if at >= covered)
    behind = Cursor(cursor.next, header.stop, cursor.generation + len(closes), header.watermark)
    gap = covered if UNKNOWN < covered < header.start else UNKNOWN
    return behind, NewRows(max(covered, header.start), gap, closes)

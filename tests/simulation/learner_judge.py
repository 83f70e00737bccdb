"""What must be true of each snapshot that learners save, and of the last one."""

from __future__ import annotations

from collections.abc import Set
from typing import NamedTuple

from stream.learning.model.snapshot import Snapshot
from tests.simulation.ledger import Rows, difference, rows_of
from tests.simulation.topics import Topics

#: Topic, partition and offset of a record.
Place = tuple[str, int, int]


class Change(NamedTuple):
    """A topic that is another one since; where it was only cut, of which partition, and how many records it kept."""

    topic: str
    partition: int | None = None
    kept: int = 0


class Judge:
    """Judges snapshots.

    Parameters
    ----------
    wanted
        What has to be learned.
    strays
        Records that are none of ours: each must become a letter.
    """

    def __init__(self, wanted: Rows, strays: Set[Place]) -> None:
        self._wanted = wanted
        self._strays = strays

    def wrong(self, former: bytes | None, new: bytes, letters: Set[Place]) -> str:
        """Return what is wrong with a snapshot that replaces another, empty if nothing is."""
        snapshot = Snapshot.from_bytes(new)
        rows, before = rows_of(snapshot), 0 if former is None else len(rows_of(Snapshot.from_bytes(former)))
        if found := difference(rows, self._wanted):
            return found
        if len(rows) < before:
            return f"a snapshot of {before} examples was replaced by one of {len(rows)}"
        progress = snapshot.meta["progress"]
        passed = {stray for stray in self._strays if stray[2] < progress[stray[0]][stray[1]][0]}
        if unwritten := passed - letters:
            return f"a snapshot is past {sorted(unwritten)}, which are no letters yet"
        return ""

    def complete(self, stored: bytes, topics: Topics, changed: Change | None) -> bool:
        """Whether a snapshot holds everything, learned from the logs as they are now."""
        snapshot = Snapshot.from_bytes(stored)
        rows = rows_of(snapshot)
        if len(rows) < len(self._wanted) or difference(rows, self._wanted):
            return False
        if changed is None:
            return True
        topic, partition, kept = changed
        marks = snapshot.meta["logs"][topic]
        if partition is None:
            return bool(marks["id"] == topics.ids[topic].hex())
        place, *_ = snapshot.meta["progress"][topic][partition]
        return bool(place <= kept or marks["epochs"][partition] == topics.written[topic, partition][-1].epoch)

    def where(self, stored: bytes | None) -> str:
        """Return how far a snapshot is, for people."""
        if stored is None:
            return "there is no snapshot"
        snapshot = Snapshot.from_bytes(stored)
        rows = rows_of(snapshot)
        return (
            f"{len(rows)} of {len(self._wanted)} learned, {difference(rows, self._wanted)}, "
            f"{snapshot.meta['logs']}, {snapshot.meta['progress']}"
        )

"""The learner's two topics in memory, as workers leave them that crash now and then, and what may befall them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter
from random import Random
from typing import Final, NamedTuple

from features.vector import schema_hash
from stream.learning.learning import TOPICS
from stream.learning.learning import Source as Place
from tests.stream.learning.histories import Source, records

#: Several workers have written them, in batches of up to so many events.
_LARGEST: Final = 8

# A batch of the scorer becomes several records where it is larger than this.
_RECORD_BYTES: Final = 1500

STRAY: Final = b"stray"

_CRASHED: Final = 0.2  # how often a worker crashes in a batch

#: Virtual seconds until all has been written.
WRITTEN: Final = 12.0

_at, _epoch = attrgetter("at"), attrgetter("epoch")


class Written(NamedTuple):
    """A record.

    Attributes
    ----------
    value
        What is read.
    low
        Position of the first happening of the scorer's batch that it is from.
    epoch
        Leader epoch.
    at
        When it was written, virtual seconds.
    """

    value: bytes
    low: int
    epoch: int
    at: float


class Topics:
    """Both topics.

    Parameters
    ----------
    chance
        Decides how the workers' batches were cut, and which were written again.
    made
        What happened, by partition.
    bundle
        Version of the bundle that scored.
    stray
        How often a record is none of ours.

    Attributes
    ----------
    ids
        Of each topic.
    written
        By topic and partition.
    """

    def __init__(self, chance: Random, made: Sequence[Source], bundle: str, *, stray: float) -> None:
        self.ids = {topic: f"first {topic}".encode().ljust(16) for topic in TOPICS}
        self._chance = chance
        self._made = made
        self._bundle = bundle
        self._stray = stray
        self.written = {
            (topic, source.partition): self._write(topic, source) for topic in TOPICS for source in made
        }

    def strays(self) -> set[tuple[str, int, int]]:
        """Return topic, partition and offset of the records that are none of ours."""
        return {
            (*place, offset)
            for place, records in self.written.items()
            for offset, one in enumerate(records)
            if one.value == STRAY
        }

    def end(self, place: Place, now: float) -> int:
        """Return the offset after the last record that is written by now (virtual seconds)."""
        return bisect_right(self.written[place], now, key=_at)

    def epoch_end(self, place: Place, epoch: int, now: float) -> int:
        """Return the offset after the last record of a leader epoch, or of the last one before it."""
        return min(self.end(place, now), bisect_right(self.written[place], epoch, key=_epoch))

    def set_back(self, topic: str, partition: int, lost: int, now: float) -> int:
        """Lose the newest records of a partition, which are written again in the next leader epoch, cut otherwise.

        Returns
        -------
        int
            How many are left.
        """
        before = self.written[topic, partition]
        kept = max(0, self.end((topic, partition), now) - lost)
        if kept < len(before):
            one = before[kept]
            following = self._write(topic, self._made[partition], one.low, before[-1].epoch + 1, now)
            self.written[topic, partition] = [*before[:kept], *following]
        return kept

    def make_again(self, topic: str, now: float) -> None:
        """Delete a topic and create it again; workers have written everything again, cut otherwise."""
        self.ids[topic] = f"second {topic}".encode().ljust(16)
        for source in self._made:
            self.written[topic, source.partition] = self._write(topic, source, now=now)

    def _write(
        self, topic: str, source: Source, start: int = 0, epoch: int = 0, now: float = 0.0
    ) -> list[Written]:
        """Return what is written from a position on, some of it twice; after a crash any part of a batch is there."""
        chance, total = self._chance, len(source.happenings)
        written: list[tuple[bytes, int]] = []
        low = start
        while low < total:
            high = min(total, low + chance.randint(1, _LARGEST))
            limit = chance.choice((10 * _RECORD_BYTES, _RECORD_BYTES))
            both = records(source, low, high, limit, self._bundle, schema_hash())
            values = both[TOPICS.index(topic)]
            crashed = chance.random() < _CRASHED
            for value in values[: chance.randint(0, len(values)) if crashed else None]:
                if chance.random() < self._stray:
                    written.append((STRAY, low))
                written.append((value, low))
            low = max(start, low - chance.choice((0, 0, 5))) if crashed else high
        seconds = max(WRITTEN - now, 3.0) / max(len(written), 1)
        return [
            Written(value, low, epoch, now + seconds * number) for number, (value, low) in enumerate(written)
        ]

"""The newest records of a topic in memory, shared by all who follow it: each of them only knows its place in it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from stream.messages.action import Action
from stream.messages.score import Score

#: Bytes of records that are kept, about: at 600 bytes a score, and 1,000 scores a second, more than half a minute.
RING_BYTES: Final = 32 << 20
# What a record costs besides its bytes, as Python objects.
_OVERHEAD: Final = 1_500


class Entry(NamedTuple):
    """A record of the topic: a message, or the tombstone of an erased customer.

    Attributes
    ----------
    partition, offset
        Where it stands.
    customer
        Its key.
    raw, message
        Its value as it is, and decoded; ``None`` for a tombstone.
    """

    partition: int
    offset: int
    customer: str
    raw: bytes | None
    message: Score | Action | None


class Ring:
    """Records in the order in which this process has read them.

    Parameters
    ----------
    bytes_max
        What is kept, about.

    Attributes
    ----------
    first, following
        The number of the oldest record that is kept, and that of the next one.
    """

    def __init__(self, bytes_max: int = RING_BYTES) -> None:
        self.first = self.following = 0
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._bytes_max = bytes_max
        self._news = asyncio.Event()

    def add(self, entry: Entry) -> None:
        """Take the next record, and let go of the oldest ones."""
        self._entries.append(entry)
        self._bytes += _size(entry)
        self.following += 1
        while self._bytes > self._bytes_max and len(self._entries) > 1:
            self._bytes -= _size(self._entries.popleft())
            self.first += 1

    def __iter__(self) -> Iterator[Entry]:
        """Return the records that are kept, the oldest first."""
        return iter(self._entries)

    def tell(self) -> None:
        """Wake all who wait for news."""
        self._news.set()
        self._news = asyncio.Event()

    def clear(self) -> None:
        """Let go of all records."""
        self._entries.clear()
        self._bytes, self.first = 0, self.following

    def since(self, number: int, most: int) -> list[Entry]:
        """Return up to ``most`` records from a number on, which must not lie below `first`."""
        if number < self.first:
            raise IndexError(f"record {number} is gone, {self.first} is the oldest one")
        start = number - self.first
        return list(islice(self._entries, start, start + most))

    async def wait(self, number: int, seconds: float) -> bool:
        """Wait until a record is there, or something else has happened; return whether that was so in time."""
        if number < self.following:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        return True


def _size(entry: Entry) -> int:
    return _OVERHEAD + len(entry.raw or b"")

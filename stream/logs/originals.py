"""The original records of dead letters that were cut."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Self

from stream.exceptions import TopicMismatch
from stream.kafka.reading import TopicReader
from stream.kafka.unreadable import own_headers
from stream.messages.dead_letter import DeadLetter
from stream.settings import Settings


class Originals:
    """Fetches records from where letters say that they stood.

    Parameters
    ----------
    settings
        Where Kafka is.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._readers: dict[str, TopicReader | None] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def whole(self, letter: DeadLetter) -> DeadLetter | None:
        """Return a letter with its original's key, value and headers; ``None`` if the original is not there.

        A record of the same coordinates in a topic that was made again is another one: its hash tells.
        """
        if not letter.cut:
            return letter
        reader = await self._reader(letter.topic)
        record = None if reader is None else await reader.record_at(letter.partition, letter.offset)
        if record is None or not letter.is_of(record):
            return None
        return letter._replace(
            key=record.key, value=record.value, original_headers=tuple(own_headers(record)), cut={}
        )

    async def _reader(self, topic: str) -> TopicReader | None:
        if topic not in self._readers:
            try:
                reader = await self._stack.enter_async_context(TopicReader(self._settings, topic))
            except TopicMismatch:  # there is no such topic
                self._readers[topic] = None
            else:
                self._readers[topic] = reader
        return self._readers[topic]

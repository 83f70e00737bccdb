"""The dead letters that a topic holds."""

from __future__ import annotations

from collections.abc import AsyncIterator

from stream.kafka.reading import TopicReader
from stream.messages.dead_letter import DeadLetter, parse
from stream.settings import Settings


async def read_letters(settings: Settings, reason: str | None = None) -> AsyncIterator[DeadLetter]:
    """Yield the dead letters that are there now, those of a partition in order.

    Parameters
    ----------
    reason
        Only letters with this reason.
    """
    async with TopicReader(settings, settings.dead_letters_topic) as reader:
        async for _, records in reader.read():
            for record in records:
                letter = parse(record)
                if letter is not None and reason in (None, letter.reason):
                    yield letter

"""The dead letters that a topic holds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from stream.kafka.reading import TopicReader
from stream.messages.dead_letter import DeadLetter, parse, parse_erasure
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


async def read_erasures(settings: Settings) -> dict[bytes, int]:
    """Return by key when (arrival, epoch ms) the customers that the dead-letter topic knows were last erased."""
    erasures: dict[bytes, int] = {}
    async with TopicReader(settings, settings.dead_letters_topic) as reader:
        async for _, records in reader.read():
            for record in records:
                erasure = parse_erasure(record)
                if erasure is not None:
                    erasures[erasure.key] = max(erasure.arrived_at, erasures.get(erasure.key, 0))
    return erasures


def is_erased(letter: DeadLetter, erasures: Mapping[bytes, int]) -> bool:
    """Whether a letter's customer was erased after the letter's record had arrived."""
    return letter.key is not None and letter.arrived_at <= erasures.get(letter.key, -1)

"""The dead letters that a topic holds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from operator import attrgetter
from typing import Final

from stream.kafka.reading import TopicReader
from stream.messages.dead_letter import DeadLetter, parse, parse_erasure
from stream.settings import Settings

# Records of a partition that `latest_letters` reads: at most 1 MB each, as a rule 1 kB.
_LATEST: Final = 1_000


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


async def latest_letters(settings: Settings, limit: int, reason: str | None = None) -> list[DeadLetter]:
    """Return the letters that came last, at most ``limit``, the newest last; those of erased customers are left out.

    Only the ends of the partitions are read: of letters with one reason, older ones than `_LATEST` are not seen.
    """
    found: list[DeadLetter] = []
    erasures: dict[bytes, int] = {}
    async with TopicReader(settings, settings.dead_letters_topic) as reader:
        starts = {partition: end - _LATEST for partition, end in reader.ends.items()}
        async for _, records in reader.read(starts):
            for record in records:
                erasure = parse_erasure(
                    record
                )  # stands behind the letters that it is about, in their partition
                if erasure is not None:
                    erasures[erasure.key] = max(erasure.arrived_at, erasures.get(erasure.key, 0))
                letter = parse(record)
                if letter is not None and reason in (None, letter.reason):
                    found.append(letter)
    found = [letter for letter in found if not is_erased(letter, erasures)]
    found.sort(key=attrgetter("arrived_at"))
    return found[-limit:]


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

"""Whether a log comes too late for a topic: beside newer events of a partition, old ones become dead letters."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from features.events import epoch_ms
from features.log import iterate_log
from features.watermark import MAX_AHEAD_MS
from stream.formats.decoding import decode_records
from stream.formats.registry import format_of
from stream.kafka.reading import TopicReader
from stream.kafka.records import arrival
from stream.kafka.unreadable import unreadable
from stream.settings import Settings

# Looked at from each partition's end to learn how far its event time has come: the last record may be a late
# event, a marker or no event at all.
_LAST_RECORDS: Final = 50

# Rows of the log to begin with: it is in order of arrival, so its first event time is near its beginning.
_FIRST_ROWS: Final = 20_000


class Overtaken(NamedTuple):
    """A log that the topic is ahead of: the log's first event time and the topic's newest one, epoch ms."""

    first_ms: int
    newest_ms: int


def overtaken(settings: Settings, log: Path) -> Overtaken | None:
    """Return how far a log's beginning lies behind the events topic, ``None`` if it is not too late for it.

    Too late is what is older than the topic's newest event by more than `Settings.lateness`. Which partition
    holds that event is not checked, so this is only a warning.

    Raises
    ------
    LogError
        The log cannot be read.
    BrokerError
        Kafka does not answer, or has no such topic.
    """
    tables = iterate_log(log, _FIRST_ROWS)
    first = next((pc.min(rows["event_time"].cast(pa.int64())).as_py() for rows in tables if len(rows)), None)
    newest = asyncio.run(_newest(settings))
    if first is None or newest is None or first >= newest - settings.lateness_ms:
        return None
    return Overtaken(first, newest)


async def _newest(settings: Settings) -> int | None:
    """Return the newest event time among the last records of each partition of the events topic."""
    newest, form = None, format_of(settings.format)
    async with TopicReader(settings, settings.events_topic) as reader:
        starts = {number: end - _LAST_RECORDS for number, end in reader.ends.items()}
        async for _, records in reader.read(starts):
            readable = [None if unreadable(record) else record.value for record in records]
            decoded = decode_records(records, readable, settings.decoding, form)
            for at, event in zip(decoded.indices, decoded.events, strict=True):
                time_ms = epoch_ms(event.event_time)
                # What is further ahead of its arrival is a dead letter itself.
                if time_ms <= arrival(records[at]) + MAX_AHEAD_MS and (newest is None or time_ms > newest):
                    newest = time_ms
    return newest

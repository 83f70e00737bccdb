"""Dead letters as the worker writes them."""

from __future__ import annotations

from aiokafka import ConsumerRecord

from features.events import Reason, Rejection
from stream.kafka.records import arrival
from stream.messages.dead_letter import dead_letter
from stream.settings import Settings
from tests.integration.topics import Record, write

NOON = 1_772_366_400_000


def write_letter(
    settings: Settings,
    number: int,
    reason: Reason,
    key: bytes | None = b"ada",
    headers: tuple[tuple[str, bytes], ...] = (),
    *,
    arrived_at: int = NOON,
) -> bytes:
    """Write a dead letter; return its original value."""
    value = b"value %d \xff" % number
    partition = number % settings.partitions
    record = ConsumerRecord(
        settings.events_topic, partition, number, arrived_at, 1, key, value, None, 0, 0, headers
    )
    letter = dead_letter(
        record,
        settings.events_topic,
        record.partition,
        Rejection(0, reason, f"detail {number}"),
        arrived_at=arrival(record),
    )
    write(
        settings, settings.dead_letters_topic, [Record(letter.key, letter.value, partition, letter.headers)]
    )
    return value

"""Records of the events topic for tests without a broker."""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka import ConsumerRecord

from features.partition import partitions_of
from stream.kafka.batches import RecordBatch

NOW = 1_709_510_400_000  # 2024-03-04 00:00 UTC
PARTITIONS = 3


def home(key: str | bytes) -> int:
    """Return the partition that a key belongs to."""
    return int(partitions_of([key.encode() if isinstance(key, str) else key], PARTITIONS)[0])


def record(
    offset: int,
    value: bytes | None,
    key: bytes | None = b"anna",
    *,
    partition: int | None = None,
    timestamp: int = NOW,
    headers: Sequence[tuple[str, bytes | None]] = (),
) -> ConsumerRecord:
    """Return a record as the consumer hands it over; ``timestamp`` is the broker's append time."""
    number = home(b"anna") if partition is None else partition
    return ConsumerRecord(
        "events", number, offset, timestamp, 1, key, value, None, len(key or b""), len(value or b""), headers
    )


def batch(*records: ConsumerRecord) -> RecordBatch:
    """Return a batch of one partition's records."""
    return RecordBatch(records[0].partition, records, records[0].offset, records[-1].offset + 1)

"""Where the partitions' states stand, for who looks from outside: how many, when, and how far they have come."""

from __future__ import annotations

from typing import Final

from features.partition import partitions_of
from features.store.customer_store import CustomerStore
from features.store.partition_record import NO_WATERMARK, PartitionRecord
from stream.settings import Settings

# A shop whose newest event is older than this is a replayed log.
_REPLAYED_MS: Final = 86_400_000


def log_time(record: PartitionRecord | None, lateness_ms: int, clock_ms: int) -> int:
    """Return the time at which a partition stands, epoch ms.

    It is the wall clock, but the log's own time where the partition's newest event is more than a day old: a log that
    was replayed tells nothing of the time since then.

    Parameters
    ----------
    record
        Where the partition stands.
    clock_ms
        The wall clock, epoch ms.
    """
    if record is None or record.watermark == NO_WATERMARK:
        return clock_ms
    newest = record.watermark + lateness_ms
    return clock_ms if clock_ms - newest <= _REPLAYED_MS else newest


def partition_of(settings: Settings, store: CustomerStore, customer_id: str) -> int:
    """Return the partition of a customer's state."""
    return int(partitions_of([customer_id.encode()], partition_count(settings, store))[0])


def partition_count(settings: Settings, store: CustomerStore) -> int:
    """Return how many partitions the states are in: as the worker wrote down, else as the settings say."""
    record = store.record(0)
    return settings.partitions if record is None else record.partitions


def is_past(store: CustomerStore, partition: int, offset: int) -> bool:
    """Return whether the states hold the record at ``offset``."""
    record = store.record(partition)
    return record is not None and record.next_offset > offset

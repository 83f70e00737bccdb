"""Customers whom Redis knows before the worker starts."""

from __future__ import annotations

from contextlib import closing
from typing import Final

import numpy as np

from benchmarks.contenders import worker_environment
from benchmarks.peers.job import Task
from benchmarks.workload import PARTITIONS
from features.columns import from_events
from features.events import Event
from features.fold import fold
from features.partition import partitions_of
from features.state import States, empty
from features.store.partition_record import NO_WATERMARK, TOKEN_BYTES, PartitionRecord
from features.store.redis_store import RedisStore

_AT_ONCE: Final = 4_000


def write_states(task: Task, customers: int, seen_ms: int) -> None:
    """Write the states of customers ``c0``, ``c1`` and so on, who looked at one thing each at ``seen_ms``."""
    prefix = worker_environment(task, "")["INTENT_REDIS_PREFIX"]
    states = _states(seen_ms)
    names = [b"c%d" % number for number in range(customers)]
    homes = partitions_of(names, PARTITIONS)
    with closing(RedisStore(task.redis, prefix)) as store:
        for partition in range(PARTITIONS):
            record = PartitionRecord(1, bytes(TOKEN_BYTES), 0, NO_WATERMARK, PARTITIONS)
            store.claim(partition, None, record)
            own = np.flatnonzero(homes == partition).tolist()
            for first in range(0, len(own), _AT_ONCE):
                part = [names[row].decode() for row in own[first : first + _AT_ONCE]]
                store.save(partition, record, record, part, states[: len(part)])


def _states(seen_ms: int) -> States:
    events = [
        Event(
            event_id=f"first-{number}", type="view_item", customer_id=str(number), event_time=seen_ms,
            item_id=f"item-{number}", category=f"category-{number % 40}", price=19.81, currency="EUR",
        )
        for number in range(_AT_ONCE)
    ]  # fmt: skip
    states = empty(_AT_ONCE)
    fold(states, np.arange(_AT_ONCE), from_events(events, "EUR"), with_vectors=False)
    return states

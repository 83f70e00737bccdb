"""How long the sweep of expired states takes with many customers: ``python -m benchmarks.sweep [KEYS]``.

Fills a Redis with ten million small keys, and 100,000 real states of one of twelve partitions, of which half are
expired. Then sweeps that partition once round, without the pauses that a worker makes, and says how many steps that
took, how long one keeps Redis, and how long a round takes with the pauses.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np
import redis

from features import state
from features.state import STATE_VERSION
from features.store.keys import state_keys
from features.store.partition_record import NO_WATERMARK, PartitionRecord
from features.store.redis_store import RedisStore
from stream.ownership.owner import ROUND_SECONDS, SWEEP_KEYS, SWEEP_SECONDS
from stream.services.embedded import RedisServer

_PARTITIONS: Final = 12
_OWN: Final = 3
_STATES: Final = 100_000
_AT_ONCE: Final = 4_000
_EXPIRED_AT: Final = 1_000
_PREFIX: Final = "intent"


class _Server(RedisServer):
    def command(self) -> list[str]:
        return [*super().command(), "--enable-debug-command", "local"]


def _fill(store: RedisStore, client: redis.Redis, keys: int) -> PartitionRecord:
    """Write the keys of other partitions, and the states of one."""
    for partition in range(_PARTITIONS):
        [start] = state_keys(_PREFIX, partition, [""], 9)
        name = "others" if partition == _OWN else start.decode()
        client.execute_command("DEBUG", "POPULATE", (keys - _STATES) // _PARTITIONS, name, 10)
    record = PartitionRecord(1, os.urandom(16), 0, NO_WATERMARK, _PARTITIONS)
    store.claim(_OWN, None, record)
    for first in range(0, _STATES, _AT_ONCE):
        rows = state.empty(_AT_ONCE)
        rows["version"], rows["events"] = STATE_VERSION, 1
        rows["last_time"] = _EXPIRED_AT + np.arange(_AT_ONCE) % 2
        store.save(_OWN, record, record, [f"c{first + row}" for row in range(_AT_ONCE)], rows)
    return record


def main(keys: int = 10_000_000) -> None:
    """Print what a round takes."""
    with (
        tempfile.TemporaryDirectory() as folder,
        _Server(Path(folder)) as server,
        redis.Redis.from_url(server.url) as client,
        closing(RedisStore(server.url, _PREFIX)) as store,
    ):
        record = _fill(store, client, keys)
        there, times, deleted, ended = client.dbsize(), [], 0, False
        while not ended:
            began = time.perf_counter()
            gone, ended = store.sweep(
                _OWN, record, _EXPIRED_AT + 1, SWEEP_KEYS, SWEEP_SECONDS / ROUND_SECONDS
            )
            times.append(time.perf_counter() - began)
            deleted += gone
        middle, high = np.quantile(times, [0.5, 0.99]) * 1000
        print(
            f"{there:,} keys: {len(times):,} steps, {middle:.1f} ms each (p99 {high:.1f} ms); a round takes "
            f"{len(times) * SWEEP_SECONDS / 3600:.1f} hours with pauses; {deleted:,} of {_STATES:,} states deleted"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))

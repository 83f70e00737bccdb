"""Logs as they come from a topic: several partitions, late and early events, repetitions, erased customers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from features.log import ERASED, write_log
from offline.simulator.shop import ShopParameters
from offline.simulator.simulation import Simulation, simulate

MINUTE = 60_000
TIME = pa.timestamp("ms", tz="UTC")


def clean(customers: int = 1_500, seed: int = 5) -> pa.Table:
    """Return a simulated log, of one partition, nothing wrong with it."""
    return simulate(ShopParameters.default(), customers=customers, days=4, seed=seed)


def rough(customers: int = 1_500, seed: int = 5, *, partitions: int = 3) -> pa.Table:
    """Return a log in order of arrival with all that can go wrong; some customers are in several partitions."""
    rng = np.random.default_rng(seed)
    log = clean(customers, seed)
    repeats = np.sort(rng.integers(0, len(log), len(log) // 20))
    log = log.take(np.concatenate([np.arange(len(log)), repeats]))
    time = log["event_time"].cast(pa.int64()).to_numpy()
    delay = rng.exponential(2 * MINUTE, len(log)) + np.where(rng.random(len(log)) < 0.05, 40 * MINUTE, 0)
    ahead = np.where(rng.random(len(log)) < 0.01, 10 * MINUTE, 0)
    arrived = (time + delay - ahead).astype(np.int64)
    codes = log["customer_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    partition = np.where(
        rng.random(len(log)) < 0.02, rng.integers(0, partitions, len(log)), codes % partitions
    )
    order = np.argsort(arrived, kind="stable")
    columns = {name: log[name] for name in log.column_names}
    columns["arrived_at"] = pa.array(arrived).cast(TIME)
    columns["partition"] = pa.array(partition.astype(np.int32))
    columns["bot"] = pa.array(rng.random(len(log)) < 0.05)
    log = pa.table(columns, schema=log.schema).take(order)
    return _without(log, np.isin(codes[order], rng.choice(customers, customers // 50, replace=False)))


def _without(log: pa.Table, erased: np.ndarray) -> pa.Table:
    """Erase customers, as `intent archive` does: of their events only times and coordinates are left."""
    kept = ("event_time", "arrived_at", "partition", "offset", "type")
    columns = {}
    for field in log.schema:
        values = log[field.name].combine_chunks()
        if field.name == "type":
            values = pa.array(np.where(erased, ERASED, values.to_numpy(zero_copy_only=False)))
        elif field.name not in kept:
            picks = pa.array(np.arange(len(log)), mask=erased)
            values = values.take(picks)
        columns[field.name] = values
    return pa.table(columns, schema=log.schema)


def write(path: Path, log: pa.Table, *, rows: int = 3_000, simulated: bool = False) -> Path:
    """Write a log in row groups of ``rows``."""
    metadata = Simulation.of(log).metadata() if simulated else {"source": "test"}
    write_log(path, [log.slice(at, rows) for at in range(0, len(log), rows)], metadata=metadata)
    return path

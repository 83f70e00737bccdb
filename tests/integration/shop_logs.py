"""Logs of events as shops send them: in order, shuffled, with repetitions."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.log import ERASED, LOG_SCHEMA
from features.partition import partitions_of
from offline.simulator.logins import with_late_logins
from offline.simulator.price_drops import with_price_drops
from offline.simulator.shop import ShopParameters
from offline.simulator.simulation import simulate
from offline.simulator.wishes import with_wishes

MINUTE_MS = 60_000


def simulated(customers: int, days: int, seed: int) -> pa.Table:
    """Return a simulated log (about nine events a customer), in order of event time."""
    log = simulate(ShopParameters.default(), customers=customers, days=days, seed=seed % 2**31)
    return log.replace_schema_metadata(None)


def talkative(customers: int, days: int, seed: int) -> pa.Table:
    """Return a simulated log of which partitions tell each other a lot: late logins, wish lists, and price drops."""
    log = simulate(ShopParameters.default(), customers=customers, days=days, seed=seed % 2**31)
    log = with_wishes(log, 1.0, seed)
    return with_price_drops(with_late_logins(log, 0.4, seed), 0.5, seed).replace_schema_metadata(None)


def ms(log: pa.Table, name: str) -> NDArray[np.int64]:
    """Return a column of times as epoch milliseconds."""
    times: NDArray[np.int64] = log[name].cast(pa.int64()).to_numpy()
    return times


def arriving(log: pa.Table, arrivals: NDArray[np.int64]) -> pa.Table:
    """Return the log in order of the given arrivals (epoch ms; those of equal arrival keep their order)."""
    order = np.argsort(arrivals, kind="stable")
    at = LOG_SCHEMA.get_field_index("arrived_at")
    field = LOG_SCHEMA.field("arrived_at")
    return log.take(order).set_column(at, field, pa.array(arrivals[order]).cast(field.type))


def shuffled(log: pa.Table, lateness_ms: int, seed: int) -> pa.Table:
    """Return the log with every event arriving up to ``lateness_ms`` after it happened."""
    delays = np.random.default_rng(seed).integers(0, lateness_ms, len(log))
    return arriving(log, ms(log, "event_time") + delays)


def repeated(log: pa.Table, share: float, seed: int) -> tuple[pa.Table, int]:
    """Return the log with a share of its events sent once more a few events later, and how many those are.

    A repetition comes within five minutes of the original.
    """
    chance = np.random.default_rng(seed)
    arrivals = ms(log, "arrived_at")
    picked = np.sort(chance.choice(len(log), int(len(log) * share), replace=False))
    after = np.minimum(picked + chance.integers(1, 6, len(picked)), len(log) - 1)
    near = arrivals[after] - arrivals[picked] < 5 * MINUTE_MS
    picked, after = picked[near], after[near]
    both = pa.concat_tables([log, log.take(picked)])
    return arriving(both, np.concatenate([arrivals, arrivals[after]])), len(picked)


def partition_column(log: pa.Table, partitions: int) -> NDArray[np.int32]:
    """Return each row's partition."""
    return partitions_of([name.encode() for name in log["customer_id"].to_pylist()], partitions)


def without_erased(log: pa.Table, erased: set[str], rows: int, partitions: int) -> pa.Table:
    """Return the log as it counts after ``erased`` customers were erased behind the first ``rows`` events.

    Of what they did before, nothing but the times is left, for the watermark.
    """
    gone = np.array([c in erased for c in log["customer_id"].to_pylist()]) & (np.arange(len(log)) < rows)
    empty = pa.array(gone)
    columns = {name: log[name] for name in log.column_names}
    for name in columns.keys() - {"type", "event_time", "arrived_at", "partition", "offset"}:
        columns[name] = pa.chunked_array(
            [pa.compute.if_else(empty, pa.scalar(None, columns[name].type), columns[name].combine_chunks())]
        )
    columns["type"] = pa.compute.if_else(empty, ERASED, log["type"])
    columns["partition"] = pa.array(partition_column(log, partitions))
    return pa.table([columns[field.name] for field in LOG_SCHEMA], schema=LOG_SCHEMA)

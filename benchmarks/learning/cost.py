"""What learning costs the scorer: the same worker with and without it, pair by pair on one topic.

With learning it writes examples and outcomes of every event, asks the online model and blends. The learner itself is a
process of its own, and does not run here: on a machine with few cores it would take the worker's.
"""

from __future__ import annotations

import asyncio
import secrets
import statistics
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.contenders import EVENTS, SCORES, contenders, worker_environment
from benchmarks.peers.job import Task
from benchmarks.throughput import run
from benchmarks.workload import PARTITIONS, fill_topic, make_topics, simulated, write_bundle
from features.bundle import Bundle
from stream.learning.learning import Learning
from stream.learning.model.settings import LearningSettings
from stream.learning.snapshot_store import SnapshotStore
from stream.services.services import EmbeddedServices

_EVENTS: Final = 400_000
_CUSTOMERS: Final = 20_000
_PAIRS: Final = 3
LEARNING_TOPICS: Final = tuple(f"bench.{name}" for name in ("examples", "outcomes", "alerts"))

Step = Callable[[str], AbstractContextManager[object]]


class ScorerCost(NamedTuple):
    """Events per second with learning off and on (medians), and the median ratio of the pairs."""

    off: float
    on: float
    ratio: float


def scorer_cost(step: Step) -> ScorerCost:
    """Measure the scorer with learning off and on, in turns."""
    with step("Measuring what learning costs the scorer"), tempfile.TemporaryDirectory() as folder:
        records = simulated(_EVENTS, _CUSTOMERS)
        services = EmbeddedServices().start()
        try:
            task = Task(
                services.kafka, services.redis, EVENTS, SCORES,
                Path(folder, "bundle"), Path(folder), secrets.token_hex(4),
            )  # fmt: skip
            write_bundle(task.bundle)
            return asyncio.run(_measured(task, records))
        finally:
            services.stop()


async def _measured(task: Task, records: object) -> ScorerCost:
    await make_topics(task.kafka, EVENTS)
    await fill_topic(task.kafka, EVENTS, records)  # type: ignore[arg-type]
    rates: dict[str, list[float]] = {"off": [], "on": []}
    for number in range(_PAIRS + 1):  # the first pair warms the broker up
        for learning, kept in rates.items():
            named = task._replace(run=f"{task.run}-{number}{learning}")
            rate = await _rate(named, learning, len(records))  # type: ignore[arg-type]
            if number:
                kept.append(rate)
    ratios = [on / off for off, on in zip(rates["off"], rates["on"], strict=True)]
    return ScorerCost(
        statistics.median(rates["off"]), statistics.median(rates["on"]), statistics.median(ratios)
    )


async def _rate(task: Task, learning: str, events: int) -> float:
    await make_topics(task.kafka, *LEARNING_TOPICS, retention_ms="-1")
    ours = contenders(0.0)["ours"]
    prepare = (lambda: publish_snapshot(task)) if learning == "on" else None
    found = await run(ours, task, events, settings={"INTENT_LEARNING": learning}, prepare=prepare)
    return found.rate


def publish_snapshot(task: Task) -> None:
    """Let the worker find a snapshot, as in life: it then asks the online model about every event."""
    settings = worker_environment(task, "bench.")
    learner = Learning.begin(Bundle.load(task.bundle), LearningSettings(), PARTITIONS)
    with closing(SnapshotStore(task.redis, settings["INTENT_REDIS_PREFIX"])) as store:
        lease = store.acquire(60)
        assert lease is not None
        store.save(lease, learner.saved(), 60)
        store.release(lease)  # a learner may go on from it

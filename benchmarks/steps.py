"""What each step of our worker costs, in microseconds per event.

The production functions are called one by one, in this process, on batches as the worker gets them from the
topic, against the real broker and the real Redis. Two figures for each step: how long it takes, and how much
of that is work of this process. In the worker the rest (the broker and Redis at work) overlaps with other
partitions' steps; the work does not, since one Python process does one thing at a time. So the work's sum
bounds the worker's rate.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Final, NamedTuple

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.contenders import DEAD_LETTERS, SCORES, worker_environment
from benchmarks.peers.job import Task
from benchmarks.workload import PARTITIONS, make_topics
from features.bundle import Bundle
from features.calendar import zone
from features.fold import fold
from features.state import States
from features.store.partition_record import NO_WATERMARK, TOKEN_BYTES, PartitionRecord
from features.store.redis_store import RedisStore
from stream.decisions.holding import ScoredRows
from stream.decisions.holdout import HOLDOUT
from stream.kafka.batches import Backlog, RecordBatch
from stream.kafka.fetching import take
from stream.kafka.parsing import parse_leniently
from stream.ownership.cache import StateCache
from stream.scoring.encoding import encode_scores
from stream.scoring.engine import Engine, Scored
from stream.scoring.intake import read_batches
from stream.scoring.metrics import ScorerMetrics
from stream.scoring.publisher import Output, Publisher
from stream.settings import Settings, load_settings

#: Steps, as they follow each other.
STEPS: Final = {
    "read": "read: fetch and parse records",
    "intake": "records to columns: JSON, keys, arrival, customers",
    "load_cold": "load, nobody cached (MGET)",
    "load_cached": "load, all cached",
    "fold": "fold and vectors",
    "network": "segment, network, calibration",
    "traffic": "rules of machines",
    "decide": "band to action, holdout",
    "encode": "encode scores",
    "produce": "produce and await the broker",
    "count": "count for Prometheus",
    "save": "save (WATCH, MULTI, MSET, EXEC)",
    "cache": "keep states in the cache",
}

_FETCH_BYTES: Final = 1 << 20


class Cost(NamedTuple):
    """Microseconds per event: the time that a step takes, and this process's work in it."""

    elapsed: float
    work: float


class Stopwatch:
    """Adds up what steps cost."""

    def __init__(self) -> None:
        self._elapsed: defaultdict[str, float] = defaultdict(float)
        self._work: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Time a block."""
        elapsed, work = time.perf_counter(), time.thread_time()
        yield
        self._work[step] += time.thread_time() - work
        self._elapsed[step] += time.perf_counter() - elapsed

    def costs(self, events: int) -> dict[str, Cost]:
        """Return the cost per event of every step."""
        per_event = 1e6 / events
        return {step: Cost(self._elapsed[step] * per_event, self._work[step] * per_event) for step in STEPS}


class Steps(NamedTuple):
    """Costs by step, and the means that they hang on: events and distinct customers in a batch."""

    costs: dict[str, Cost]
    events: int
    batch_events: float
    batch_customers: float

    @property
    def work(self) -> float:
        """Microseconds of work per event when every customer is cached."""
        return sum(cost.work for step, cost in self.costs.items() if step != "load_cold")


async def measure(task: Task, events: int) -> Steps:
    """Measure all steps on up to ``events`` events of the preloaded topic, after some that warm up."""
    await make_topics(task.kafka, SCORES, DEAD_LETTERS)
    environment = worker_environment(task, "bench.")
    settings = load_settings(
        **{name.removeprefix("INTENT_").lower(): value for name, value in environment.items()}
    )
    bundle = Bundle.load(settings.bundle)
    engine = Engine(bundle, settings.lateness_ms, settings.state_ttl_ms, settings.holdout)
    publisher = Publisher(
        settings.kafka, scores=settings.scores_topic, dead_letters=settings.dead_letters_topic
    )
    metrics = ScorerMetrics(bundle.manifest.version)
    async with publisher:
        for limit, prefix in ((events // 10, "warm-up"), (events, "measured")):
            watch = Stopwatch()
            batches = await _batches(settings, limit, watch)
            with closing(RedisStore(settings.redis_url, f"{settings.redis_prefix}-{prefix}")) as store:
                walk = _Walk(
                    engine=engine, publisher=publisher, metrics=metrics, store=store, watch=watch,
                    cache_customers=settings.cache_customers,
                )  # fmt: skip
                for batch in batches:
                    await walk.take(batch)
    total = sum(len(batch.records) for batch in batches)
    return Steps(watch.costs(total), total, total / len(batches), walk.customers / len(batches))


async def _batches(settings: Settings, limit: int, watch: Stopwatch) -> list[RecordBatch]:
    """Return about ``limit`` events, evenly from all partitions, in batches as the worker gets them."""
    batches = []
    parse_leniently()
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka, auto_offset_reset="earliest", max_partition_fetch_bytes=_FETCH_BYTES
    )
    await consumer.start()
    try:
        for partition in range(PARTITIONS):
            tp = TopicPartition(settings.events_topic, partition)
            consumer.assign([tp])
            end = min((await consumer.end_offsets([tp]))[tp], limit // PARTITIONS)
            backlog, position = Backlog(settings.batch_max), 0
            while position < end:
                with watch("read"):
                    while tp not in consumer._fetcher._records:
                        await asyncio.sleep(0.001)
                    records = await take(consumer._fetcher, tp, position)
                    stop = await consumer.position(tp)
                    backlog.put(RecordBatch(partition, records, position, stop))
                position = stop
            position = 0
            while backlog:
                with watch("read"):
                    batch = backlog.take(position)
                assert batch is not None
                batches.append(batch)
                position = batch.stop
    finally:
        await consumer.stop()
        gc.freeze()
    return batches


class _Walk:
    """Takes batches through all steps, as `stream.scoring.scorer` and `stream.ownership.owner` do."""

    def __init__(
        self,
        *,
        engine: Engine,
        publisher: Publisher,
        metrics: ScorerMetrics,
        store: RedisStore,
        watch: Stopwatch,
        cache_customers: int,
    ) -> None:
        self.customers = 0
        self._engine, self._publisher, self._metrics = engine, publisher, metrics
        self._store, self._watch = store, watch
        self._caches = [StateCache(cache_customers // PARTITIONS) for _ in range(PARTITIONS)]
        self._records: dict[int, PartitionRecord] = {}

    async def take(self, batch: RecordBatch) -> None:
        watch, engine, bundle = self._watch, self._engine, self._engine.bundle
        record, cache = self._record(batch.partition), self._caches[batch.partition]
        with watch("intake"):
            read = read_batches([batch], [record.watermark], engine, partitions=PARTITIONS)
        columns, customers, slots = read.columns, read.customers, read.slots
        self.customers += len(customers)
        states = self._load(batch.partition, cache, customers)
        with watch("fold"):
            folded = fold(states, slots, columns, zone=zone(bundle.manifest.timezone), ttl_ms=engine.ttl_ms)
        with watch("network"):
            said = bundle.score(folded.vectors)
        with watch("traffic"):
            traffic = engine.rulebook.bots.traffic(folded.vectors, columns.bot)
        with watch("decide"):
            holdout = engine.rulebook.assignment.arms(customers)[slots] == HOLDOUT
            rows = ScoredRows(folded.vectors, said.probability, said.segment)
            action = engine.rulebook.choose(engine.rulebook.held(rows), said.band, holdout)
        scored = Scored(
            np.arange(len(slots)), folded.as_of, said.segment, folded.vectors, said.logit, said.probability,
            None, said.probability, said.band, action, holdout, 0, engine.rulebook, traffic,
        )  # fmt: skip
        with watch("encode"):
            scores = encode_scores(bundle, columns, scored, time.time_ns() // 1_000_000)
        with watch("produce"):
            await self._publisher.publish([Output(batch.partition, scores)])
        with watch("count"):
            self._metrics.count(read, scored, 0.0)
        saved = record._replace(next_offset=batch.stop, watermark=read.watermarks[0])
        with watch("save"):
            self._store.save(batch.partition, record, saved, customers, states)
        self._records[batch.partition] = saved
        with watch("cache"):
            cache.put(customers, states)
        with watch("load_cached"):
            cache.get(customers)
        with watch("load_cold"):
            self._store.load(batch.partition, customers)

    def _load(self, partition: int, cache: StateCache, customers: Sequence[str]) -> States:
        states, missing = cache.get(customers)
        if len(missing):
            states[missing] = self._store.load(partition, [customers[at] for at in missing.tolist()])
        return states

    def _record(self, partition: int) -> PartitionRecord:
        if partition not in self._records:
            mine = PartitionRecord(1, bytes(TOKEN_BYTES), 0, NO_WATERMARK, PARTITIONS)
            self._store.claim(partition, None, mine)
            self._records[partition] = mine
        return self._records[partition]

"""Time from event to score, at a steady rate.

Three processes beside the servers: the worker; a shop that emits events at the rate, each as soon as it
happens (2 ms of lingering), its own clock in the event's id; and this one, which reads the topic of scores and
looks at the same clock (monotonic, one for all processes of a machine) when a score is in its hands. So a
latency holds all of it: producer, broker, worker with its save of the batch before, broker, consumer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from benchmarks.contenders import WORKER, worker_environment
from benchmarks.peers.job import Task
from benchmarks.program import ContenderFailed, Program
from benchmarks.workload import PARTITIONS, make_topics
from features.events import Event
from stream.clients.emit import EventEmitter
from stream.settings import load_settings

PREFIX: Final = "live."

# The first seconds are not measured: the group is joined, and the broker's JVM compiles what it now does often.
_WARM_SECONDS: Final = 15.0
_START_SECONDS: Final = 90.0
# The shop wakes up this often and emits what is due.
_TICK_SECONDS: Final = 0.001
_CUSTOMERS: Final = 20_000
# Up to this rate the shop is one process of `EventEmitter`; a faster one emits some events at a time.
_EMITTED: Final = 10_000
_AT_ONCE: Final = 20
_MARK: Final = b'"event_id":"'


class Latency(NamedTuple):
    """Milliseconds from event to score; the rate (events/s) at which they were emitted, and their number."""

    p50: float
    p90: float
    p99: float
    rate: float
    events: int


async def measure(
    task: Task, *, rate: int, seconds: float, on_progress: Callable[[int, int], None] | None = None
) -> Latency:
    """Emit ``rate`` events/s for ``seconds`` to a running worker, and measure when their scores arrive."""
    topics = [PREFIX + name for name in ("events", "scores", "dead-letters", "actions")]
    await make_topics(task.kafka, *topics)
    shop = {
        "BENCH_RATE": str(rate),
        "BENCH_SECONDS": str(_WARM_SECONDS + seconds),
        "BENCH_PREFIX": PREFIX,
        "BENCH_KAFKA": task.kafka,
    }
    with Program(WORKER, worker_environment(task, PREFIX), task.folder / "latency-worker.log") as worker:
        await until_joined(task.kafka, worker_environment(task, PREFIX)["INTENT_GROUP"], [worker])
        command = (sys.executable, "-m", "benchmarks.latency")
        with Program(command, shop, task.folder / "latency-shop.log") as emitter:
            sent, received = _listen(
                task.kafka, topics[1], emitter, int(rate * (_WARM_SECONDS + seconds)), on_progress
            )
    counts = sent > sent.min() + _WARM_SECONDS * 1e9
    sent, received = sent[counts], received[counts]
    p50, p90, p99 = np.percentile((received - sent) / 1e6, [50, 90, 99]).tolist()
    return Latency(p50, p90, p99, (len(sent) - 1) / (int(sent.max() - sent.min()) / 1e9), len(sent))


async def until_joined(kafka: str, group: str, workers: Sequence[Program], *, members: int = 1) -> None:
    """Wait until so many members of the workers' group have their partitions."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    deadline = time.monotonic() + _START_SECONDS
    try:
        while True:
            for worker in workers:
                worker.check()
            with contextlib.suppress(GroupCoordinatorNotAvailableError):  # the first group of a new broker
                (response,) = await admin.describe_consumer_groups([group])
                _, _, state, _, _, found, *_ = response.groups[0]
                if state == "Stable" and len(found) == members:
                    return
            if time.monotonic() > deadline:
                raise ContenderFailed(f"the group {group} was not complete within {_START_SECONDS:.0f} s")
            await asyncio.sleep(0.2)
    finally:
        await admin.close()


def _listen(
    kafka: str,
    topic: str,
    shop: Program,
    expected: int,
    on_progress: Callable[[int, int], None] | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return when each score's event was sent and when it was received, ns of the monotonic clock."""
    from confluent_kafka import Consumer, TopicPartition

    # librdkafka fetches in threads of its own, so this process takes little from the others.
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "bench-latency", "fetch.wait.max.ms": 100})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    sent, received = [], []
    silent_since = time.monotonic()
    try:
        while len(sent) < expected:
            message = consumer.poll(0.5)
            now = time.monotonic_ns()
            if message is None:
                if time.monotonic() - silent_since > _START_SECONDS:
                    raise shop.failure(f"{len(sent)} of {expected} events were scored, and no more come")
                continue
            if message.error() is not None:
                raise ContenderFailed(f"reading the scores: {message.error()}")
            silent_since = time.monotonic()
            value = message.value()
            sent.append(sent_at(value))
            received.append(now)
            if on_progress is not None and len(sent) % 5000 == 0:
                on_progress(len(sent), expected)
    finally:
        consumer.close()
    return np.array(sent), np.array(received)


def sent_at(score: bytes) -> int:
    """Return when the event of a score was emitted, ns of the monotonic clock."""
    start = score.index(_MARK) + len(_MARK)
    return int(score[start : score.index(b"-", start)])


def emit(kafka: str, topic_prefix: str, rate: int, seconds: float, among: int = _CUSTOMERS) -> None:
    """Emit ``rate`` events/s of so many customers, evenly, for ``seconds``."""
    rng = np.random.default_rng(7)
    customers = rng.integers(0, among, int(rate * seconds)).tolist()
    if rate > _EMITTED:
        _produce(kafka, f"{topic_prefix}events", rate, customers)
        return
    with EventEmitter(load_settings(kafka=kafka, topic_prefix=topic_prefix)) as shop:
        began = time.monotonic()
        for number, customer in enumerate(customers):
            due = began + number / rate
            while (early := due - time.monotonic()) > 0:
                time.sleep(max(early, _TICK_SECONDS))
            shop.emit(
                Event(
                    event_id=f"{time.monotonic_ns()}-{number}",
                    type="view_item",
                    customer_id=f"c{customer}",
                    event_time=time.time_ns() // 1_000_000,
                    item_id=f"item-{number % 2000}",
                    category=f"category-{number % 40}",
                    price=19.81,
                    currency="EUR",
                    session_id=f"v-{customer}",
                    channel="app",
                    device="tablet",
                )
            )


def _produce(kafka: str, topic: str, rate: int, customers: list[int]) -> None:
    """Emit the events of a large shop, by librdkafka: one process of `EventEmitter` does not emit so many."""
    from confluent_kafka import Producer

    producer = Producer(
        {
            "bootstrap.servers": kafka,
            "partitioner": "murmur2_random",
            "linger.ms": 2,
            "enable.idempotence": True,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    began = time.monotonic()
    for number, customer in enumerate(customers):
        if number % _AT_ONCE == 0:
            producer.poll(0)
            while (early := began + number / rate - time.monotonic()) > 0:
                time.sleep(early)
        value = (
            f'{{"event_id":"{time.monotonic_ns()}-{number}","type":"view_item","customer_id":"c{customer}",'
            f'"event_time":{time.time_ns() // 1_000_000},"item_id":"item-{number % 2000}",'
            f'"category":"category-{number % 40}","price":19.81,"currency":"EUR","session_id":"v-{customer}",'
            '"channel":"app","device":"tablet"}'
        )
        producer.produce(topic, value, f"c{customer}")
    producer.flush()


if __name__ == "__main__":
    emit(
        os.environ["BENCH_KAFKA"],
        os.environ["BENCH_PREFIX"],
        int(os.environ["BENCH_RATE"]),
        float(os.environ["BENCH_SECONDS"]),
        int(os.environ.get("BENCH_CUSTOMERS", _CUSTOMERS)),
    )

"""No job at all: consume every event, produce a record of a score's size, await the acknowledgements.

What Kafka, aiokafka and Python's loops over records cost by themselves: nothing that reads, scores and writes
in one Python process can be faster.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.peers.job import Network, Task, fold

_BATCH_BYTES: Final = 1_000_000
_FETCH_BYTES: Final = 1 << 20
# Rounds that wait for their acknowledgements while the next is read.
_IN_FLIGHT: Final = 8


def score_bytes(task: Task) -> bytes:
    """Return a score of usual length."""
    event = {"event_id": "s7-123456", "customer_id": "c7-12345", "event_time": 1_736_150_400_000}
    state: dict[str, float] = {}
    fold(state, {**event, "type": "view_item"})
    return msgspec.json.encode(Network(task.bundle).score(state, event))


async def main(task: Task) -> None:
    """Run until the process is ended."""
    value = score_bytes(task)
    consumer = AIOKafkaConsumer(
        task.source,
        bootstrap_servers=task.kafka,
        group_id=f"bench-plain-{task.run}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=_FETCH_BYTES,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=task.kafka, enable_idempotence=True, linger_ms=0, max_batch_size=_BATCH_BYTES
    )
    await producer.start()
    await consumer.start()
    waiting: list[asyncio.Future[Any]] = []
    try:
        while True:
            fetched = await consumer.getmany(timeout_ms=1000)
            sent = []
            for tp, records in fetched.items():
                builder = producer.create_batch()
                for record in records:
                    if builder.append(timestamp=None, key=record.key, value=value) is None:
                        sent.append(await producer.send_batch(builder, task.sink, partition=tp.partition))
                        builder = producer.create_batch()
                        builder.append(timestamp=None, key=record.key, value=value)
                sent.append(await producer.send_batch(builder, task.sink, partition=tp.partition))
            waiting.append(asyncio.gather(*sent))
            if len(waiting) == _IN_FLIGHT:
                await waiting.pop(0)
    finally:
        await consumer.stop()
        await producer.stop()


if __name__ == "__main__":
    asyncio.run(main(Task.from_environment()))

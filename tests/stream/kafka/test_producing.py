"""A producer that is abandoned, with what it still holds."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from kafka import TopicPartition

from stream.kafka.producing import Unacknowledged, _cut


def test_what_is_tried_for_the_second_time_when_a_producer_is_abandoned_fails_in_silence() -> None:
    """Nothing is logged by asyncio: nobody has to read of a callback that found its batch gone."""
    complaints: list[dict[str, Any]] = []

    async def abandon() -> list[asyncio.Future[Any]]:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        producer = AIOKafkaProducer(bootstrap_servers="localhost:1")
        accumulator, partitions = producer._message_accumulator, [TopicPartition("t", p) for p in range(3)]
        for partition in partitions:
            await accumulator.add_message(partition, None, b"value", 1.0)
        futures = [batches[0].future for batches in accumulator._batches.values()]
        again, under_way, _ = partitions
        accumulator.reenqueue(accumulator._pop_batch(again))
        accumulator._pop_batch(under_way)
        await _cut(producer)
        await asyncio.wait(futures, timeout=5)
        await asyncio.sleep(0)
        return futures

    for future in asyncio.run(abandon()):
        with pytest.raises(Unacknowledged):
            future.result()
    assert complaints == []

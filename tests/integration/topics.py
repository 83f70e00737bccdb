"""What a topic holds, and records written as other programs would."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaProducer, ConsumerRecord

from stream.reading import TopicReader
from stream.settings import Settings


class Record(NamedTuple):
    """A record to be written."""

    key: bytes | None
    value: bytes | None
    partition: int | None = None
    headers: Sequence[tuple[str, bytes]] = ()


def held(settings: Settings, topic: str) -> list[ConsumerRecord]:
    """Return the committed records of a topic, by partition and offset."""

    async def read() -> list[ConsumerRecord]:
        async with TopicReader(settings, topic) as reader:
            return [record async for _, records in reader.read() for record in records]

    return sorted(asyncio.run(read()), key=lambda record: (record.partition, record.offset))


def write(settings: Settings, topic: str, records: Iterable[Record]) -> None:
    """Write records and wait until the broker has them."""

    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=settings.kafka) as producer:
            for record in records:
                await producer.send_and_wait(
                    topic,
                    key=record.key,
                    value=record.value,
                    partition=record.partition,
                    headers=list(record.headers),
                )

    asyncio.run(send())


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment variables that make ``settings``."""
    return {
        "INTENT_KAFKA": settings.kafka,
        "INTENT_REDIS": settings.redis_url,
        "INTENT_TOPIC_PREFIX": settings.topic_prefix,
        "INTENT_REDIS_PREFIX": settings.redis_prefix,
        "INTENT_GROUP": settings.group,
        "INTENT_PARTITIONS": str(settings.partitions),
        "INTENT_BUNDLE": str(settings.bundle),
    }

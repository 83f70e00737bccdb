"""What a topic holds and how it is set, and records written as other programs would."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from stream.kafka.reading import TopicReader
from stream.settings import Settings
from tests.integration.workers import until

_SETTLED_SECONDS = 20.0
# Values of a setting that nothing here depends on; see `configure`.
_OTHERS = itertools.count(60_001)


class Record(NamedTuple):
    """A record to be written."""

    key: bytes | None
    value: bytes | None
    partition: int | None = None
    headers: Sequence[tuple[str, bytes]] = ()


def held(settings: Settings, topic: str) -> list[ConsumerRecord]:
    """Return the committed records of a topic, by partition and offset."""

    async def read() -> list[ConsumerRecord]:
        await _settled(settings, topic)
        async with TopicReader(settings, topic) as reader:
            return [record async for _, records in reader.read() for record in records]

    return sorted(asyncio.run(read()), key=lambda record: (record.partition, record.offset))


async def _settled(settings: Settings, topic: str) -> None:
    """Wait until no transaction is open: a commit is answered before its marker stands in the topic."""
    levels = ("read_committed", "read_uncommitted")
    consumers = [
        AIOKafkaConsumer(bootstrap_servers=settings.kafka, isolation_level=level) for level in levels
    ]
    try:
        for consumer in consumers:
            await consumer.start()
        tps = [TopicPartition(topic, number) for number in range(settings.partitions)]
        async with asyncio.timeout(_SETTLED_SECONDS):
            while await consumers[0].end_offsets(tps) != await consumers[1].end_offsets(tps):
                await asyncio.sleep(0.02)
    finally:
        for consumer in consumers:
            await consumer.stop()


def write(settings: Settings, topic: str, records: Iterable[Record]) -> None:
    """Write records and wait until the broker has them."""

    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=settings.kafka) as producer:
            sent = [
                await producer.send(
                    topic,
                    key=record.key,
                    value=record.value,
                    partition=record.partition,
                    headers=list(record.headers),
                )
                for record in records
            ]
            await asyncio.gather(*sent)

    asyncio.run(send())


def configure(settings: Settings, topic: str, options: dict[str, str]) -> None:
    """Change a topic's settings; return when the broker goes by them.

    It takes a change over some time after it has confirmed it, and tells it a moment before that. It takes changes over
    one after the other: once it tells a second one, it goes by the first.
    """

    def told(changed: dict[str, str]) -> bool:
        now = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
        return all(now["topic"][topic][name]["value"] == value for name, value in changed.items())

    with KafkaAdminClient(bootstrap_servers=settings.kafka) as admin:
        for change in (options, {"file.delete.delay.ms": str(next(_OTHERS))}):
            admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, change)])
            until(partial(told, change), f"{topic} has {change}")


def stored_bytes(settings: Settings, topic: str) -> int:
    """Return how many bytes a topic takes on the broker's disk."""
    with KafkaAdminClient(bootstrap_servers=settings.kafka, **settings.kafka_python_security()) as admin:
        return sum(
            partition["partition_size"]
            for broker in admin.describe_log_dirs(topic_partitions={topic: list(range(settings.partitions))})
            for folder in broker["log_dirs"]
            for held in folder["topics"]
            for partition in held["partitions"]
        )


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment variables that make ``settings``."""
    return {
        "INTENT_KAFKA": settings.kafka,
        "INTENT_REDIS": settings.redis_url,
        "INTENT_TOPIC_PREFIX": settings.topic_prefix,
        "INTENT_ACTIONS_TOPIC": settings.actions_topic,
        "INTENT_REDIS_PREFIX": settings.redis_prefix,
        "INTENT_GROUP": settings.group,
        "INTENT_PARTITIONS": str(settings.partitions),
        "INTENT_BUNDLE": str(settings.bundle),
    }

"""Asking the broker: does it answer, which topics are there, and one sentence for everybody where it does not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError

from stream.exceptions import BrokerError, BrokerUnavailable, TopicMismatch
from stream.settings import Settings

BROKER_SECONDS: Final = 10.0


async def check_broker(brokers: str, topic: str, security: Mapping[str, Any] | None = None) -> int:
    """Return the partition count of ``topic``.

    Raises
    ------
    BrokerUnavailable
        No broker answers.
    TopicMismatch
        There is no such topic.
    """
    client = AIOKafkaClient(bootstrap_servers=brokers.split(","), **(security or {}))
    try:
        async with asyncio.timeout(BROKER_SECONDS):
            await client.bootstrap()
            cluster = await client.fetch_all_metadata()
    except (KafkaError, TimeoutError) as error:
        raise BrokerUnavailable(
            f"no Kafka broker answers at {brokers}: start one, or set INTENT_KAFKA"
        ) from error
    finally:
        await client.close()
    partitions = cluster.partitions_for_topic(topic)
    if not partitions:
        raise TopicMismatch(f"Kafka has no topic {topic}: create it with `intent topics create`")
    return len(partitions)


# Bounds the wait for a broker's answer, so that a wrong address is an error within seconds.
ANSWER_SECONDS: Final = 10.0


@contextmanager
def broker_errors(settings: Settings) -> Iterator[None]:
    """Turn aiokafka's errors into one line that says what to do."""
    try:
        yield
    except (KafkaConnectionError, TimeoutError, KafkaTimeoutError) as error:
        raise BrokerUnavailable(
            f"no Kafka broker answers at {settings.kafka}: start one, or set INTENT_KAFKA"
        ) from error
    except KafkaError as error:
        raise BrokerError(f"Kafka at {settings.kafka} refused: {error}") from error


async def partition_count(settings: Settings, topic: str) -> int:
    """Return how many partitions ``topic`` has.

    Raises
    ------
    BrokerUnavailable
        No broker answers.
    TopicMismatch
        There is no such topic.
    """
    client = AIOKafkaClient(bootstrap_servers=settings.kafka, **settings.aiokafka_security())
    try:
        with broker_errors(settings):
            async with asyncio.timeout(ANSWER_SECONDS):
                await client.bootstrap()
                cluster = await client.fetch_all_metadata()
    finally:
        await client.close()
    partitions = cluster.partitions_for_topic(topic)
    if not partitions:
        raise TopicMismatch(f"Kafka has no topic {topic}: create it with `intent topics create`")
    return len(partitions)


async def check_topics(settings: Settings, topics: Sequence[str]) -> int:
    """Return the partition count that all these topics have.

    Raises
    ------
    TopicMismatch
        A topic is missing, or they differ.
    """
    client = logging.getLogger("aiokafka")
    client.disabled, logged = True, client.disabled  # a refusal says what is wrong, in one line
    try:
        counts = {
            topic: await check_broker(settings.kafka, topic, settings.aiokafka_security()) for topic in topics
        }
    finally:
        client.disabled = logged
    if len(set(counts.values())) > 1:
        raise TopicMismatch(
            "all topics of the worker must have as many partitions as each other, but "
            + ", ".join(f"{topic} has {count}" for topic, count in counts.items())
        )
    return counts[topics[0]]

"""Asking the broker: does it answer, which topics are there, and aiokafka's errors in one line."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError

from stream.exceptions import ANSWER_SECONDS, BrokerError, BrokerUnavailable, TopicMismatch
from stream.kafka.diagnosis import check_access, unavailable
from stream.settings import Settings

# Set while a failure becomes an error of ours, which says in one line what is wrong: aiokafka need not say it, too.
_asking: Final[ContextVar[bool]] = ContextVar("asking", default=False)


def _is_news(record: logging.LogRecord) -> bool:
    return not _asking.get()


def _is_no_clear_login(record: logging.LogRecord) -> bool:
    """Leave out what aiokafka says at each connection: `intent doctor` warns of passwords that anybody can read."""
    return not str(record.msg).endswith("in the clear")


for _name in ("aiokafka", "aiokafka.cluster"):
    logging.getLogger(_name).addFilter(_is_news)
logging.getLogger("aiokafka.conn").addFilter(_is_no_clear_login)


@contextmanager
def broker_errors(brokers: str) -> Iterator[None]:
    """Turn aiokafka's errors into one line that says what to do.

    Raises
    ------
    BrokerUnavailable
        No broker answers, or none in time.
    BrokerError
        The broker refused.
    """
    try:
        yield
    except KafkaConnectionError as error:
        raise BrokerUnavailable.at(brokers) from error
    except (TimeoutError, KafkaTimeoutError) as error:
        raise BrokerUnavailable.slow(brokers) from error
    except KafkaError as error:
        raise BrokerError(f"Kafka at {brokers} refused: {error}") from error


async def partition_counts(
    brokers: str, topics: Sequence[str], security: Mapping[str, Any]
) -> dict[str, int]:
    """Return how many partitions each topic has.

    Parameters
    ----------
    brokers
        Host:port, separated by commas.
    security
        What `Settings.aiokafka_security` returned.

    Raises
    ------
    BrokerUnavailable
        No broker answers, or none lets this client in.
    TopicMismatch
        There is no such topic.
    BrokerError
        The topic is hidden from this client.
    """
    await asyncio.to_thread(check_access, brokers, security)
    try:
        counts = await _partition_counts(brokers, topics, security)
    except BrokerError as error:
        if not _says_little(error):
            raise
        raise await asyncio.to_thread(unavailable, brokers, security) from error
    for topic, count in counts.items():
        if not count:
            raise await asyncio.to_thread(unavailable, brokers, security, topic)
    return counts


def _says_little(error: BrokerError) -> bool:
    """Whether aiokafka has not told why it could not ask any broker."""
    return isinstance(error, BrokerUnavailable) or type(error.__cause__) is KafkaError


async def _partition_counts(
    brokers: str, topics: Sequence[str], security: Mapping[str, Any]
) -> dict[str, int]:
    client = AIOKafkaClient(bootstrap_servers=brokers, **security)
    asking = _asking.set(True)
    try:
        with broker_errors(brokers):
            async with asyncio.timeout(ANSWER_SECONDS):
                await client.bootstrap()
                cluster = await client.fetch_all_metadata()
    finally:
        await client.close()
        _asking.reset(asking)
    return {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in topics}


async def partition_count(settings: Settings, topic: str) -> int:
    """Return how many partitions ``topic`` has; raises what `partition_counts` raises."""
    return (await partition_counts(settings.kafka, [topic], settings.aiokafka_security()))[topic]


async def check_topics(settings: Settings, topics: Sequence[str]) -> int:
    """Return the partition count that all these topics have.

    Raises
    ------
    BrokerUnavailable
        No broker answers.
    TopicMismatch
        A topic is missing, or they differ.
    """
    counts = await partition_counts(settings.kafka, topics, settings.aiokafka_security())
    if len(set(counts.values())) > 1:
        raise TopicMismatch(
            "these topics must have the same number of partitions, but "
            + ", ".join(f"{topic} has {count}" for topic, count in counts.items())
            + ": delete those that differ and run `intent topics create`, or set another INTENT_TOPIC_PREFIX"
        )
    return counts[topics[0]]

"""The newest records of a topic, looked at again and again: a stream may be faster than eyes."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Final, Self

from kafka import KafkaConsumer, TopicPartition

from stream.settings import Settings

# Bounds one look. Records below the end come at once; a broker that is busy is looked at again later.
_LOOK_SECONDS: Final = 0.5
_POLL_MS: Final = 50


class NewestRecords:
    """Reads the last records of every partition, as often as it is asked, at a cost that no stream's speed changes.

    Parameters
    ----------
    settings
        Where Kafka is.
    topic
        What to look at.
    records
        How many of each partition.
    """

    def __init__(self, settings: Settings, topic: str, records: int = 250) -> None:
        self._topic, self._records = topic, records
        self._consumer = KafkaConsumer(
            bootstrap_servers=settings.kafka,
            client_id="intent-newest",
            enable_auto_commit=False,
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            **settings.kafka_python_security(),
        )
        self._partitions = [
            TopicPartition(topic, number)
            for number in sorted(self._consumer.partitions_for_topic(topic) or ())
        ]
        self._consumer.assign(self._partitions)

    def read(self) -> list[bytes]:
        """Return the values of the last records, tombstones aside; those of a partition in their order."""
        ends = self._consumer.end_offsets(self._partitions)
        for partition, end in ends.items():
            self._consumer.seek(partition, max(end - self._records, 0))
        left = {partition for partition, end in ends.items() if end}
        found: list[bytes] = []
        deadline = time.monotonic() + _LOOK_SECONDS
        while left and time.monotonic() < deadline:
            for partition, records in self._consumer.poll(timeout_ms=_POLL_MS).items():
                found += [record.value for record in records if record.value is not None]
                if records[-1].offset + 1 >= ends[partition]:
                    left.discard(partition)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close(timeout_ms=1_000)

"""Records for other partitions, written to the events topic: what is too large for it becomes a dead letter.

The save that has promised them is done, so a record that the broker does not take must not hold its partition up for
ever: it is kept as a letter, counted, and the others go on. If somebody has lowered the topic's limit meanwhile, the
broker refuses; then it is asked for the limit again.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError, TopicAuthorizationFailedError

from features.events import Reason
from features.identity import HAND_OVER_BYTES, source_offset
from stream.formats.contract import NATIVE
from stream.kafka.topics import EventsTopic
from stream.messages.dead_letter import DeadLetter
from stream.ownership.promised import HandOverRecord
from stream.scoring.publisher import Output, Publishes
from stream.texts import counted

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class HandingOver:
    """Writes what a partition hands to others.

    Parameters
    ----------
    publisher
        Writes.
    topic
        The events topic.
    clock
        Returns the wall clock, epoch ms.
    ask
        Asks what the topic takes at this moment; ``None`` where nobody knows.
    """

    publisher: Publishes
    topic: str
    clock: Callable[[], int]
    ask: Callable[[], Awaitable[EventsTopic]] | None = None

    async def publish(self, partition: int, handed: Sequence[HandOverRecord]) -> int:
        """Write records, and wait for the acknowledgement of all; return how many have become dead letters.

        Raises
        ------
        KafkaError
            As `Publisher.publish`.
        """
        before = self.publisher.events_bytes  # another partition may find out at the same time
        try:
            return await self._publish(partition, handed)
        except TopicAuthorizationFailedError as error:
            raise TopicAuthorizationFailedError(not_writable(self.topic)) from error
        except (MessageSizeTooLargeError, RecordListTooLargeError):
            if self.ask is None or (now := await self.ask()).batch_bytes >= before:
                raise
            logger.warning("%s now takes batches of %s bytes alone", self.topic, now.batch_bytes)
            self.publisher.events_bytes = now.batch_bytes
            return await self._publish(partition, handed)

    async def _publish(self, partition: int, handed: Sequence[HandOverRecord]) -> int:
        fitting, large = list[HandOverRecord](), list[HandOverRecord]()
        for record in handed:
            (fitting if self.publisher.fits(record) else large).append(record)
        letters = [self._letter(partition, customer, value) for _, customer, value in large]
        await self.publisher.publish([Output(partition, letters=letters, handed=fitting)])
        if letters:
            logger.error(
                "partition %s: %s for other partitions became dead letters (too_large): %s takes batches of %s bytes; "
                "set its max.message.bytes to %s or more",
                partition, counted(len(letters), "record"), self.topic, self.publisher.events_bytes, HAND_OVER_BYTES,
            )  # fmt: skip
        return len(letters)

    def _letter(self, partition: int, customer: str, value: bytes) -> DeadLetter:
        return DeadLetter(
            customer.encode(),
            value,
            Reason.TOO_LARGE,
            f"a record for another partition has {len(value)} bytes, and {self.topic} takes batches of "
            f"{self.publisher.events_bytes}",
            self.topic,
            partition,
            source_offset(value),
            self.clock(),
            [NATIVE],
        )


def not_writable(topic: str) -> str:
    """Return what is wrong where a worker may not write to the events topic, and what to do."""
    return (
        f"this worker may not write to {topic}: a login stops its partition, since it is handed to another one in that "
        f"topic; allow it (`kafka-acls.sh --add --operation Write --topic {topic} ...`)"
    )

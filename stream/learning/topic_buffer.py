"""One topic of the learner, as the transport sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from features.causes import cause
from features.exceptions import IntentError
from stream.exceptions import BrokerError
from stream.kafka.batches import RecordBatch
from stream.kafka.contract import Log

if TYPE_CHECKING:
    from stream.learning.topic_buffers import TopicBuffers

#: What a person can do where the topics are not those that were read.
START_OVER: Final = "run `intent learner --start-over`"


class TopicBuffer:
    """The owner of its partitions (`stream.kafka.contract.Owning`): passes on to `TopicBuffers` what is fetched.

    Attributes
    ----------
    log
        Where the partitions are read from.
    expected
        By partition, the offset of the next record to take.
    saved
        By partition, the offset up to which a snapshot holds what was read.
    """

    log: Log
    expired = START_OVER

    def __init__(self, topic: str, name: str, buffers: TopicBuffers) -> None:
        self.name = name
        self.expected: dict[int, int] = {}
        self.saved: dict[int, int] = {}
        self._topic = topic
        self._buffers = buffers

    @property
    def refusal(self) -> IntentError | None:
        """Why the learner must end."""
        return self._buffers.refusal

    @property
    def refused(self) -> asyncio.Event:
        """Set together with `refusal`."""
        return self._buffers.refused

    def attach(self, log: Log) -> None:
        """Tell where the partitions are read from. The transport calls this."""
        self.log = log

    def assign(self, partitions: Iterable[int]) -> None:
        """Begin to read ``partitions``."""
        self.saved = {}
        self._buffers.assigned(self._topic, partitions)

    async def release(self) -> None:
        """Stop reading: nothing has to be finished, since a snapshot holds how far it has come."""
        self._buffers.assigned(self._topic, ())

    def close(self) -> None:
        """Do nothing."""

    def offer(self, batch: RecordBatch) -> None:
        """Pass a fetched batch on."""
        self._buffers.put((self._topic, batch.partition), batch)

    def wants(self, partition: int) -> bool:
        """Whether more of a partition is wanted. May be asked from any thread."""
        source = (self._topic, partition)
        return source in self._buffers.wanted and not self._buffers.has(source)

    def progress(self) -> dict[int, int]:
        """Return the offsets that Kafka may commit, for lag tools."""
        return self.saved

    def commit_metadata(self, partition: int) -> str:
        """See `stream.kafka.contract.Owning.commit_metadata`: what was read stands in the snapshot."""
        return ""

    def hinder(self, error: Exception, partition: int | None = None) -> None:
        """End the learner: without records it does nothing."""
        self.refuse(BrokerError(f"Kafka does not let this learner read {self._topic}: {cause(error)}"))

    def refuse(self, error: IntentError) -> None:
        """End the learner because of ``error``."""
        self._buffers.refuse(error)

    def lag(self) -> dict[int, int]:
        """Return how many records wait in Kafka, by partition."""
        if not self._buffers.complete:
            return {}
        ends = {partition: self.log.end(partition) for partition in self.expected}
        return {p: max(0, end - self.expected[p]) for p, end in ends.items() if end is not None}

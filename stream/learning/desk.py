"""Both topics of the learner, read as far as they are wanted: batches in order and without gaps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from features.exceptions import IntentError
from stream.exceptions import OffsetOutsideLog
from stream.kafka.batches import RecordBatch
from stream.kafka.contract import Log
from stream.learning.learning import Source

logger = logging.getLogger(__name__)

_START_OVER: Final = "run `intent learner --start-over`"


class Desk:
    """Where batches of both topics come in, each partition's in order, for one learner that takes them one by one.

    Parameters
    ----------
    names
        The Kafka topic of each of `stream.learning.learning.TOPICS`.
    partitions
        Partition count of both.
    """

    def __init__(self, names: dict[str, str], partitions: int) -> None:
        self.refusal: IntentError | None = None
        self.refused = asyncio.Event()
        self.trays = {topic: Tray(topic, name, self) for topic, name in names.items()}
        self.wanted: frozenset[Source] = frozenset()
        self._partitions = partitions
        self._all = {(topic, number) for topic in names for number in range(partitions)}
        self._assigned: set[Source] = set()
        self._came: dict[Source, RecordBatch] = {}
        self._news = asyncio.Event()
        self._turn = 0

    @property
    def complete(self) -> bool:
        """Whether all partitions of both topics are assigned to this process."""
        return self._assigned == self._all

    def current(self, turn: int) -> bool:
        """Whether the assignment is still the one of this number."""
        return turn == self._turn

    async def opened(self) -> int:
        """Wait until all partitions are assigned; return the number of the assignment."""
        while not self.complete:
            await self._wait()
        return self._turn

    async def begin(self, positions: dict[Source, int]) -> None:
        """Seek to the positions (Kafka offsets, -1 for the earliest).

        Raises
        ------
        OffsetOutsideLog
            What was not read yet has expired, or the topic was made anew.
        """
        for (topic, partition), offset in positions.items():
            tray = self.trays[topic]
            bounds = await tray.log.bounds(partition)
            if offset >= 0 and not bounds.earliest <= offset <= bounds.latest:
                raise OffsetOutsideLog(
                    f"partition {partition} of {tray.name} holds offsets {bounds.earliest} to {bounds.latest}, but the "
                    f"learner goes on at {offset}: the topic was made anew, or records expired unread; {_START_OVER}"
                )
            tray.expected[partition] = offset if offset >= 0 else bounds.earliest
            await tray.log.seek(partition, tray.expected[partition])
        self._came.clear()  # fetched before

    async def next(self, turn: int, seconds: float) -> tuple[str, RecordBatch] | None:
        """Return the next records of any partition; ``None`` if none came in time, or the assignment has changed."""
        if not self._came and turn == self._turn:
            await self._wait(seconds)
        if turn != self._turn or not self._came:
            return None
        source = next(iter(self._came))
        (topic, partition), batch = source, self._came.pop(source)
        tray = self.trays[topic]
        expected = tray.expected[partition]
        if batch.start > expected:
            logger.warning(
                "%s-%s: %s came where %s was expected", tray.name, partition, batch.start, expected
            )
            await tray.log.seek(partition, expected)
            return None
        if batch.stop <= expected:
            tray.log.wake()
            return None
        tray.expected[partition] = batch.stop
        return topic, batch.since(expected)

    def want(self, wanted: frozenset[Source]) -> None:
        """Fetch records of these, and of no others."""
        self.wanted = wanted
        for tray in self.trays.values():
            tray.log.wake()

    def came(self, source: Source, batch: RecordBatch) -> None:
        """Take a batch that was fetched."""
        waiting = self._came.get(source)
        if waiting is None:
            self._came[source] = batch
        elif waiting.stop == batch.start:
            self._came[source] = waiting._replace(records=[*waiting.records, *batch.records], stop=batch.stop)
        else:
            self._came[source] = batch  # after a seek
        self._news.set()

    def has(self, source: Source) -> bool:
        """Whether a batch of a partition waits. May be asked from any thread."""
        return source in self._came

    def assigned(self, topic: str, partitions: Iterable[int]) -> None:
        """Take note of the partitions of a topic that this process has now."""
        self._assigned = {source for source in self._assigned if source[0] != topic}
        self._assigned |= {(topic, partition) for partition in partitions}
        self._turn += 1
        self._came.clear()
        self.wanted = frozenset()
        self._news.set()

    def refuse(self, error: IntentError) -> None:
        """End the learner because of ``error``."""
        if self.refusal is None:
            self.refusal = error
            self.refused.set()

    async def _wait(self, seconds: float | None = None) -> None:
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            return
        self._news.clear()


class Tray:
    """One topic at the desk: what the transport knows of it."""

    log: Log
    expired = _START_OVER

    def __init__(self, topic: str, name: str, desk: Desk) -> None:
        self.name = name
        self.expected: dict[int, int] = {}
        self.saved: dict[int, int] = {}
        self._topic = topic
        self._desk = desk

    @property
    def refusal(self) -> IntentError | None:
        """Why the learner must end."""
        return self._desk.refusal

    @property
    def refused(self) -> asyncio.Event:
        """Set together with `refusal`."""
        return self._desk.refused

    def attach(self, log: Log) -> None:
        """Tell where the partitions are read from. The transport calls this."""
        self.log = log

    def assign(self, partitions: Iterable[int]) -> None:
        """Begin to read ``partitions``."""
        self.saved = {}
        self._desk.assigned(self._topic, partitions)

    async def release(self) -> None:
        """Stop reading: nothing has to be finished, since a snapshot holds how far it has come."""
        self._desk.assigned(self._topic, ())

    def close(self) -> None:
        """Do nothing."""

    def offer(self, batch: RecordBatch) -> None:
        """Pass a fetched batch on."""
        self._desk.came((self._topic, batch.partition), batch)

    def wants(self, partition: int) -> bool:
        """Whether more of a partition is wanted. May be asked from any thread."""
        source = (self._topic, partition)
        return source in self._desk.wanted and not self._desk.has(source)

    def progress(self) -> dict[int, int]:
        """Return the offsets that Kafka may commit, for lag tools."""
        return self.saved

    def refuse(self, error: IntentError) -> None:
        """End the learner because of ``error``."""
        self._desk.refuse(error)

    def lag(self) -> dict[int, int]:
        """Return how many records wait in Kafka, by partition."""
        ends = {partition: self.log.end(partition) for partition in self.expected}
        return {p: max(0, end - self.expected[p]) for p, end in ends.items() if end is not None}

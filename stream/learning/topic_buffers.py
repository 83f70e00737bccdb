"""Buffers of both topics of the learner: batches in order and without gaps, read only as far as they are wanted."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import Final

from aiokafka.errors import KafkaError

from features.causes import cause
from features.exceptions import IntentError
from stream.exceptions import OffsetOutsideLog
from stream.kafka.batches import RecordBatch
from stream.kafka.record_columns import joined
from stream.learning.learning import Source
from stream.learning.log_marks import LogMarks
from stream.learning.topic_buffer import START_OVER, TopicBuffer
from stream.ownership.owner import IDLE_SECONDS, LOG_CHECK_SECONDS

logger = logging.getLogger(__name__)

# A look at the logs takes a few requests per partition; learning and saving wait for it no longer than this.
_CHECK_SECONDS: Final = 5.0


class TopicBuffers:
    """One batch per partition of both topics, in order, until the learner takes it.

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
        self.topics = {topic: TopicBuffer(topic, name, self) for topic, name in names.items()}
        self.wanted: frozenset[Source] = frozenset()
        self._wanted_since: dict[Source, float] = {}
        self._partitions = partitions
        self._all = {(topic, number) for topic in names for number in range(partitions)}
        self._assigned: set[Source] = set()
        self._fetched: dict[Source, RecordBatch] = {}
        self._changed = asyncio.Event()
        self._assignment = 0
        # What seemed lost at the last look, by the offset that was expected.
        self._missing: dict[Source, int] = {}
        self._looked_at = self._checked_at = time.monotonic()
        self._marks = LogMarks(names, partitions)

    @property
    def complete(self) -> bool:
        """Whether all partitions of both topics are assigned to this process."""
        return self._assigned == self._all

    def current(self, assignment: int) -> bool:
        """Whether the assignment is still the one of this number."""
        return assignment == self._assignment

    async def opened(self) -> int:
        """Wait until all partitions are assigned; return the number of the assignment."""
        while not self.complete:
            await self._wait()
        return self._assignment

    async def begin(self, positions: dict[Source, int], marks: LogMarks | None = None) -> None:
        """Seek to the positions (Kafka offsets, -1 for the earliest), if the logs are those that ``marks`` name.

        Raises
        ------
        OffsetOutsideLog
            What was not read yet has expired, or Kafka lost its newest records.
        TopicRecreated, LogCut
            A topic was created again, or records that were read have others in their place.
        """
        self._marks = marks or self._marks
        for (topic, partition), offset in positions.items():
            buffer = self.topics[topic]
            bounds = await buffer.log.bounds(partition)
            await self._marks.check(topic, buffer.name, partition, buffer.log, bounds, offset)
            if offset >= 0 and not bounds.earliest <= offset <= bounds.latest:
                raise OffsetOutsideLog(
                    f"partition {partition} of {buffer.name} holds offsets {bounds.earliest} to {bounds.latest}, but "
                    f"the learner continues at {offset}: the topic was created again, or records expired before "
                    f"they were read; {START_OVER}"
                )
            buffer.expected[partition] = offset if offset >= 0 else bounds.earliest
            await buffer.log.seek(partition, buffer.expected[partition])
        self._fetched.clear()  # fetched before
        self._missing = {}
        self._looked_at = self._checked_at = time.monotonic()

    async def next(self, assignment: int, seconds: float) -> list[tuple[str, RecordBatch]]:
        """Return the next records of all partitions that have some.

        None if none came in time, or the assignment has changed.
        """
        if not self._fetched and assignment == self._assignment:
            await self._wait(seconds)
        if assignment == self._assignment:
            await self._look_round()
        if self.refusal is not None:
            self._fetched.clear()  # nothing of another log is learned
        came: list[tuple[str, RecordBatch]] = []
        while self._fetched and assignment == self._assignment:
            source = next(iter(self._fetched))
            (topic, partition), batch = source, self._fetched.pop(source)
            buffer = self.topics[topic]
            expected = buffer.expected[partition]
            if batch.start > expected:
                logger.warning(
                    "%s-%s: %s came where %s was expected", buffer.name, partition, batch.start, expected
                )
                await buffer.log.seek(partition, expected)
            elif batch.stop <= expected:
                buffer.log.wake()
            elif not await self._is_of_another_log(source, batch.epoch, expected):
                self._marks.took(topic, partition, batch.epoch)
                buffer.expected[partition] = batch.stop
                came.append((topic, batch.since(expected)))
        return came if assignment == self._assignment else []

    async def _is_of_another_log(self, source: Source, epoch: int, expected: int) -> bool:
        """Refuse to go on, and return true, where a new leader has written a batch to another log."""
        topic, partition = source
        if not self._marks.news(topic, partition, epoch):
            return False
        buffer = self.topics[topic]
        error = await self._marks.cut(topic, buffer.name, partition, buffer.log, expected)
        if error is not None:
            self.refuse(error)
        return error is not None

    async def _look_round(self) -> None:
        """Read again what was fetched but never came, and hold the logs against the marks, both now and then."""
        now = time.monotonic()
        if now - self._looked_at >= IDLE_SECONDS:
            self._looked_at = now
            await self._read_again()
        if now - self._checked_at >= LOG_CHECK_SECONDS:
            self._checked_at = now
            try:
                async with asyncio.timeout(_CHECK_SECONDS):
                    await self._check_logs()
            except (KafkaError, TimeoutError) as error:
                logger.warning(
                    "whether the topics are still the same cannot be checked now: %s", cause(error)
                )
            except IntentError as error:
                self.refuse(error)

    async def _read_again(self) -> None:
        """Seek back where Kafka has handed over what has not arrived since the last look.

        Nothing that follows would show the gap on a partition that has fallen silent.
        """
        former, self._missing = self._missing, {}
        for source in sorted(self.wanted - self._fetched.keys()):
            topic, partition = source
            buffer = self.topics[topic]
            expected, position = buffer.expected[partition], buffer.log.position(partition)
            if position is None or position <= expected:
                continue
            if former.get(source) != expected:
                self._missing[source] = expected  # it may be on its way
                continue
            logger.warning(
                "%s-%s: records %s to %s were fetched but never came, reading again",
                buffer.name, partition, expected, position,
            )  # fmt: skip
            await buffer.log.seek(partition, expected)

    async def _check_logs(self) -> None:
        """Refuse what `begin` refuses: a topic made again under a running learner shows no new leader epoch."""
        for topic, buffer in self.topics.items():
            for partition, offset in list(buffer.expected.items()):
                bounds = await buffer.log.bounds(partition)
                await self._marks.check(topic, buffer.name, partition, buffer.log, bounds, offset)

    def at_end(self, came: Iterable[tuple[str, RecordBatch]]) -> bool:
        """Whether these batches end where their logs end, as far as is known."""
        return all(batch.stop >= (self.topics[topic].log.end(batch.partition) or 0) for topic, batch in came)

    def want(self, wanted: frozenset[Source]) -> None:
        """Fetch records of these, and of no others."""
        now = time.monotonic()
        self._wanted_since = {source: self._wanted_since.get(source, now) for source in wanted}
        self.wanted = wanted
        for buffer in self.topics.values():
            buffer.log.wake()

    def wanted_lag(self) -> int:
        """Return how many records wait in Kafka that are wanted now."""
        lags = {topic: buffer.lag() for topic, buffer in self.topics.items()}
        return sum(lags[topic].get(partition, 0) for topic, partition in self.wanted)

    def silent(self, since: float) -> str:
        """Return which partition's fetch, or which heartbeat, was last answered before ``since``; empty if none was.

        Parameters
        ----------
        since
            Seconds of `time.monotonic`.
        """
        if not self.complete:
            return ""
        now = time.monotonic()
        for (topic, partition), wanted_at in self._wanted_since.items():
            buffer = self.topics[topic]
            answered = max(buffer.log.fetched_at(partition), wanted_at)
            if answered < since and (topic, partition) not in self._fetched:
                return f"partition {partition} of {buffer.name}: Kafka has answered no fetch for {now - answered:.0f} s"
        heartbeat = next(iter(self.topics.values())).log.heartbeat_at()
        if heartbeat < since:
            return f"the consumer group's coordinator has answered no heartbeat for {now - heartbeat:.0f} s"
        return ""

    def put(self, source: Source, batch: RecordBatch) -> None:
        """Add a batch that was fetched."""
        waiting = self._fetched.get(source)
        if waiting is None:
            self._fetched[source] = batch
        elif waiting.stop == batch.start:
            self._fetched[source] = waiting._replace(
                records=joined([waiting.records, batch.records]), stop=batch.stop, epoch=batch.epoch
            )
        else:
            self._fetched[source] = batch  # after a seek
        self._changed.set()

    def has(self, source: Source) -> bool:
        """Whether a batch of a partition is buffered. May be asked from any thread."""
        return source in self._fetched

    def assigned(self, topic: str, partitions: Iterable[int]) -> None:
        """Set the partitions of a topic that this process has now; all buffers are emptied."""
        self._assigned = {source for source in self._assigned if source[0] != topic}
        self._assigned |= {(topic, partition) for partition in partitions}
        self._assignment += 1
        self._fetched.clear()
        self.wanted, self._wanted_since = frozenset(), {}
        self._changed.set()

    def refuse(self, error: IntentError) -> None:
        """End the learner because of ``error``."""
        if self.refusal is None:
            self.refusal = error
            self.refused.set()

    async def _wait(self, seconds: float | None = None) -> None:
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return
        self._changed.clear()

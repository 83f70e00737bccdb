"""Read a topic from a beginning to the end that it has now, without a consumer group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Final, Self, cast

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import CorruptRecordException, OffsetOutOfRangeError

from features.events import MAX_BYTES
from stream.exceptions import ANSWER_SECONDS, BrokerError, BrokerUnavailable
from stream.kafka.broker import broker_errors, partition_count
from stream.kafka.contract import TooOld
from stream.kafka.epochs import described
from stream.kafka.parsing import parse_leniently
from stream.settings import Settings

# Records handed over at a time; with what the broker sends ahead of them this bounds memory.
_BATCH_RECORDS: Final = 20_000
_FETCH_BYTES: Final = max(1 << 20, 16 * MAX_BYTES)

# How long one look for records may take. The end is known, so this only paces looking again.
_POLL_MS: Final = 500

# Records below the end come as fast as the broker can send them; a silence this long means that it does not.
_SILENCE_SECONDS: Final = 60.0


class TopicReader:
    """Reads all partitions of a topic up to their present ends; committed records only.

    Parameters
    ----------
    settings
        Where Kafka is.
    topic
        What to read.

    Attributes
    ----------
    partitions
        How many partitions the topic has.
    begins, ends
        By partition: the first offset, and the offset after the last record, when the reader was opened.
    topic_id
        Kafka's id of the topic, in hexadecimal digits; empty where the broker is too old to give one.
    """

    def __init__(self, settings: Settings, topic: str) -> None:
        self.topic = topic
        self.partitions = 0
        self.begins: dict[int, int] = {}
        self.ends: dict[int, int] = {}
        self.topic_id = ""
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None

    async def __aenter__(self) -> Self:
        numbers = range(await partition_count(self._settings, self.topic))
        parse_leniently()
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            max_partition_fetch_bytes=_FETCH_BYTES,
            request_timeout_ms=int(ANSWER_SECONDS * 1000),
            **self._settings.aiokafka_security(),
        )
        self._consumer = consumer
        try:
            with broker_errors(self._settings.kafka):
                async with asyncio.timeout(ANSWER_SECONDS):
                    await consumer.start()
                    consumer.assign(self._all(numbers))
                    begins = await consumer.beginning_offsets(self._all(numbers))
                    ends = await consumer.end_offsets(self._all(numbers))
                    with suppress(TooOld):
                        self.topic_id = (await described(consumer._client, self.topic)).topic_id.hex()
        except BaseException:
            await consumer.stop()
            raise
        self.partitions = len(numbers)
        self.begins = {tp.partition: offset for tp, offset in begins.items()}
        self.ends = {tp.partition: offset for tp, offset in ends.items()}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._reading().stop()

    async def since(self, timestamp_ms: int) -> dict[int, int]:
        """Return by partition the offset of the first record of this time or later (or the end)."""
        with broker_errors(self._settings.kafka):
            found = await self._reading().offsets_for_times(dict.fromkeys(self._all(self.ends), timestamp_ms))
        return {
            tp.partition: self.ends[tp.partition] if at is None else cast(int, at.offset)
            for tp, at in found.items()
        }

    async def read(
        self,
        starts: Mapping[int, int] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> AsyncIterator[tuple[int, list[ConsumerRecord]]]:
        """Yield a partition and its next records, in offset order, until every partition is at its end.

        Parameters
        ----------
        starts
            Offset to begin with by partition; the first one where none is given.
        on_progress
            Called with offsets passed and offsets in all.
        """
        consumer = self._reading()
        begins = {
            p: min(max((starts or {}).get(p, begin), begin), self.ends[p]) for p, begin in self.begins.items()
        }
        total = sum(self.ends[p] - begin for p, begin in begins.items())
        left = {p for p, begin in begins.items() if begin < self.ends[p]}
        for number, begin in begins.items():
            consumer.seek(TopicPartition(self.topic, number), begin)
        consumer.pause(*self._all(begins.keys() - left))
        loop = asyncio.get_running_loop()
        passed, news = 0, loop.time()
        while left:
            with broker_errors(self._settings.kafka), self._whole():
                fetched = await consumer.getmany(
                    *self._all(left), timeout_ms=_POLL_MS, max_records=_BATCH_RECORDS
                )
                positions = {p: await consumer.position(TopicPartition(self.topic, p)) for p in left}
            for tp, records in fetched.items():
                end = self.ends[tp.partition]
                if records[0].offset < end:  # what lies at or above it came since the reader was opened
                    yield tp.partition, [record for record in records if record.offset < end]
            # Holes (markers, aborted transactions, compaction) have no records: only positions tell that all
            # is read.
            done = {p for p, position in positions.items() if position >= self.ends[p]}
            consumer.pause(*self._all(done))
            left -= done
            before, passed = passed, total - sum(self.ends[p] - max(positions[p], begins[p]) for p in left)
            if on_progress is not None and passed > before:
                on_progress(passed, total)
            if passed > before:
                news = loop.time()
            elif loop.time() - news > _SILENCE_SECONDS:
                raise BrokerUnavailable(
                    f"Kafka at {self._settings.kafka} sent no more records of {self.topic}: check the broker, "
                    "then try again"
                )

    async def record_at(self, partition: int, offset: int) -> ConsumerRecord | None:
        """Return the record at an offset, ``None`` if it is not there (any more). Not while `read` is under way."""
        if not self.begins.get(partition, 0) <= offset < self.ends.get(partition, 0):
            return None
        consumer, tp = self._reading(), TopicPartition(self.topic, partition)
        consumer.pause(*self._all(self.ends.keys()))
        consumer.resume(tp)
        consumer.seek(tp, offset)
        loop = asyncio.get_running_loop()
        silent = loop.time() + _SILENCE_SECONDS
        while loop.time() < silent:
            with broker_errors(self._settings.kafka), self._whole():
                fetched = await consumer.getmany(tp, timeout_ms=_POLL_MS, max_records=1)
                position = await consumer.position(tp)
            for record in fetched.get(tp, ()):
                return cast("ConsumerRecord", record) if record.offset == offset else None
            if position > offset:  # a hole
                return None
        raise BrokerUnavailable(
            f"Kafka at {self._settings.kafka} sent no record of {self.topic}: check the broker, then try again"
        )

    def _all(self, numbers: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(self.topic, number) for number in numbers]

    def _reading(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise RuntimeError("the reader is not open: use it as an async context manager")
        return self._consumer

    @contextmanager
    def _whole(self) -> Iterator[None]:
        try:
            yield
        except OffsetOutOfRangeError as error:
            raise BrokerError(
                f"records of {self.topic} expired while they were read ({error}): run the command again"
            ) from error
        except CorruptRecordException as error:
            raise BrokerError(
                f"{self.topic} cannot be read: {error.args[0]}; restore the partition from another replica or a backup"
            ) from error

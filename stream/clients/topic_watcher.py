"""Reads a topic of answers as they are published, alone or as a member of a group that remembers where it was."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from kafka import AsyncConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import (
    CommitFailedError,
    CorruptRecordError,
    GroupAuthorizationFailedError,
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    TopicAuthorizationFailedError,
    UnknownMemberIdError,
    UnsupportedCodecError,
)
from kafka.structs import MemberState

from features.decoding import Undecodable, decoded
from stream.clients.standing import LogTime
from stream.clients.worker_group import WorkerGroup, worker_group
from stream.exceptions import BrokerError, BrokerUnavailable
from stream.kafka.diagnosis import check_access, unavailable
from stream.settings import Settings

Message = TypeVar("Message")

logger = logging.getLogger(__name__)

# Bounds finding the broker and the topic, at the start.
_CONNECT_SECONDS: Final = 10.0
# Joining a group may wait for a former member's session to end (45 s by default).
_JOIN_SECONDS: Final = 60.0
# One look for records; a stop is noticed within this much.
_POLL_MS: Final = 200
_POLL_RECORDS: Final = 2_000
# What has been passed is committed this often; a crash repeats what came since.
_COMMIT_SECONDS: Final = 1.0
# The log's time is looked at this often. Who has left a list is, too: it takes 10 ms for the longest one.
_EXPIRE_SECONDS: Final = 0.25
_CLOSE_MS: Final = 5_000


class TopicWatcher(ABC, Generic[Message]):
    """Iterates over the messages of a topic, those of a customer in order; waits for more at the end.

    What is read, and what of it is wanted, is what the kinds say.

    Parameters
    ----------
    settings
        Where Kafka is.
    topic, kind
        What is read, and what one message of it is called.
    decode
        Reads a message from its bytes.
    group, from_beginning, limit, on_erased
        As those who watch have them (`stream.clients.watch.ScoreWatcher`).

    Attributes
    ----------
    topic, kind
        As above.
    messages
        Messages that came, whether they were wanted or not.
    unreadable
        Records that were no such messages, and were passed over.
    now_ms
        The time at which the log stands, epoch ms: its own where it is replayed, the wall clock where it is live.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        topic: str,
        kind: str,
        decode: Callable[[bytes], Message],
        group: str | None,
        from_beginning: bool,
        limit: int | None,
        on_erased: Callable[[str], None] | None,
    ) -> None:
        self.topic = topic
        self._settings = settings
        self.kind = kind
        self._decode = decode
        self._group = group
        self._on_erased = on_erased
        self._limit = limit
        self._log_time = LogTime()
        self._expired_at = time.monotonic()
        self._stopped = threading.Event()
        self._passed: dict[TopicPartition, OffsetAndMetadata] = {}
        self._committed_at = time.monotonic()
        self._started = False
        self.messages = 0
        self.unreadable = 0
        self.now_ms: int | None = None
        self._consumer = self._connect("earliest" if from_beginning else "latest")

    @abstractmethod
    def _wants(self, message: Message, partition: int) -> bool:
        """Whether a message passes the filters."""

    @abstractmethod
    def _reach(self, message: Message, record: Any) -> None:
        """Tell the log's time of a message."""

    def _leave(self, message: Message, *, wanted: bool) -> None:
        """Go on from a message."""

    def _erase(self, customer: str) -> None:
        """Forget a customer."""

    def _move_to(self, now_ms: int) -> None:
        """Take the log's time, again and again."""

    def _connect(self, reset: str) -> Any:
        check_access(self._settings.kafka, self._settings.kafka_python_security())
        try:
            consumer = KafkaConsumer(
                bootstrap_servers=self._settings.kafka,
                client_id="intent-watcher",
                group_id=self._group,
                auto_offset_reset=reset,
                enable_auto_commit=False,
                isolation_level="read_committed",
                max_poll_records=_POLL_RECORDS,
                bootstrap_timeout_ms=int(_CONNECT_SECONDS * 1000),
                allow_auto_create_topics=False,
                **self._settings.kafka_python_security(),
            )
        except KafkaError as error:
            raise self._unavailable() from error
        try:
            there = self.topic in consumer.topics()
        except KafkaError as error:
            consumer.close(timeout_ms=_CLOSE_MS)
            raise self._unavailable() from error
        if not there:
            consumer.close(timeout_ms=_CLOSE_MS)
            raise self._unavailable(self.topic)
        return consumer

    def _unavailable(self, topic: str | None = None) -> BrokerError:
        return unavailable(self._settings.kafka, self._settings.kafka_python_security(), topic)

    def start(self) -> None:
        """Find out where to begin: what is published from now on will be seen."""
        if self._started:
            return
        if self._group is None:
            partitions = self._consumer.partitions_for_topic(self.topic)
            self._consumer.assign([TopicPartition(self.topic, number) for number in sorted(partitions)])
        else:
            self._consumer.subscribe([self.topic], listener=_CommitBefore(self))
        deadline = time.monotonic() + _JOIN_SECONDS
        try:
            while not self._stopped.is_set() and not (self._knows_where() and self._remembers_where()):
                if time.monotonic() > deadline:
                    raise BrokerUnavailable(
                        f"Kafka did not return the start offsets within {_JOIN_SECONDS:.0f} s: try again"
                    )
        except KafkaError as error:
            raise self._rejected(error) from error
        self._started = True

    def stop(self) -> None:
        """End the iteration; may be called from another thread or a signal handler."""
        self._stopped.set()

    def close(self) -> None:
        """Commit what has been passed, where there is a group, and leave it."""
        self._stopped.set()
        if self.unreadable > 1:
            logger.warning(
                "%s records of %s were no %ss and were passed over", self.unreadable, self.topic, self.kind
            )
        self.commit()
        self._consumer.close(autocommit=False, timeout_ms=_CLOSE_MS)

    def workers(self) -> WorkerGroup | None:
        """Return the workers who publish what is watched, ``None`` where Kafka does not say."""
        return worker_group(self._settings)

    def hint(self) -> str:
        """Return what to add where messages came and none was wanted; empty where nothing helps."""
        return ""

    def commit(self) -> bool:
        """Let the group remember what has been passed. Without a group nothing is remembered.

        Returns
        -------
        bool
            False where partitions have gone to another member, which repeats what they held.
        """
        passed = self._take_passed()
        if not passed:
            return True
        try:
            self._consumer.commit(passed, timeout_ms=_CLOSE_MS)
        except (
            CommitFailedError,
            RebalanceInProgressError,
            IllegalGenerationError,
            UnknownMemberIdError,
        ) as error:
            logger.info("%ss of group %s will be repeated: %s", self.kind, self._group, error)
            return False
        except KafkaError as error:
            raise BrokerError(
                f"Kafka at {self._settings.kafka} rejected the group's offsets: {error}"
            ) from error
        return True

    async def commit_before_rebalance(self) -> None:
        """Commit on the event loop of kafka-python, which waits for this before partitions go elsewhere.

        What Kafka does not take is repeated by the members that get the partitions.
        """
        passed = self._take_passed()
        if passed:
            try:
                await self._consumer.commit_async(passed)
            except KafkaError as error:
                logger.info("%ss of group %s will be repeated: %s", self.kind, self._group, error)

    def _take_passed(self) -> dict[TopicPartition, OffsetAndMetadata]:
        passed, self._passed = self._passed, {}
        self._committed_at = time.monotonic()
        return passed if self._group is not None else {}

    def __iter__(self) -> Iterator[Message]:
        self.start()
        seen = 0
        while not self._stopped.is_set():
            for position, record in self._poll():
                message = self._read(record)
                if message is not None:
                    wanted = self._wants(message, record.partition)
                    if wanted:
                        yield message
                        seen += 1
                    self._leave(message, wanted=wanted)
                self._passed[position] = OffsetAndMetadata(record.offset + 1, "", -1)
                if self._stopped.is_set() or seen == self._limit:
                    return
            if time.monotonic() - self._committed_at > _COMMIT_SECONDS:
                self.commit()
            if time.monotonic() - self._expired_at > _EXPIRE_SECONDS:
                self._expire()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _poll(self) -> Iterator[tuple[TopicPartition, Any]]:
        try:
            polled = self._poll_consumer()
        except KafkaError as error:
            raise self._rejected(error) from error
        return ((position, record) for position, records in polled.items() for record in records)

    def _rejected(self, error: KafkaError) -> BrokerError:
        """Return what Kafka, or its client, does not let this watcher do."""
        if isinstance(error, UnsupportedCodecError):
            return BrokerError(
                f"{self.topic} is compressed in a way that cannot be read here ({error.args[0]}): pip install "
                "'kafka-python[lz4,snappy,zstd]'"
            )
        asked = {
            GroupAuthorizationFailedError: f"the group {self._group}",
            TopicAuthorizationFailedError: self.topic,
        }
        if (what := asked.get(type(error))) is not None:
            return BrokerError(
                f"Kafka at {self._settings.kafka} does not let this client read {what}: allow it (kafka-acls.sh)"
            )
        return BrokerError(f"Kafka at {self._settings.kafka} rejected the request for {self.kind}s: {error}")

    def _poll_consumer(self, **options: int) -> dict[TopicPartition, list[Any]]:
        try:
            polled: dict[TopicPartition, list[Any]] = self._consumer.poll(timeout_ms=_POLL_MS, **options)
        except CorruptRecordError as error:
            if not isinstance(error.__context__, UnicodeDecodeError):
                raise
            self._pass_batch(error.__context__)
            polled = {}
        # A join that changed metadata called for is forgotten where it takes longer than a poll: kafka-python then
        # neither ends it nor sends heartbeats, and Kafka drops the member.
        if self._group is not None and self._consumer.group_metadata().state == MemberState.REBALANCING:
            self._consumer._coordinator.request_rejoin()
        return polled

    def _pass_batch(self, error: UnicodeDecodeError) -> None:
        """Move on by a record, where kafka-python raises on a header name that is not UTF-8.

        It does so for every offset of the producer's batch, so this is repeated to the end of that.
        """
        part = self._consumer._fetcher._next_partition_records
        if part is None:
            raise error
        position = part.topic_partition
        offset = max(part.next_fetch_offset, self._consumer.position(position, timeout_ms=_POLL_MS) or 0)
        self._count_unreadable(position.partition, offset, error)
        self._consumer.seek(position, offset + 1)

    def _count_unreadable(self, partition: int, offset: int, error: ValueError) -> None:
        self.unreadable += 1
        if self.unreadable == 1:
            logger.warning(
                "offset %s of %s[%s] is no %s and is passed over: %s; others like it are only counted",
                offset, self.topic, partition, self.kind, error,
            )  # fmt: skip

    def _read(self, record: Any) -> Message | None:
        if record.value is None:
            if record.key is not None:
                customer = record.key.decode(errors="replace")
                if self._on_erased is not None:
                    self._on_erased(customer)
                self._erase(customer)
            return None
        try:
            message = decoded(self._decode, record.value)
        except Undecodable as error:
            self._count_unreadable(record.partition, record.offset, error)
            return None
        self.messages += 1
        self._reach(message, record)
        return message

    def _expire(self) -> None:
        self._expired_at = time.monotonic()
        self.now_ms = self._log_time.now(
            [p.partition for p in self._consumer.assignment() if self._behind(p)]
        )
        if self.now_ms is not None:
            self._move_to(self.now_ms)

    def _behind(self, partition: TopicPartition) -> bool:
        """Whether a partition has more to read, or nobody knows yet."""
        end = self._consumer.highwater(partition)
        position = self._consumer.position(partition, timeout_ms=_POLL_MS)
        return end is None or position is None or position < end

    def _knows_where(self) -> bool:
        if self._group is not None:
            for position, records in self._poll_consumer(max_records=1).items():
                self._consumer.seek(position, records[0].offset)
        assigned = self._consumer.assignment()
        if self._group is not None and not assigned:
            return bool(self._consumer.group_metadata().state == MemberState.STABLE)
        return all(self._consumer.position(p, timeout_ms=_POLL_MS) is not None for p in assigned)

    def _remembers_where(self) -> bool:
        """Whether the group has kept its start: without it, the next member to be assigned begins anew."""
        if self._group is not None:
            for partition in self._consumer.assignment():
                position = self._consumer.position(partition, timeout_ms=_POLL_MS)
                if position is None:
                    return False
                self._passed[partition] = OffsetAndMetadata(position, "", -1)
        return self.commit()


class _CommitBefore(AsyncConsumerRebalanceListener):  # type: ignore[misc]
    """Commits what a watcher has passed before another member takes a partition.

    It runs on kafka-python's own thread, on which a commit that blocks is an error.
    """

    def __init__(self, watcher: TopicWatcher[Any]) -> None:
        self._watcher = watcher

    async def on_partitions_revoked(self, revoked: object) -> None:
        """Commit."""
        await self._watcher.commit_before_rebalance()

    async def on_partitions_assigned(self, assigned: object) -> None:
        """Do nothing: reading goes on from the committed offsets."""

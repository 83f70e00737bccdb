"""Marketing's view of the scored topic: scores as they come, filtered by band and segment.

::

    with ScoreWatcher(bands=["high"]) as watcher:
        for score in watcher:
            ...
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator
from types import TracebackType
from typing import Any, Final, Self

from kafka import AsyncConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import (
    CommitFailedError,
    CorruptRecordError,
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from kafka.structs import MemberState

from features.decoding import Undecodable, decoded
from stream.clients.standing import Departure, LogTime, Standing
from stream.exceptions import BrokerError, BrokerUnavailable, TopicMismatch
from stream.messages.score import Score, decode_score, is_segment
from stream.settings import Settings, load_settings

logger = logging.getLogger(__name__)

# Bounds finding the broker and the topic, at the start.
_CONNECT_SECONDS: Final = 10.0
# Joining a group may wait for a former member's session to end (45 s by default).
_JOIN_SECONDS: Final = 60.0
# One look for records; a stop is noticed within this much.
_POLL_MS: Final = 200
_POLL_RECORDS: Final = 2_000
# Passed scores are committed this often; a crash repeats what came since.
_COMMIT_SECONDS: Final = 1.0
# Who has left is looked for this often: it takes 10 ms for the longest list.
_EXPIRE_SECONDS: Final = 0.25
_CLOSE_MS: Final = 5_000


class ScoreWatcher:
    """Iterates over the scores in the scored topic, those of a customer in order; waits for more at the end.

    Parameters
    ----------
    settings
        Where Kafka is and what the topics are called; from the environment where none are given.
    bands
        Only scores in one of these bands (``low``, ``medium``, ``high``).
    segment
        Only scores of customers in this segment: part of its name (in any case), or its id.
    all_traffic
        Also scores of machines and of the shop's own people (`Score.traffic`).
    group
        Consumer group: its members share the partitions, and go on where the group stopped. Without one,
        every watcher sees all scores and nothing is remembered.
    from_beginning
        Begin with the oldest score instead of the next one, where the group has not been anywhere yet.
    limit
        End after so many scores.
    on_erased
        Called with every customer that was erased (a tombstone), whatever the filters.
    on_left
        Called with every customer whose last score passed the filters and holds no longer: a purchase, the end of
        the horizon, a newer score that the filters keep out (`stream.clients.standing`). Erased customers are left
        to ``on_erased``.

    Attributes
    ----------
    unreadable
        Records that were no scores, and were passed over.
    now_ms
        The time at which the log stands, epoch ms: its own where it is replayed, the wall clock where it is live.

    Raises
    ------
    BrokerUnavailable
        No broker answers.
    TopicMismatch
        There is no scored topic.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        bands: Collection[str] = (),
        segment: str | int | None = None,
        all_traffic: bool = False,
        group: str | None = None,
        from_beginning: bool = False,
        limit: int | None = None,
        on_erased: Callable[[str], None] | None = None,
        on_left: Callable[[Departure], None] | None = None,
    ) -> None:
        self._settings = settings or load_settings()
        self.topic = self._settings.scores_topic
        self._bands = frozenset(bands)
        self._segment = None if segment is None else str(segment)
        self._all_traffic = all_traffic
        self._group = group
        self._on_erased = on_erased
        self._on_left = on_left
        self._standing = Standing()
        self._log_time = LogTime()
        self._expired_at = time.monotonic()
        self._stopped = threading.Event()
        self._passed: dict[TopicPartition, OffsetAndMetadata] = {}
        self._committed_at = time.monotonic()
        self._limit = limit
        self._started = False
        self.unreadable = 0
        self.now_ms: int | None = None
        self._consumer = self._connect("earliest" if from_beginning else "latest")

    def _connect(self, reset: str) -> Any:
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
            raise BrokerUnavailable.at(self._settings.kafka) from error
        if self.topic not in consumer.topics():
            consumer.close(timeout_ms=_CLOSE_MS)
            raise TopicMismatch.missing(self.topic)
        return consumer

    def start(self) -> None:
        """Find out where to begin: scores that are produced from now on will be seen."""
        if self._started:
            return
        if self._group is None:
            partitions = self._consumer.partitions_for_topic(self.topic)
            self._consumer.assign([TopicPartition(self.topic, number) for number in sorted(partitions)])
        else:
            self._consumer.subscribe([self.topic], listener=_CommitBefore(self))
        deadline = time.monotonic() + _JOIN_SECONDS
        while not self._stopped.is_set() and not (self._knows_where() and self._remembers_where()):
            if time.monotonic() > deadline:
                raise BrokerUnavailable(
                    f"Kafka did not return the start offsets within {_JOIN_SECONDS:.0f} s: try again"
                )
        self._started = True

    def stop(self) -> None:
        """End the iteration; may be called from another thread or a signal handler."""
        self._stopped.set()

    def close(self) -> None:
        """Commit what has been passed, where there is a group, and leave it."""
        self._stopped.set()
        if self.unreadable > 1:
            logger.warning(
                "%s records of %s were no scores and were passed over", self.unreadable, self.topic
            )
        self.commit()
        self._consumer.close(autocommit=False, timeout_ms=_CLOSE_MS)

    def commit(self) -> bool:
        """Let the group remember what has been passed. Without a group nothing is remembered.

        Returns
        -------
        bool
            False where partitions have gone to another member, which repeats their scores.
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
            logger.info("scores of group %s will be repeated: %s", self._group, error)
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
                logger.info("scores of group %s will be repeated: %s", self._group, error)

    def _take_passed(self) -> dict[TopicPartition, OffsetAndMetadata]:
        passed, self._passed = self._passed, {}
        self._committed_at = time.monotonic()
        return passed if self._group is not None else {}

    def __iter__(self) -> Iterator[Score]:
        self.start()
        seen = 0
        while not self._stopped.is_set():
            for position, record in self._poll():
                score = self._read(record)
                if score is not None:
                    wanted = self._wants(score)
                    if wanted:
                        yield score
                        seen += 1
                    self._tell(self._standing.take(score, wanted=wanted))
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
            raise BrokerError(
                f"Kafka at {self._settings.kafka} rejected the request for scores: {error}"
            ) from error
        return ((position, record) for position, records in polled.items() for record in records)

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
                "offset %s of %s[%s] is no score and is passed over: %s; others like it are only counted",
                offset, self.topic, partition, error,
            )  # fmt: skip

    def _read(self, record: Any) -> Score | None:
        if record.value is None:
            if record.key is not None:
                customer = record.key.decode(errors="replace")
                if self._on_erased is not None:
                    self._on_erased(customer)
                self._standing.erase(customer)
            return None
        try:
            score = decoded(decode_score, record.value)
        except Undecodable as error:
            self._count_unreadable(record.partition, record.offset, error)
            return None
        self._log_time.take(record.partition, score)
        return score

    def _wants(self, score: Score) -> bool:
        if score.traffic is not None and not self._all_traffic:
            return False
        if self._bands and score.band not in self._bands:
            return False
        return self._segment is None or is_segment(score.segment, self._segment)

    def lists(self, customer: str) -> bool:
        """Whether a customer's last score passed the filters, and still holds."""
        return customer in self._standing

    def _tell(self, left: Departure | None) -> None:
        if left is not None and self._on_left is not None:
            self._on_left(left)

    def _expire(self) -> None:
        self._expired_at = time.monotonic()
        self.now_ms = self._log_time.now(
            [p.partition for p in self._consumer.assignment() if self._behind(p)]
        )
        if self.now_ms is not None:
            for left in self._standing.expire(self.now_ms):
                self._tell(left)

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

    def __init__(self, watcher: ScoreWatcher) -> None:
        self._watcher = watcher

    async def on_partitions_revoked(self, revoked: object) -> None:
        """Commit."""
        await self._watcher.commit_before_rebalance()

    async def on_partitions_assigned(self, assigned: object) -> None:
        """Do nothing: reading goes on from the committed offsets."""

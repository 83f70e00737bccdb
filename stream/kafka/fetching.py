"""The fetching thread: takes from aiokafka what the owners want, with the fetch positions around it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aiokafka
from aiokafka.consumer.fetcher import FetchError
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import (
    ConsumerStoppedError,
    CorruptRecordException,
    GroupAuthorizationFailedError,
    KafkaError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, server_list
from faust.types import TP
from mode.threads import ServiceThread, WorkerThread

from features.causes import cause
from features.store.log_mark import UNKNOWN_EPOCH
from stream.exceptions import BrokerError, InstanceTaken, OffsetOutsideLog
from stream.kafka import clocks, epochs
from stream.kafka.answers import Answers
from stream.kafka.batches import RecordBatch
from stream.kafka.membership import StaticMember
from stream.kafka.parsing import parse_leniently
from stream.kafka.record_columns import Record, unpacked
from stream.kafka.record_scan import Packer

if TYPE_CHECKING:
    from stream.kafka.transport import BatchConsumer

logger = logging.getLogger(__name__)

# The broker answers a fetch as soon as it has one record, so this does not delay records. It bounds how long
# a partition whose records have just been taken waits for the fetch under way for the others, when those are
# silent.
FETCH_WAIT_MS: Final = 50

# The largest answer per partition: 8,000 events of 130 bytes. An event of 64 KiB fits in any case.
FETCH_BYTES: Final = 1 << 20

# How long one request for records may sleep in the fetching thread before it looks round.
POLL_SECONDS: Final = 0.5

# aiokafka repeats a commit for as long as no coordinator answers, and a stop waits for the last commit:
# without a limit, a worker whose broker is gone would not end. Together with RELEASE_SECONDS it stays under
# STOP_SECONDS.
COMMIT_TIMEOUT_SECONDS: Final = 2.0

# After an error of the broker.
ERROR_PAUSE_SECONDS: Final = 0.2

# A batch that arrived corrupt is fetched again after this long; the log says so at once, and then this often.
CORRUPT_RETRY_SECONDS: Final = 1.0
CORRUPT_LOG_SECONDS: Final = 60.0


@dataclass(slots=True)
class _Corrupt:
    """A partition that arrives corrupt: why, when it is to be fetched again, and when the log said so last."""

    detail: str = ""
    again: float | None = None
    told: float = float("-inf")


# Leaving the group needs an answer of the coordinator, for which aiokafka waits 90 s. Stays under STOP_SECONDS.
CLOSE_SECONDS: Final = 2.0

# mode joins its thread in the event loop, and for ever. The thread has nothing left to do by then.
JOIN_SECONDS: Final = 0.5


class _FetchingThread(WorkerThread):
    """A thread that never outlasts its process, and whose end says nothing on its own."""

    def __init__(self, service: ServiceThread, **options: Any) -> None:
        super().__init__(service, name="fetching", **options)
        self.daemon = True

    def run(self) -> None:
        """Fetch until stopped; an error has already crashed the app, which says so."""
        try:
            super().run()
        except (Exception, asyncio.CancelledError) as error:
            logger.debug("the fetching thread ended: %r", error)

    def stop(self) -> None:
        """Wait for the end, but not for ever."""
        self.join(JOIN_SECONDS)


class BatchConsumerThread(AIOKafkaConsumerThread):
    """Fetches in its own thread, and keeps the membership in the group alive while batches are worked on."""

    Worker = _FetchingThread

    consumer: BatchConsumer
    _waiter: asyncio.Future[None] | None = None
    _waking = False
    _committing: asyncio.Future[None] | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.answers = Answers(self.consumer.app.linger)
        #: What arrives corrupt, until it arrives whole.
        self.corrupt: dict[TopicPartition, _Corrupt] = {}
        self._seeks: Counter[TopicPartition] = Counter()

    async def on_thread_stop(self) -> None:
        """Leave the group, if the coordinator answers."""
        leaving = asyncio.ensure_future(super().on_thread_stop())
        await asyncio.wait({leaving}, timeout=CLOSE_SECONDS)
        if not leaving.done():
            leaving.cancel()

    def _stopped_set(self) -> None:
        with contextlib.suppress(RuntimeError):  # the thread has crashed, and its loop is closed
            super()._stopped_set()

    async def _keepalive2(self) -> None:
        """Turn the loop now and then, as mode does; that a thread does not get on is for readiness to say."""
        while not self.should_stop:
            await self.sleep(1.1)
            self._check_group()
            await self._wakeup_timer_in_thread()

    def _check_group(self) -> None:
        """End the worker if it must not join its group: before it has partitions, nobody else would hear of it."""
        coordinator = getattr(self._consumer, "_coordinator", None)
        if isinstance(getattr(coordinator, "_pending_exception", None), GroupAuthorizationFailedError):
            group = self.app.conf.id
            self.consumer.refuse(
                BrokerError(
                    f"Kafka does not let this worker join the group {group}: allow it to read the group "
                    "(kafka-acls.sh)"
                )
            )

    def on_crash(self, msg: str, *fmt: Any, **kwargs: Any) -> None:
        """Do nothing: the app's crash reason says it."""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        consumer = self._new_consumer(transport)
        app = self.consumer.app
        if app.instance is not None:
            StaticMember(app.conf.id, app.instance, self._fenced).watch(consumer._client)
        self.answers.watch(consumer._client)
        return consumer

    def _fenced(self) -> None:
        app = self.consumer.app
        self.consumer.refuse(
            InstanceTaken(
                f"another worker has joined the group {app.conf.id} as {app.instance} and taken this one's place: give "
                "each worker an INTENT_GROUP_INSTANCE of its own"
            )
        )

    def _new_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        parse_leniently()
        conf = self.app.conf
        return aiokafka.AIOKafkaConsumer(
            bootstrap_servers=server_list(transport.url, transport.default_port),
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=self.consumer.app.instance,
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            fetch_max_wait_ms=FETCH_WAIT_MS,
            max_partition_fetch_bytes=FETCH_BYTES,
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            max_poll_interval_ms=int((conf.broker_max_poll_interval or 300) * 1000),
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
            **self.consumer.app.security,
        )

    async def _fetch_records(
        self,
        consumer: aiokafka.AIOKafkaConsumer,
        active_partitions: set[TP] | None,
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> Mapping[TP, Any]:
        if consumer._closed or consumer._fetcher._closed:
            raise ConsumerStoppedError
        try:
            consumer._coordinator.check_errors()
            with consumer._subscription.fetch_context():
                batches = await self._drain(consumer)
                if not batches:
                    await self._news(consumer, POLL_SECONDS)
                    batches = await self._drain(consumer)
                return batches
        except OffsetOutOfRangeError as error:
            self.consumer.refuse(
                OffsetOutsideLog(
                    f"{self.consumer.topics} no longer holds {error.args[0]}: records expired before they were "
                    f"read; {next(iter(self.consumer.owners.values())).expired}"
                )
            )
        except KafkaError as error:
            if isinstance(error, TopicAuthorizationFailedError) and error.args[0] in self.consumer.owners:
                self.consumer.hinder(error.args[0], error)
                await asyncio.sleep(ERROR_PAUSE_SECONDS)
                return {}
            logger.warning("fetching from %s: %s", self.consumer.topics, cause(error))
            if not error.retriable:
                self.consumer.refuse(
                    BrokerError(f"Kafka does not let this worker read {self.consumer.topics}: {cause(error)}")
                )
        await asyncio.sleep(ERROR_PAUSE_SECONDS)
        return {}

    async def _drain(self, consumer: aiokafka.AIOKafkaConsumer) -> dict[TP, RecordBatch]:
        """Return what was fetched for partitions whose owners want it, with the positions around it."""
        subscription, fetcher = consumer._subscription, consumer._fetcher
        if not self.consumer.flow_active or subscription.reassignment_in_progress:
            return {}
        assignment = subscription.subscription.assignment
        owners = self.consumer.owners
        before = {
            tp: assignment.state_value(tp).position
            for tp in list(fetcher._records)
            if tp in assignment.tps
            and not self._waits(fetcher, tp)
            and tp.topic in owners
            and owners[tp.topic].wants(tp.partition)
            and assignment.state_value(tp).has_valid_position
        }
        if not before:  # to the fetcher, no partitions are all partitions
            return {}
        batches: dict[TP, RecordBatch] = {}
        for tp, start in before.items():
            fetched = fetcher._records[tp]
            if isinstance(fetched, FetchError) and batches:
                continue  # it is raised by the next call, which has nothing else to return
            raw = _raw_of(fetched)
            try:
                own = await take(fetcher, tp, start)
            except CorruptRecordException as error:
                self._corrupt(tp, start, error)
                continue
            stop = assignment.state_value(tp).position
            if stop > start:
                self.corrupt.pop(tp, None)
                epoch = UNKNOWN_EPOCH if raw is None else epochs.epoch_before(raw, stop)
                created = clocks.any_created(raw, own)
                batches[TP(*tp)] = RecordBatch(
                    tp.partition, own, start, stop, epoch, created=created, seek=self._seeks[tp]
                )
        return batches

    def _corrupt(self, tp: TopicPartition, position: int, error: CorruptRecordException) -> None:
        """Fetch again what arrived corrupt, for as long as it does: nobody may go on behind it without a word."""
        fault = self.corrupt.get(tp) or _Corrupt()
        now = time.monotonic()
        fault.detail = (
            f"{tp.topic}-{tp.partition} cannot be read from offset {position} on: {error.args[0]}; the disk of the "
            "broker or the network has changed it: restore the partition from another replica or a backup"
        )
        fault.again = now + CORRUPT_RETRY_SECONDS
        if now >= fault.told + CORRUPT_LOG_SECONDS:
            logger.error("%s", fault.detail)
            fault.told = now
        self.corrupt[tp] = fault

    def _waits(self, fetcher: Any, tp: TopicPartition) -> bool:
        """Whether a partition arrived corrupt, and is fetched again only later."""
        fault = self.corrupt.get(tp)
        if fault is None or fault.again is None:
            return False
        if time.monotonic() >= fault.again:
            fault.again = None
            fetcher._records.pop(tp, None)  # of which aiokafka would hand over what comes behind
            fetcher._notify(fetcher._wait_consume_future)
        return True

    async def _news(self, consumer: aiokafka.AIOKafkaConsumer, seconds: float) -> None:
        """Wait until records arrive or a partition wants some."""
        self._waiter = consumer._fetcher._create_fetch_waiter()
        try:
            await asyncio.wait([self._waiter], timeout=seconds)
            if self._waiter.done():
                self._waiter.result()  # the coordinator's errors come this way
            else:
                self._waiter.cancel()
        finally:
            self._waiter = None

    async def seek_anew(self, consumer: aiokafka.AIOKafkaConsumer, tp: TopicPartition, offset: int) -> int:
        """See `stream.kafka.contract.Log.seek`; runs in the thread's loop."""
        consumer.seek(tp, offset)
        fetcher = consumer._fetcher
        # Records or an error of before; aiokafka would keep records whose offset fits.
        if fetcher._records.pop(tp, None) is not None:
            fetcher._notify(fetcher._wait_consume_future)
        self._seeks[tp] += 1
        return self._seeks[tp]

    def wake(self) -> None:
        """See `stream.kafka.contract.Log.wake`."""
        if self._waking:  # for another partition; each call is one of the system
            return
        self._waking = True  # before the other thread can say that it is over
        with contextlib.suppress(RuntimeError):  # the thread has ended
            self.thread_loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._waking = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def call(self, function: Any, *args: Any) -> Any:
        """Await ``function(consumer, *args)`` in the thread's loop."""
        coroutine = function(self._ensure_consumer(), *args)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self.thread_loop))

    def rejoin(self) -> None:
        """See `stream.kafka.contract.Log.rejoin`."""
        with contextlib.suppress(RuntimeError):  # the thread has ended
            self.thread_loop.call_soon_threadsafe(self._ensure_consumer()._coordinator.request_rejoin)

    def known_partitions(self, topic: str) -> int:
        """Return how many partitions of a topic the broker has named lately; 0 if there is no such topic."""
        return len(self._ensure_consumer()._client.cluster.partitions_for_topic(topic) or ())

    def position_state(self, tp: TopicPartition) -> Any:
        """Return aiokafka's bookkeeping of a partition, ``None`` while it is not assigned."""
        subscription = self._ensure_consumer()._subscription.subscription
        assignment = None if subscription is None else subscription.assignment
        return assignment.state_value(tp) if assignment is not None and tp in assignment.tps else None

    def fetched_at(self, tp: TopicPartition) -> float:
        """Return when a fetch was last answered; now, if what it brought waits to be taken."""
        if tp in self._ensure_consumer()._fetcher._records:
            return time.monotonic()
        return self.answers.fetched.get(tp, float("-inf"))

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit to Kafka. The truth is in the store, so a failure is only worth a warning."""
        if self._committing is not None and not self._committing.done():
            return False  # Kafka has not answered the last one yet
        consumer, owners = self._ensure_consumer(), self.consumer.owners
        # Not cancelled when it takes too long: aiokafka shields its request, whose error nobody would look at then.
        self._committing = asyncio.ensure_future(
            consumer.commit(
                {
                    TopicPartition(*tp): OffsetAndMetadata(at, owners[tp.topic].commit_metadata(tp.partition))
                    for tp, at in offsets.items()
                }
            )
        )
        self._committing.add_done_callback(_complain)
        done, _ = await asyncio.wait({self._committing}, timeout=COMMIT_TIMEOUT_SECONDS)
        if not done:
            logger.warning("committing offsets: Kafka has not answered for %s s", COMMIT_TIMEOUT_SECONDS)
            return False
        return not self._committing.cancelled() and self._committing.exception() is None


def _complain(committing: asyncio.Future[None]) -> None:
    if not committing.cancelled() and (error := committing.exception()) is not None:
        logger.warning("committing offsets: %s", cause(error))


async def take(fetcher: Any, tp: TopicPartition, start: int) -> Sequence[Record]:
    """Take what aiokafka has fetched from ``start`` on: whole batches, or records as it has parsed them, no copies.

    It does not suspend, so no seek comes between the position and the records.
    """
    fetched = fetcher._records[tp]
    parsed = getattr(fetched, "_partition_records", None)  # an error that waits to be raised has none
    if parsed is not None:
        parsed._consumer_record = _as_it_is
        parsed._records.pack = Packer(parsed._records.raw)
    records = await fetcher.fetched_records([tp], timeout=0)
    return unpacked(records.get(tp, ()), start)


def _raw_of(fetched: Any) -> bytes | None:
    """Return what the broker sent of a partition, ``None`` if that is an error."""
    records = getattr(getattr(fetched, "_partition_records", None), "_records", None)
    return None if records is None else records.raw


def _as_it_is(tp: TopicPartition, record: Any) -> Any:
    return record

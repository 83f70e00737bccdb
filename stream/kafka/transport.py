"""Faust with a consumer that hands over whole record batches.

Faust's cost is per message, so a message is all that a fetch brought: a `RecordBatch` for each partition. The
fetching thread takes records only for partitions whose owner wants some, so nothing ever waits in Faust's own
buffers. Offsets belong to `stream.ownership.partitions`: Faust neither seeks nor acknowledges, and commits to Kafka
(for lag tools, and for the check for a lost store) what ownership says is saved.

What of Faust 0.15 is replaced, and why:

- ``getmany``: seeks to committed offsets while a rebalance is under way, asserts on partitions that a
  rebalance has just taken, and sleeps for a second whenever no partition may be fetched.
- ``_read_offset``: what lies at or below it is dropped without a word, and a fetch in flight sets it again
  after a seek.
- acknowledgements: counted by single offsets; the topic is declared without, so nothing is counted at all.
- the livelock detector: judges by those acknowledgements.
- the aiokafka consumer: reads uncommitted records, resets a lost offset without a word, waits up to 1.5 s.
- a failed commit: ends the worker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final

from aiokafka.errors import KafkaConnectionError
from faust import Schema
from faust.app import App, BootStrategy
from faust.transport.drivers.aiokafka import Consumer, Transport
from faust.types import TP, ConsumerMessage

from features.causes import cause
from features.exceptions import IntentError
from stream.exceptions import BrokerError, BrokerUnavailable
from stream.kafka.batches import RecordBatch
from stream.kafka.broker import partition_counts
from stream.kafka.contract import RELEASE_SECONDS, Owning
from stream.kafka.fetching import BatchConsumerThread
from stream.kafka.topic_log import TopicLog
from stream.running import ending

logger = logging.getLogger(__name__)

# A dead worker's partitions are taken over after this long (Faust's own default: a minute). A revocation's
# work under way (RELEASE_SECONDS) stays below it.
SESSION_SECONDS: Final = 10.0
# A member hears by its heartbeat that the group assigns partitions anew, and all of them wait for the last one to hear:
# a rebalance keeps partitions silent for that long.
HEARTBEAT_SECONDS: Final = 0.25

COMMIT_SECONDS: Final = 1.0

# A topic that is gone, is there again or has more partitions is noticed after this long (aiokafka's own default: 5
# minutes). One request of a hundred bytes each time.
METADATA_MS: Final = 10_000

# Covers a release, the last commit and leaving the group; stays under `stream.running.ending.END_SECONDS`.
STOP_SECONDS: Final = RELEASE_SECONDS + 3.0


class _NoOffsets(dict[TP, int | None]):
    """Forgets all: Faust's own check of read offsets does not apply to batches."""

    def __missing__(self, key: TP) -> None:
        return None

    def __setitem__(self, key: TP, value: int | None) -> None:
        return

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Forget."""


class BatchConsumer(Consumer):
    """Hands whole batches to the agent, and asks ownership for the offsets to commit."""

    app: BatchedApp
    _thread: BatchConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _NoOffsets()
        self.owners = self.app.owners
        self.topics = ", ".join(self.owners)
        for topic, owner in self.owners.items():
            owner.attach(TopicLog(self._thread, topic))

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        """Yield one message: a batch for each partition that has records for an owner."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type]
        batches = await self._thread.getmany(None, timeout)
        if batches and self.flow_active:
            tp = next(iter(batches))
            yield tp, self._to_message(tp, [(tp.topic, batch) for tp, batch in batches.items()])

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        batches: list[tuple[str, RecordBatch]] = record
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            batches[0][1].start,
            0.0,
            0,
            None,
            None,
            batches,  # type: ignore[arg-type]
            None,
            0,
            0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Do nothing: owners seek as they claim."""
        return {}

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Begin to own the assigned partitions."""
        await super().on_partitions_assigned(assigned, generation_id)
        if generation_id == self.app.consumer_generation_id and not self.app.should_stop:
            for topic, owner in self.owners.items():
                owner.assign([tp.partition for tp in assigned if tp.topic == topic])

    async def wait_empty(self) -> None:
        """Finish what is under way before partitions are revoked or the worker stops, and commit it."""
        await asyncio.gather(*(owner.release() for owner in self.owners.values()))
        await self.commit_and_end_transactions()

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (
            TP(topic, partition) for topic, owner in self.owners.items() for partition in owner.progress()
        )

    def _new_offset(self, tp: TP) -> int | None:
        return self.owners[tp.topic].progress().get(tp.partition)

    def _should_commit(self, tp: TP, offset: int) -> bool:
        return self._committed_offset[tp] != offset

    def on_buffer_full(self, tp: TP) -> None:
        """Do nothing: `Ownership.wants` bounds what is fetched."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Do nothing: lag and readiness are `Ownership`'s."""

    def hinder(self, topic: str, error: Exception) -> None:
        """Have a topic's owner know that Kafka does not hand over its records. May be called from any thread."""
        self.loop.call_soon_threadsafe(self.owners[topic].hinder, error)

    def refuse(self, error: IntentError) -> None:
        """End the worker because of ``error``. May be called from any thread."""
        self.loop.call_soon_threadsafe(next(iter(self.owners.values())).refuse, error)


class BatchTransport(Transport):
    """The aiokafka transport, consuming batches."""

    Consumer = BatchConsumer


class _Whole(Schema[Any, Any]):
    """Passes batches on as they are."""

    def loads_key(self, app: Any, message: Any, **kwargs: Any) -> Any:
        return None

    def loads_value(self, app: Any, message: Any, **kwargs: Any) -> Any:
        return message.value


class _Boot(BootStrategy):
    """Faust's own producer is not started: jobs produce whole batches, and await them."""

    enable_kafka_producer = False


class BatchedApp(App):
    """A Faust app whose one agent passes the batches of each topic to its owner.

    Parameters
    ----------
    brokers
        Kafka's addresses, ``host:port`` separated by commas.
    group
        The consumer group.
    topic, ownership
        What is read, and who reads it: for a worker the events, and its partitions of them.
    also
        Further topics and their readers.
    security
        How to reach the brokers, as arguments of aiokafka's clients; plain text where nothing is given.
    instance
        A name of this member that it keeps over restarts, see `stream.kafka.membership`; ``None`` for none.
    session
        Seconds without a heartbeat after which its partitions go to others.
    linger
        Seconds for which small fetches may be put off, so that more records share a round.
    options
        Further settings of Faust.
    """

    BootStrategy = _Boot

    def __init__(
        self,
        brokers: str,
        group: str,
        topic: str,
        ownership: Owning,
        *,
        also: Mapping[str, Owning] | None = None,
        security: Mapping[str, Any] | None = None,
        instance: str | None = None,
        session: float = SESSION_SECONDS,
        linger: float = 0.0,
        **options: Any,
    ) -> None:
        self.owners: dict[str, Owning] = {topic: ownership, **(also or {})}
        self.brokers = brokers
        self.instance = instance
        self.linger = linger
        self.security = dict(security or {})
        super().__init__(
            group,
            **{
                "broker": [f"kafka://{address.strip()}" for address in brokers.split(",")],
                "store": "memory://",
                "autodiscover": False,
                "web_enabled": False,
                "topic_allow_declare": False,
                "topic_disable_leader": True,
                "worker_redirect_stdouts": False,
                "broker_session_timeout": session,
                "broker_heartbeat_interval": HEARTBEAT_SECONDS,
                "broker_commit_interval": COMMIT_SECONDS,
                "stream_wait_empty": True,
                "consumer_metadata_max_age_ms": METADATA_MS,
                **options,
            },
        )
        batches = self.topic(*self.owners, schema=_Whole(), acks=False)
        self.agent(batches, name=f"{__name__}.{self._hand_over.__name__}")(self._hand_over)

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self)

    async def _hand_over(self, fetches: Any) -> None:
        async for batches in fetches:
            for topic, batch in batches:
                self.owners[topic].offer(batch)


async def serve(app: BatchedApp, stop: asyncio.Event) -> None:
    """Run ``app`` until ``stop`` is set.

    Raises
    ------
    BrokerUnavailable
        No broker answers at the start.
    IntentError
        The worker cannot go on: a refusal of its ownership, or of Kafka.
    """
    await partition_counts(app.brokers, list(app.owners), app.security)
    owners = app.owners.values()
    starting = asyncio.ensure_future(app.start())  # which waits for the group to assign partitions
    try:
        ends: list[asyncio.Future[Any]] = [asyncio.ensure_future(stop.wait())]
        ends += [asyncio.ensure_future(owner.refused.wait()) for owner in owners]
        await asyncio.wait([starting, *ends], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            ends.append(asyncio.ensure_future(app.wait_until_stopped()))
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        if (why := _failure(app)) is not None:
            ending.begin(why)
    finally:
        starting.cancel()
        await _stop(app)
    if (why := _failure(app)) is not None:
        raise why


def _failure(app: BatchedApp) -> IntentError | None:
    """Return why the app cannot go on."""
    for owner in app.owners.values():
        if owner.refusal is not None:
            return owner.refusal
    if app.crash_reason is None:
        return None
    failure = (
        BrokerUnavailable.at(app.brokers)
        if isinstance(app.crash_reason, KafkaConnectionError)
        else BrokerError(f"the worker's Kafka client failed: {cause(app.crash_reason)}; start it again")
    )
    failure.__cause__ = app.crash_reason
    return failure


async def _stop(app: BatchedApp) -> None:
    """Stop the app, if it can be stopped: a task of Faust's may swallow its cancellation, so nothing waits for one."""
    stopping = asyncio.create_task(app.stop(), name="stopping the app")
    await asyncio.wait({stopping}, timeout=STOP_SECONDS)
    if not stopping.done():
        logger.warning(
            "partitions were not given back within %s s; others take them over later", STOP_SECONDS
        )
        stopping.cancel()
    elif not stopping.cancelled() and (error := stopping.exception()) is not None:
        logger.warning("giving partitions back: %s", cause(error))
    for owner in app.owners.values():
        owner.close()

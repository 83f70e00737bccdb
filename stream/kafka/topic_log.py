"""A topic's log as the owners of its partitions see it: their questions, asked in the fetching thread."""

from __future__ import annotations

import aiokafka
from aiokafka.structs import TopicPartition

from stream.kafka import clocks, epochs
from stream.kafka.contract import Appended, Bounds, Commit, Stamp, TooOld
from stream.kafka.fetching import BatchConsumerThread


async def _bounds(consumer: aiokafka.AIOKafkaConsumer, tp: TopicPartition) -> Bounds:
    earliest = await consumer.beginning_offsets([tp])
    latest = await consumer.end_offsets([tp])
    try:
        topic_id, partitions = await epochs.described(consumer._client, tp.topic)
    except TooOld:
        return Bounds(earliest[tp], latest[tp], await _counted(consumer, tp.topic))
    return Bounds(earliest[tp], latest[tp], partitions, topic_id)


async def _partition_count(consumer: aiokafka.AIOKafkaConsumer, topic: str) -> int:
    try:
        return (await epochs.described(consumer._client, topic)).partitions
    except TooOld:
        return await _counted(consumer, topic)


async def _counted(consumer: aiokafka.AIOKafkaConsumer, topic: str) -> int:
    await consumer._client.force_metadata_update()
    return len(consumer.partitions_for_topic(topic) or ())


async def _epoch_end(consumer: aiokafka.AIOKafkaConsumer, tp: TopicPartition, epoch: int) -> int | None:
    return await epochs.epoch_end(consumer._client, tp, epoch)


async def _stamp_at(consumer: aiokafka.AIOKafkaConsumer, tp: TopicPartition, offset: int) -> Stamp | None:
    return await epochs.stamp_at(consumer._client, tp, offset)


async def _check_appended(consumer: aiokafka.AIOKafkaConsumer, topic: str, brokers: str) -> None:
    await clocks.check_appended(consumer._client, topic, brokers)


async def _appended_after(consumer: aiokafka.AIOKafkaConsumer, tp: TopicPartition, offset: int) -> Appended:
    return await clocks.appended_after(consumer._client, tp, offset)


async def _committed(consumer: aiokafka.AIOKafkaConsumer, tp: TopicPartition) -> Commit | None:
    found = (await consumer._coordinator.fetch_committed_offsets([tp])).get(tp)  # `committed` has no metadata
    return None if found is None or found.offset < 0 else Commit(found.offset, found.metadata or "")


class TopicLog:
    """What the owners of a topic's partitions need of the fetching thread: a `stream.kafka.contract.Log`."""

    def __init__(self, thread: BatchConsumerThread, topic: str) -> None:
        self._thread = thread
        self._topic = topic

    async def bounds(self, partition: int) -> Bounds:
        """See `stream.kafka.contract.Log.bounds`."""
        bounds: Bounds = await self._thread.call(_bounds, self._tp(partition))
        return bounds

    async def committed(self, partition: int) -> Commit | None:
        """See `stream.kafka.contract.Log.committed`."""
        commit: Commit | None = await self._thread.call(_committed, self._tp(partition))
        return commit

    async def epoch_end(self, partition: int, epoch: int) -> int | None:
        """See `stream.kafka.contract.Log.epoch_end`."""
        end: int | None = await self._thread.call(_epoch_end, self._tp(partition), epoch)
        return end

    async def stamp_at(self, partition: int, offset: int) -> Stamp | None:
        """See `stream.kafka.contract.Log.stamp_at`."""
        stamp: Stamp | None = await self._thread.call(_stamp_at, self._tp(partition), offset)
        return stamp

    async def partition_count(self) -> int:
        """See `stream.kafka.contract.Log.partition_count`."""
        count: int = await self._thread.call(_partition_count, self._topic)
        return count

    async def check_appended(self) -> None:
        """See `stream.kafka.contract.Log.check_appended`."""
        await self._thread.call(_check_appended, self._topic, self._thread.consumer.app.brokers)

    async def appended_after(self, partition: int, offset: int) -> Appended:
        """See `stream.kafka.contract.Log.appended_after`."""
        found: Appended = await self._thread.call(_appended_after, self._tp(partition), offset)
        return found

    async def seek(self, partition: int, offset: int) -> int:
        """See `stream.kafka.contract.Log.seek`."""
        number: int = await self._thread.call(self._thread.seek_anew, self._tp(partition), offset)
        return number

    def position(self, partition: int) -> int | None:
        """See `stream.kafka.contract.Log.position`."""
        state = self._thread.position_state(self._tp(partition))
        return state.position if state is not None and state.has_valid_position else None

    def end(self, partition: int) -> int | None:
        """See `stream.kafka.contract.Log.end`."""
        state = self._thread.position_state(self._tp(partition))
        return None if state is None else state.highwater

    def stable_end(self, partition: int) -> int | None:
        """See `stream.kafka.contract.Log.stable_end`."""
        state = self._thread.position_state(self._tp(partition))
        return None if state is None else state.lso

    def held_since(self, partition: int) -> float:
        """See `stream.kafka.contract.Log.held_since`."""
        return self._thread.answers.held.get(self._tp(partition), (0, float("inf")))[1]

    def known(self) -> bool:
        """See `stream.kafka.contract.Log.known`."""
        return bool(self._thread.known_partitions(self._topic))

    def corrupt(self, partition: int) -> str:
        """See `stream.kafka.contract.Log.corrupt`."""
        fault = self._thread.corrupt.get(self._tp(partition))
        return "" if fault is None else fault.detail

    def fetched_at(self, partition: int) -> float:
        """See `stream.kafka.contract.Log.fetched_at`."""
        return self._thread.fetched_at(self._tp(partition))

    def heartbeat_at(self) -> float:
        """See `stream.kafka.contract.Log.heartbeat_at`."""
        return self._thread.answers.heartbeat

    def wake(self) -> None:
        """See `stream.kafka.contract.Log.wake`."""
        self._thread.wake()

    def rejoin(self) -> None:
        """See `stream.kafka.contract.Log.rejoin`."""
        self._thread.rejoin()

    def _tp(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic, partition)

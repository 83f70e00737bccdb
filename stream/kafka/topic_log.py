"""A topic's log as the owners of its partitions see it: their questions, asked in the fetching thread."""

from __future__ import annotations

import aiokafka
from aiokafka.structs import TopicPartition

from stream.kafka import epochs
from stream.kafka.contract import Bounds, Commit, Stamp, TooOld
from stream.kafka.fetching import BatchConsumerThread


async def _bounds(consumer: aiokafka.AIOKafkaConsumer, tp: TopicPartition) -> Bounds:
    earliest = await consumer.beginning_offsets([tp])
    latest = await consumer.end_offsets([tp])
    try:
        topic_id = await epochs.topic_id(consumer._client, tp.topic)
    except TooOld:
        topic_id = None
    return Bounds(earliest[tp], latest[tp], len(consumer.partitions_for_topic(tp.topic)), topic_id)


async def _epoch_end(consumer: aiokafka.AIOKafkaConsumer, tp: TopicPartition, epoch: int) -> int | None:
    return await epochs.epoch_end(consumer._client, tp, epoch)


async def _stamp_at(consumer: aiokafka.AIOKafkaConsumer, tp: TopicPartition, offset: int) -> Stamp | None:
    return await epochs.stamp_at(consumer._client, tp, offset)


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

"""When Kafka last answered: fetches, by partition, and heartbeats. What is believed in between says nothing."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.structs import TopicPartition

from stream.running import outages

# A fetch that brought so much (a hundred events of 130 bytes) is followed by the next at once.
_FULL_BYTES: Final = 16 * 1024


class Answers:
    """The last answers to one consumer, in seconds of `time.monotonic`. May be read from any thread.

    It also spaces fetches out. Whatever a fetch brings costs a round of the same few milliseconds, so at a low rate it
    pays to let some more records arrive before the next. A fetch waits at the broker for the first record in any case,
    so an event after a silence goes at once.

    Parameters
    ----------
    linger
        Least seconds between an answer that brought a few records and the next fetch from the same broker.

    Attributes
    ----------
    fetched
        When a fetch of a partition was last answered without an error.
    held
        By partition, the stable offset that lies below the high watermark, and since when it has not moved.
    heartbeat
        When the group's coordinator last answered a heartbeat; before the first, when this object was made.
    """

    def __init__(self, linger: float = 0.0) -> None:
        self._linger = linger
        self._next_fetch: dict[int, float] = {}  # by broker
        self.fetched: dict[TopicPartition, float] = {}
        self.held: dict[TopicPartition, tuple[int, float]] = {}
        self.heartbeat = time.monotonic()

    def watch(self, client: AIOKafkaClient) -> None:
        """Note all answers that a client gets from now on."""
        send = client.send

        async def watched(
            node: int, request: Any, *, group: ConnectionGroup = ConnectionGroup.DEFAULT
        ) -> Any:
            fetch = isinstance(request, FetchRequest)
            if fetch and (wait := self._next_fetch.get(node, 0.0) - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            response = await send(node, request, group=group)
            if fetch:
                self._note_fetch(node, response)
            elif isinstance(request, HeartbeatRequest):
                self.heartbeat = time.monotonic()
            return response

        client.send = watched

    def _note_fetch(self, node: int, response: Any) -> None:
        now = time.monotonic()
        size = 0
        for topic, partitions in response.topics:
            for partition, error_code, end, stable, *_, records in partitions:
                if not error_code:
                    tp = TopicPartition(topic, partition)
                    self.fetched[tp] = now
                    size += len(records or b"")
                    self._note_stable(tp, stable, end, now)
        if 0 < size < _FULL_BYTES:
            self._next_fetch[node] = now + self._linger
        outages.KAFKA.answered()

    def _note_stable(self, tp: TopicPartition, stable: int, end: int, now: float) -> None:
        if not 0 <= stable < end:
            self.held.pop(tp, None)
        elif self.held.get(tp, (None,))[0] != stable:
            self.held[tp] = (stable, now)

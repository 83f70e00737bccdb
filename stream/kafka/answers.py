"""When Kafka last answered: fetches, by partition, and heartbeats. What is believed in between says nothing."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any, Final

from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.structs import TopicPartition

from stream.running import outages

# So many bytes, 12 to 20 events, are worth a round.
_ROUND_BYTES: Final = 3072

# Nobody waits for less than this: a round takes about as long, and what arrives meanwhile is in the next one.
_LEAST_WAIT: Final = 0.01

# How many arrive in a second is judged by about the last so many seconds.
_RATE_SECONDS: Final = 0.25


class Answers:
    """The last answers to one consumer, in seconds of `time.monotonic`. May be read from any thread.

    It also spaces fetches out. Whatever a fetch brings costs a round of the same few milliseconds, so at a low rate it
    pays to let some more records arrive before the next: for as long as a few take to come at the rate of late, unless
    that is soon. A fetch waits at the broker for the first record in any case: an event after a silence goes at once.

    Parameters
    ----------
    linger
        Seconds, at most, between an answer that brought records and the next fetch from the same broker.

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
        self._next_fetch: dict[int, float] = {}  # by broker, as the next
        self._arrived: dict[int, tuple[float, float]] = {}  # bytes of late, and when they were counted
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
        if size:
            before, at = self._arrived.get(node, (0.0, now))
            arrived = before * math.exp((at - now) / _RATE_SECONDS) + size
            self._arrived[node] = arrived, now
            wait = _ROUND_BYTES * _RATE_SECONDS / arrived
            self._next_fetch[node] = now + (min(self._linger, wait) if wait >= _LEAST_WAIT else 0.0)
        outages.KAFKA.answered()

    def _note_stable(self, tp: TopicPartition, stable: int, end: int, now: float) -> None:
        if not 0 <= stable < end:
            self.held.pop(tp, None)
        elif self.held.get(tp, (None,))[0] != stable:
            self.held[tp] = (stable, now)

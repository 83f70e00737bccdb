"""When Kafka last answered: fetches, by partition, and heartbeats. What is believed in between says nothing."""

from __future__ import annotations

import time
from typing import Any

from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.structs import TopicPartition

from stream.running import outages


class Answers:
    """The last answers to one consumer, in seconds of `time.monotonic`. May be read from any thread.

    Attributes
    ----------
    fetched
        When a fetch of a partition was last answered without an error.
    heartbeat
        When the group's coordinator last answered a heartbeat; before the first, when this object was made.
    """

    def __init__(self) -> None:
        self.fetched: dict[TopicPartition, float] = {}
        self.heartbeat = time.monotonic()

    def watch(self, client: AIOKafkaClient) -> None:
        """Note all answers that a client gets from now on."""
        send = client.send

        async def watched(
            node: int, request: Any, *, group: ConnectionGroup = ConnectionGroup.DEFAULT
        ) -> Any:
            response = await send(node, request, group=group)
            if isinstance(request, FetchRequest):
                self._note_fetch(response)
            elif isinstance(request, HeartbeatRequest):
                self.heartbeat = time.monotonic()
            return response

        client.send = watched

    def _note_fetch(self, response: Any) -> None:
        now = time.monotonic()
        for topic, partitions in response.topics:
            for partition, error_code, *_ in partitions:
                if not error_code:
                    self.fetched[TopicPartition(topic, partition)] = now
        outages.KAFKA.answered()

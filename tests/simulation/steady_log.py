"""What no simulation changes of a log: its clock, its partitions, and that everything is answered."""

from __future__ import annotations

from stream.kafka.contract import Appended
from tests.simulation.loop import VirtualLoop


class SteadyLog:
    """The part of a `stream.kafka.contract.Log` that simulated ones share."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    async def partition_count(self) -> int:
        """See `stream.kafka.contract.Log.partition_count`."""
        raise NotImplementedError

    async def check_appended(self) -> None:
        """See `stream.kafka.contract.Log.check_appended`."""

    async def appended_after(self, partition: int, offset: int) -> Appended:
        """See `stream.kafka.contract.Log.appended_after`."""
        raise NotImplementedError

    def held_since(self, partition: int) -> float:
        """See `stream.kafka.contract.Log.held_since`."""
        return float("inf")

    def known(self) -> bool:
        """See `stream.kafka.contract.Log.known`."""
        return True

    def fetched_at(self, partition: int) -> float:
        """See `stream.kafka.contract.Log.fetched_at`."""
        return self._loop.now

    def heartbeat_at(self) -> float:
        """See `stream.kafka.contract.Log.heartbeat_at`."""
        return self._loop.now

    def corrupt(self, partition: int) -> str:
        """See `stream.kafka.contract.Log.corrupt`."""
        return ""

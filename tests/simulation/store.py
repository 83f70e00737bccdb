"""A store in memory that can fall back to an earlier moment, as Redis does when it restarts from its file."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from features.price_table import PriceTable
from features.state import States
from features.store.customer_store import NO_TIMERS, TimerChanges
from features.store.memory_store import MemoryContents, MemoryStore
from features.store.partition_record import PartitionRecord

_MOMENTS: Final = 5


class SimulatedStore(MemoryStore):
    """The store; its last moments are kept.

    Parameters
    ----------
    tell
        Is told when a partition begins another incarnation: which one, and up to where it is silent.
    """

    def __init__(self, tell: Callable[[int, int], None]) -> None:
        super().__init__()
        self._tell = tell
        self._moments: deque[MemoryContents] = deque(maxlen=_MOMENTS)
        self._wiped = False
        self._keep()

    def claim(self, partition: int, found: PartitionRecord | None, new: PartitionRecord) -> None:
        """See `MemoryStore.claim`."""
        super().claim(partition, found, new)
        self._keep()
        begins = found is None or found.incarnation != new.incarnation
        if begins and (new.silent_until or found is not None):
            self._tell(partition, new.silent_until)

    def save(
        self,
        partition: int,
        expected: PartitionRecord,
        new: PartitionRecord,
        customers: Sequence[str],
        states: States,
        erased: Sequence[str] = (),
        timers: TimerChanges = NO_TIMERS,
        outbox: bytes | None = None,
        links: Mapping[str, bytes | None] = MappingProxyType({}),
        prices: Mapping[str, bytes | None] = MappingProxyType({}),
    ) -> None:
        """See `MemoryStore.save`."""
        super().save(partition, expected, new, customers, states, erased, timers, outbox, links, prices)
        self._keep()

    def fall_back(self, moments: int) -> None:
        """Lose the last ``moments`` writes, as far as earlier ones are known."""
        for _ in range(min(moments, len(self._moments) - 1)):
            self._moments.pop()
        self._contents = self._moments[-1].copy()

    def silent(self) -> bool:
        """Whether a partition is being built again silently."""
        return any(PartitionRecord.from_bytes(raw).silent for raw in self._contents.records.values())

    def lost(self) -> bool:
        """Whether everything was lost, and nobody has claimed a partition since."""
        return self._wiped and not self._contents.records

    def wipe(self) -> None:
        """Lose everything."""
        self._moments.clear()
        self._contents = MemoryContents()
        self._wiped = True
        self._keep()

    def states(self, partition: int) -> dict[str, bytes]:
        """Return what is stored of a partition, by customer."""
        names = self._contents.states.get(partition, {})
        return {customer: names[self._named(partition, customer)] for customer in self.customers(partition)}

    def prices(self, partition: int) -> PriceTable:
        """Return what a partition knows of prices."""
        record = self.record(partition)
        assert record is not None
        return self.pending(partition, record).prices

    def _named(self, partition: int, customer: str) -> str:
        return f"{self._incarnation(partition)}:{customer}"

    def _keep(self) -> None:
        self._moments.append(self._contents.copy())

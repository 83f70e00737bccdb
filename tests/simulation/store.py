"""A store in memory that can fall back to an earlier moment, as Redis does when it restarts from its file."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from features.state import States
from features.store.customer_store import MemoryStore, PartitionRecord

_MOMENTS: Final = 5

Moment = tuple[dict[int, bytes], dict[int, dict[str, bytes]]]


class SimulatedStore(MemoryStore):
    """The store; its last moments are kept.

    Parameters
    ----------
    tell
        Is told when a partition begins another incarnation.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._tell = tell
        self._moments: deque[Moment] = deque(maxlen=_MOMENTS)
        self._keep()

    def claim(self, partition: int, found: PartitionRecord | None, new: PartitionRecord) -> None:
        """See `MemoryStore.claim`."""
        super().claim(partition, found, new)
        self._keep()
        begins = found is None or found.incarnation != new.incarnation
        if begins and (new.silent_until or found is not None):
            self._tell(f"partition {partition} is built again, silently to offset {new.silent_until}")

    def save(
        self,
        partition: int,
        expected: PartitionRecord,
        new: PartitionRecord,
        customers: Sequence[str],
        states: States,
        erased: Sequence[str] = (),
    ) -> None:
        """See `MemoryStore.save`."""
        super().save(partition, expected, new, customers, states, erased)
        self._keep()

    def fall_back(self, moments: int) -> None:
        """Lose the last ``moments`` writes, as far as earlier ones are known."""
        for _ in range(min(moments, len(self._moments) - 1)):
            self._moments.pop()
        self._records, self._states = _copy(self._moments[-1])

    def settle(self, partitions: int) -> bool:
        """Return whether all partitions are claimed and none is silent; if so, never fall back behind that."""
        settled: deque[Moment] = deque(maxlen=_MOMENTS)
        for moment in self._moments:
            records = [PartitionRecord.from_bytes(raw) for raw in moment[0].values()]
            if len(records) == partitions and all(one.next_offset >= one.silent_until for one in records):
                settled.append(moment)
            else:
                settled.clear()
        if settled:
            self._moments = settled
        return bool(settled)

    def wipe(self) -> None:
        """Lose everything."""
        self._moments.clear()
        self._records, self._states = {}, {}
        self._keep()

    def states(self, partition: int) -> dict[str, bytes]:
        """Return what is stored of a partition, by customer."""
        names = self._states.get(partition, {})
        return {customer: names[self._named(partition, customer)] for customer in self.customers(partition)}

    def _named(self, partition: int, customer: str) -> str:
        return f"{self._incarnation(partition)}:{customer}"

    def _keep(self) -> None:
        self._moments.append(_copy((self._records, self._states)))


def _copy(moment: Moment) -> Moment:
    return dict(moment[0]), {partition: dict(held) for partition, held in moment[1].items()}

"""The customer store in this process, for tests without Redis."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from features import state
from features.exceptions import StoreError
from features.state import States
from features.store.customer_store import Loaded, LoadRequest, Save
from features.store.partition_record import PartitionRecord, check_guard


class MemoryStore:
    """The customer store in this process, for tests without Redis.

    Examples
    --------
    >>> from features.store.partition_record import NO_WATERMARK
    >>> store = MemoryStore()
    >>> mine = PartitionRecord(1, bytes(16), 0, NO_WATERMARK, 12)
    >>> store.claim(3, None, mine)
    >>> states = store.load(3, ["ada"])
    >>> states["version"], states["events"] = state.STATE_VERSION, 1
    >>> store.save(3, mine, mine._replace(next_offset=1), ["ada"], states)
    >>> int(store.load(3, ["ada"])["events"][0]), store.record(3).next_offset
    (1, 1)
    """

    def __init__(self) -> None:
        self._records: dict[int, bytes] = {}
        self._states: dict[int, dict[str, bytes]] = {}  # by incarnation and customer: see `_name`
        self._items: dict[int, dict[str, bytes]] = {}
        self._lock = threading.Lock()

    def record(self, partition: int) -> PartitionRecord | None:
        """See `CustomerStore.record`."""
        raw = self._records.get(partition)
        return None if raw is None else PartitionRecord.from_bytes(raw)

    def claim(self, partition: int, found: PartitionRecord | None, new: PartitionRecord) -> None:
        """See `CustomerStore.claim`."""
        with self._lock:
            check_guard(partition, self._records.get(partition), found)
            self._records[partition] = new.to_bytes()

    def load(
        self, partition: int, customers: Sequence[str], expected: PartitionRecord | None = None
    ) -> States:
        """See `CustomerStore.load`."""
        with self._lock:
            if expected is not None:
                check_guard(partition, self._records.get(partition), expected)
            stored, incarnation = self._states.get(partition, {}), self._incarnation(partition)
            return state.from_bytes([stored.get(_name(incarnation, customer)) for customer in customers])

    def save(
        self,
        partition: int,
        expected: PartitionRecord,
        new: PartitionRecord,
        customers: Sequence[str],
        states: States,
        erased: Sequence[str] = (),
    ) -> None:
        """See `CustomerStore.save`."""
        with self._lock:
            check_guard(partition, self._records.get(partition), expected)
            stored, items = self._states.setdefault(partition, {}), self._items.setdefault(partition, {})
            for customer in erased:
                items.pop(customer, None)
            for customer, value, events in zip(
                customers, state.to_bytes(states), states["events"], strict=True
            ):
                if events:
                    stored[_name(new.incarnation, customer)] = value
                else:
                    stored.pop(_name(new.incarnation, customer), None)
                    items.pop(customer, None)
            self._records[partition] = new.to_bytes()

    def load_many(self, loads: Sequence[LoadRequest]) -> list[Loaded]:
        """See `CustomerStore.load_many`."""
        found = []
        for partition, customers, expected, items_of in loads:
            states = self.load(partition, customers, expected)
            items = self._items.get(partition, {})
            found.append(Loaded(states, [items.get(customer) for customer in items_of]))
        return found

    def save_many(self, saves: Sequence[Save]) -> list[StoreError | None]:
        """See `CustomerStore.save_many`."""
        return [self._outcome(save) for save in saves]

    def _outcome(self, save: Save) -> StoreError | None:
        try:
            self.save(*save)
        except StoreError as error:
            return error
        return None

    def sweep(
        self, partition: int, expected: PartitionRecord, before: int, cursor: int, count: int
    ) -> tuple[int, int]:
        """See `CustomerStore.sweep`."""
        with self._lock:
            check_guard(partition, self._records.get(partition), expected)
            stored, items = self._states.get(partition, {}), self._items.get(partition, {})
            names = sorted(stored)[cursor : cursor + count]
            own = [name for name in names if _incarnation(name) == expected.incarnation]
            states, faults = state.read_states([stored[name] for name in own])
            expired = {
                name
                for at, (name, time) in enumerate(zip(own, states["last_time"], strict=True))
                if time < before and at not in faults
            }
            gone = [name for name in names if name in expired or _incarnation(name) != expected.incarnation]
            for name in gone:
                del stored[name]
                customer = _customer(name)
                if _name(expected.incarnation, customer) not in stored:
                    items.pop(customer, None)
            following = cursor + len(names) - len(gone)
            return (0 if following >= len(stored) else following), len(gone)

    def peek(self, partition: int, customer: str) -> States | None:
        """See `CustomerStore.peek`."""
        states = self.load(partition, [customer])
        return states if states["events"][0] else None

    def write_items(self, partition: int, items: Mapping[str, bytes]) -> None:
        """Put customers' items beside their states, as `features.store.offer_store.OfferStore.write` does in Redis."""
        with self._lock:
            known = {customer: raw for customer, raw in items.items() if customer in self._known(partition)}
            self._items.setdefault(partition, {}).update(known)

    def customers(self, partition: int) -> list[str]:
        """Return the customers that have a state, in order."""
        with self._lock:
            return sorted(self._known(partition))

    def _known(self, partition: int) -> set[str]:
        incarnation = self._incarnation(partition)
        names = self._states.get(partition, {})
        return {_customer(name) for name in names if _incarnation(name) == incarnation}

    def _incarnation(self, partition: int) -> int:
        raw = self._records.get(partition)
        return 0 if raw is None else PartitionRecord.from_bytes(raw).incarnation


def _name(incarnation: int, customer: str) -> str:
    return f"{incarnation}:{customer}"


def _incarnation(name: str) -> int:
    return int(name.partition(":")[0])


def _customer(name: str) -> str:
    return name.partition(":")[2]

"""The customer store in this process, for tests without Redis."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from types import MappingProxyType

from features.exceptions import StoreError
from features.links import Link
from features.price_table import PriceTable
from features.state import States
from features.store.customer_store import (
    NO_TIMERS,
    Due,
    DueRequest,
    Loaded,
    LoadRequest,
    Pending,
    PreparedSaves,
    Save,
    Swept,
    TimerChanges,
)
from features.store.packed_states import from_packed, read_packed, to_packed
from features.store.partition_record import PartitionRecord, check_guard


@dataclass
class MemoryContents:
    """What a `MemoryStore` holds, by partition.

    States, timers, links and prices are held by incarnation and customer, or item (see `_name`).
    """

    records: dict[int, bytes] = field(default_factory=dict)
    states: dict[int, dict[str, bytes]] = field(default_factory=dict)
    items: dict[int, dict[str, bytes]] = field(default_factory=dict)
    timers: dict[int, dict[str, int]] = field(default_factory=dict)
    outboxes: dict[int, bytes] = field(default_factory=dict)
    links: dict[int, dict[str, bytes]] = field(default_factory=dict)
    prices: dict[int, dict[str, bytes]] = field(default_factory=dict)
    cursors: dict[int, int] = field(default_factory=dict)

    def copy(self) -> MemoryContents:
        """Return the same contents, which go their own way from here."""
        return MemoryContents(
            dict(self.records),
            {partition: dict(held) for partition, held in self.states.items()},
            {partition: dict(held) for partition, held in self.items.items()},
            {partition: dict(held) for partition, held in self.timers.items()},
            dict(self.outboxes),
            {partition: dict(held) for partition, held in self.links.items()},
            {partition: dict(held) for partition, held in self.prices.items()},
            dict(self.cursors),
        )


class MemoryStore:
    """The customer store in this process, for tests without Redis.

    Examples
    --------
    >>> from features.state import STATE_VERSION
    >>> from features.store.partition_record import NO_WATERMARK
    >>> store = MemoryStore()
    >>> mine = PartitionRecord(1, bytes(16), 0, NO_WATERMARK, 12)
    >>> store.claim(3, None, mine)
    >>> states = store.load(3, ["ada"])
    >>> states["version"], states["events"] = STATE_VERSION, 1
    >>> store.save(3, mine, mine._replace(next_offset=1), ["ada"], states)
    >>> int(store.load(3, ["ada"])["events"][0]), store.record(3).next_offset
    (1, 1)
    """

    def __init__(self) -> None:
        self._contents = MemoryContents()
        self._lock = threading.Lock()

    def record(self, partition: int) -> PartitionRecord | None:
        """See `CustomerStore.record`."""
        raw = self._contents.records.get(partition)
        return None if raw is None else PartitionRecord.from_bytes(raw)

    def claim(self, partition: int, found: PartitionRecord | None, new: PartitionRecord) -> None:
        """See `CustomerStore.claim`."""
        with self._lock:
            check_guard(partition, self._contents.records.get(partition), found)
            self._contents.records[partition] = new.to_bytes()
            if found is not None and found.incarnation != new.incarnation:
                self._contents.prices[partition] = {}

    def load(
        self, partition: int, customers: Sequence[str], expected: PartitionRecord | None = None
    ) -> States:
        """See `CustomerStore.load`."""
        with self._lock:
            if expected is not None:
                check_guard(partition, self._contents.records.get(partition), expected)
            stored, incarnation = self._contents.states.get(partition, {}), self._incarnation(partition)
            return from_packed([stored.get(_name(incarnation, customer)) for customer in customers])

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
        """See `CustomerStore.save`."""
        with self._lock:
            check_guard(partition, self._contents.records.get(partition), expected)
            stored = self._contents.states.setdefault(partition, {})
            items = self._contents.items.setdefault(partition, {})
            set_timers = self._contents.timers.setdefault(partition, {})
            for customer in erased:
                items.pop(customer, None)
                set_timers.pop(_name(new.incarnation, customer), None)
            for customer, moment in zip(*timers, strict=True):
                set_timers[_name(new.incarnation, customer)] = moment
            for customer, value, events in zip(customers, to_packed(states), states["events"], strict=True):
                name = _name(new.incarnation, customer)
                if events:
                    stored[name] = value
                else:
                    items.pop(customer, None)
                    stored.pop(name, None)
                    set_timers.pop(name, None)
            self._contents.timers[partition] = {name: moment for name, moment in set_timers.items() if moment}
            for kind, changes in ((self._contents.links, links), (self._contents.prices, prices)):
                for own, stored_form in changes.items():
                    named = kind.setdefault(partition, {})
                    named.pop(_name(new.incarnation, own), None)
                    if stored_form is not None:
                        named[_name(new.incarnation, own)] = stored_form
            if outbox is not None:
                self._contents.outboxes[partition] = outbox
            self._contents.records[partition] = new.to_bytes()

    def load_many(self, loads: Sequence[LoadRequest]) -> list[Loaded]:
        """See `CustomerStore.load_many`."""
        found = []
        for partition, customers, expected, items_of, links_of in loads:
            states = self.load(partition, customers, expected)
            items, links = self._contents.items.get(partition, {}), self._contents.links.get(partition, {})
            incarnation = self._incarnation(partition)
            found.append(
                Loaded(
                    states,
                    [items.get(customer) for customer in items_of],
                    links=[links.get(_name(incarnation, customer)) for customer in links_of],
                )
            )
        return found

    def save_many(self, saves: Sequence[Save]) -> list[StoreError | None]:
        """See `CustomerStore.save_many`."""
        return [self._outcome(save) for save in saves]

    def prepare(self, saves: Sequence[Save]) -> PreparedSaves:
        """See `CustomerStore.prepare`."""
        return _Prepared(self, saves)

    def _outcome(self, save: Save) -> StoreError | None:
        try:
            self.save(*save)
        except StoreError as error:
            return error
        return None

    def pending(self, partition: int, expected: PartitionRecord) -> Pending:
        """See `CustomerStore.pending`."""
        with self._lock:
            check_guard(partition, self._contents.records.get(partition), expected)
            moments = [moment for moment, _ in self._set_timers(partition, expected.incarnation)]
            prices = self._contents.prices.get(partition, {}).items()
            own = {_customer(n): raw for n, raw in prices if _incarnation(n) == expected.incarnation}
            outbox = self._contents.outboxes.get(partition) or None
            return Pending(outbox, min(moments, default=0), PriceTable.of(own))

    def due_many(self, requests: Sequence[DueRequest]) -> list[Due]:
        """See `CustomerStore.due_many`."""
        with self._lock:
            return [self._due(request) for request in requests]

    def _due(self, request: DueRequest) -> Due:
        check_guard(request.partition, self._contents.records.get(request.partition), request.expected)
        found = self._set_timers(request.partition, request.expected.incarnation)
        due = [customer.decode() for moment, customer in found if moment <= request.moment]
        later = (moment for moment, _ in found if moment > request.moment)
        return Due(due[request.start : request.start + request.limit], next(later, 0))

    def _set_timers(self, partition: int, incarnation: int) -> list[tuple[int, bytes]]:
        """Return moments and customers, in order."""
        own = self._contents.timers.get(partition, {}).items()
        return sorted(
            (moment, _customer(name).encode()) for name, moment in own if _incarnation(name) == incarnation
        )

    def sweep(
        self, partition: int, expected: PartitionRecord, before: int, count: int, share: float = 0.0
    ) -> Swept:
        """See `CustomerStore.sweep`."""
        with self._lock:
            check_guard(partition, self._contents.records.get(partition), expected)
            cursor = self._contents.cursors.get(partition, 0)
            count = max(count, ceil(share * sum(map(len, self._contents.states.values()))))
            stored, items = self._contents.states.get(partition, {}), self._contents.items.get(partition, {})
            names = sorted(stored)[cursor : cursor + count]
            own = [name for name in names if _incarnation(name) == expected.incarnation]
            states, faults = read_packed([stored[name] for name in own])
            expired = {
                name
                for at, (name, time) in enumerate(zip(own, states["last_time"], strict=True))
                if time < before and at not in faults
            }
            self._drop_links(partition, expected.incarnation, before)
            gone = [name for name in names if name in expired or _incarnation(name) != expected.incarnation]
            for name in gone:
                del stored[name]
                self._contents.timers.get(partition, {}).pop(name, None)
                customer = _customer(name)
                if _name(expected.incarnation, customer) not in stored:
                    items.pop(customer, None)
            following = cursor + len(names) - len(gone)
            ended = following >= len(stored)
            self._contents.cursors[partition] = 0 if ended else following
            return Swept(len(gone), ended)

    def _drop_links(self, partition: int, incarnation: int, before: int) -> None:
        links = self._contents.links.get(partition, {})
        for name in list(links):
            if _incarnation(name) != incarnation or Link.from_bytes(links[name]).time < before:
                del links[name]

    def peek(self, partition: int, customer: str) -> States | None:
        """See `CustomerStore.peek`."""
        states = self.load(partition, [customer])
        return states if states["events"][0] else None

    def write_items(self, partition: int, items: Mapping[str, bytes]) -> None:
        """Put customers' items beside their states, as `features.store.offer_store.OfferStore.write` does in Redis."""
        with self._lock:
            known = {customer: raw for customer, raw in items.items() if customer in self._known(partition)}
            self._contents.items.setdefault(partition, {}).update(known)

    def customers(self, partition: int) -> list[str]:
        """Return the customers that have a state, in order."""
        with self._lock:
            return sorted(self._known(partition))

    def _known(self, partition: int) -> set[str]:
        incarnation = self._incarnation(partition)
        names = self._contents.states.get(partition, {})
        return {_customer(name) for name in names if _incarnation(name) == incarnation}

    def _incarnation(self, partition: int) -> int:
        raw = self._contents.records.get(partition)
        return 0 if raw is None else PartitionRecord.from_bytes(raw).incarnation


class _Prepared:
    """Saves of which nothing is done before they are written; see `PreparedSaves`."""

    def __init__(self, store: MemoryStore, saves: Sequence[Save]) -> None:
        self._store = store
        self._saves = saves

    def commit(self, partitions: Collection[int]) -> Mapping[int, StoreError]:
        saves = [save for save in self._saves if save.partition in partitions]
        outcomes = zip(saves, self._store.save_many(saves), strict=True)
        return {save.partition: error for save, error in outcomes if error is not None}

    def release(self) -> None:
        """Nothing is held."""


def _name(incarnation: int, customer: str) -> str:
    return f"{incarnation}:{customer}"


def _incarnation(name: str) -> int:
    return int(name.partition(":")[0])


def _customer(name: str) -> str:
    return name.partition(":")[2]

"""Customer states, saved together with the progress of the partition that changed them.

A partition has one writer. What it has folded, and how far it has read, are one fact: `CustomerStore.save`
writes the changed states and the partition's `PartitionRecord` in one transaction, which is void unless the
stored record is still the one that the writer expects. Beside a state there may be the customer's items, written
by an offline job (`features.offers`): the writer reads them, and deletes them together with the state. `RedisStore`
keeps all this in Redis, `MemoryStore` in this process, for tests; both pass the same contract tests.

A partition's states belong to an *incarnation*. Building them again begins another one, in which every customer is
unknown, by the very transaction that claims the partition; what earlier ones left is never read, and swept.
"""

from __future__ import annotations

import secrets
import struct
import threading
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from features import state
from features.exceptions import SchemaMismatch, StoreConflict, StoreError
from features.state import States
from features.store.log_mark import NO_OFFSET, UNKNOWN_EPOCH, UNKNOWN_TOPIC, LogMark

#: The watermark of a partition that has seen no event.
NO_WATERMARK: Final = -(2**63)

TOKEN_BYTES: Final = 16

#: The next offset of a partition whose states are being restored from a log: nobody can go on from there.
RESTORING: Final = -1

_RECORD_VERSION: Final = 3
_FIRST: Final = struct.Struct(f"<BQ{TOKEN_BYTES}sqqI")  # version 1
_SECOND: Final = struct.Struct(f"<BQ{TOKEN_BYTES}sqqI16siqqIq")
_RECORD: Final = struct.Struct(f"<BQ{TOKEN_BYTES}sqqI16siqqIqiqq")
_FORMS: Final = {1: _FIRST, 2: _SECOND, _RECORD_VERSION: _RECORD}


class PartitionRecord(NamedTuple):
    """Who owns a partition, how far its states have come, and in which log.

    Attributes
    ----------
    epoch
        Raised by one with every claim.
    token
        16 random bytes of the owner.
    next_offset
        The offset of the first record that the states don't contain yet; `RESTORING` while they are restored.
    watermark
        The highest accepted event time minus the lateness, epoch milliseconds; `NO_WATERMARK` before any
        event.
    partitions
        The topic's partition count when this was written.
    topic_id
        Kafka's id of the topic (a UUID, 16 bytes): another one is a topic that was made again.
    leader_epoch
        Kafka's leader epoch of the last batch that was folded.
    last_offset, last_time
        Offset and append time (epoch ms) of the last record that was folded.
    incarnation
        Which of the stored states count; drawn by lot whenever they are built from the first event on.
    silent_until
        Events below this offset were scored before the states were built again: nothing is published of them.
    silent_epoch
        Kafka's leader epoch of the last batch below ``silent_until``.
    silent_offset, silent_time
        Offset and append time (epoch ms) of the last record below ``silent_until``.
    """

    epoch: int
    token: bytes
    next_offset: int
    watermark: int
    partitions: int
    topic_id: bytes = UNKNOWN_TOPIC
    leader_epoch: int = UNKNOWN_EPOCH
    last_offset: int = NO_OFFSET
    last_time: int = NO_OFFSET
    incarnation: int = 0
    silent_until: int = 0
    silent_epoch: int = UNKNOWN_EPOCH
    silent_offset: int = NO_OFFSET
    silent_time: int = NO_OFFSET

    @classmethod
    def beginning(
        cls, offset: int, partitions: int, *, epoch: int = 0, silent_until: int = 0
    ) -> PartitionRecord:
        """Return the record of a partition whose states are built from ``offset`` on, in a new incarnation."""
        incarnation = secrets.randbits(31) + 1
        return cls(
            epoch, bytes(TOKEN_BYTES), offset, NO_WATERMARK, partitions,
            incarnation=incarnation, silent_until=silent_until,
        )  # fmt: skip

    @property
    def silent(self) -> bool:
        """Whether states are being built again from events that were scored before."""
        return self.next_offset < self.silent_until

    @property
    def read(self) -> LogMark:
        """What the states were made from."""
        return LogMark(self.next_offset, self.topic_id, self.leader_epoch, self.last_offset, self.last_time)

    @property
    def scored(self) -> LogMark:
        """What was scored: more than was `read` while the partition is `silent`."""
        if not self.silent:
            return self.read
        return LogMark(
            self.silent_until, self.topic_id, self.silent_epoch, self.silent_offset, self.silent_time
        )

    def silenced(self, mark: LogMark) -> PartitionRecord:
        """Return the record of which all below the ``mark`` was scored before."""
        return self._replace(
            silent_until=mark.offset, silent_epoch=mark.epoch,
            silent_offset=mark.last_offset, silent_time=mark.last_time,
        )  # fmt: skip

    def moved(self, offset: int) -> PartitionRecord:
        """Return the record with another next offset, chosen by a person: nothing is known of the log before it."""
        return self._replace(
            next_offset=offset, leader_epoch=UNKNOWN_EPOCH, last_offset=NO_OFFSET, last_time=NO_OFFSET
        )

    def to_bytes(self) -> bytes:
        """Return the stored form."""
        return _RECORD.pack(_RECORD_VERSION, *self)

    @classmethod
    def from_bytes(cls, raw: bytes) -> PartitionRecord:
        """Return the record that `to_bytes` wrote, or an earlier version of it.

        Version 1 knew nothing of the log and of incarnations: such a record is of incarnation 0, its log is taken for
        the right one, and the next claim writes down which that is. Version 2 did not know in which log it was silent,
        so here, too, the next claim writes it down.

        Raises
        ------
        SchemaMismatch
            ``raw`` was written by a later version of this program, or by something else.
        """
        form = _FORMS.get(raw[0]) if raw else None
        if form is not None and len(raw) == form.size:
            return cls(*form.unpack(raw)[1:])
        raise SchemaMismatch(
            f"a partition record has {len(raw)} bytes and version {raw[:1].hex() or 'none'}, ours "
            f"{_RECORD.size} and {_RECORD_VERSION:02x}: set another INTENT_REDIS_PREFIX"
        )


class LoadRequest(NamedTuple):
    """What `CustomerStore.load_many` is asked for one partition; see `CustomerStore.load`.

    ``items_of`` are the customers whose items are wanted too.
    """

    partition: int
    customers: Sequence[str]
    expected: PartitionRecord | None = None
    items_of: Sequence[str] = ()


class Loaded(NamedTuple):
    """What `CustomerStore.load_many` returns for one `LoadRequest`.

    Attributes
    ----------
    states
        One per customer.
    items
        The stored `features.offers.CustomerItems` of each of ``items_of``, ``None`` where there are none.
    """

    states: States
    items: Sequence[bytes | None]


class Save(NamedTuple):
    """What `CustomerStore.save_many` writes for one partition; see `CustomerStore.save`."""

    partition: int
    expected: PartitionRecord
    new: PartitionRecord
    customers: Sequence[str]
    states: States
    erased: Sequence[str] = ()


class CustomerStore(Protocol):
    """Where the states of a topic's customers live. Synchronous, and safe to call from several threads.

    Every method raises `StoreUnavailable` where the store does not answer.
    """

    def record(self, partition: int) -> PartitionRecord | None:
        """Return the partition's record, ``None`` before its first claim."""
        ...

    def claim(self, partition: int, found: PartitionRecord | None, new: PartitionRecord) -> None:
        """Replace the record ``found`` by ``new``; `StoreConflict` where another one is stored."""
        ...

    def load(
        self, partition: int, customers: Sequence[str], expected: PartitionRecord | None = None
    ) -> States:
        """Return one state per customer, an empty one for a customer that has none in the record's incarnation.

        A writer gives the record that it ``expected``, read in one with the states: the guard of `save` alone
        would not see a store that fell back and came forward again in between, and would let a worker that
        has lost the partition score with its successor's states.

        Raises
        ------
        StoreConflict
            The stored record is not ``expected``.
        SchemaMismatch
            A state was written with another layout.
        """
        ...

    def save(
        self,
        partition: int,
        expected: PartitionRecord,
        new: PartitionRecord,
        customers: Sequence[str],
        states: States,
        erased: Sequence[str] = (),
    ) -> None:
        """Write ``states`` and the record ``new``, or nothing. The states belong to the incarnation of ``new``.

        An empty state (``events == 0``) is deleted, and the customer's items with it; those of customers who were
        ``erased`` on the way are deleted even if they have a state again.

        Raises
        ------
        StoreConflict
            The stored record is not ``expected``, or the connection broke on the way: read the record to know
            which.
        """
        ...

    def load_many(self, loads: Sequence[LoadRequest]) -> list[Loaded]:
        """Load for several partitions in one go; raises what any of them raises."""
        ...

    def save_many(self, saves: Sequence[Save]) -> list[StoreError | None]:
        """Save for several partitions, each on its own: return for each ``None``, or why it was not written."""
        ...

    def sweep(
        self, partition: int, expected: PartitionRecord, before: int, cursor: int, count: int
    ) -> tuple[int, int]:
        """Delete states whose last event is older than ``before`` (epoch ms), and their items, guarded like `save`.

        What other incarnations left is deleted too, and the items of customers who are unknown in this one.
        Looks at about ``count`` keys from ``cursor`` on (0 to begin with) and returns the next cursor (0 at
        the end) and how many states were deleted.
        """
        ...

    def peek(self, partition: int, customer: str) -> States | None:
        """Return one customer's state as an array of one, ``None`` if there is none."""
        ...


def check_guard(partition: int, stored: bytes | None, expected: PartitionRecord | None) -> None:
    """Raise `StoreConflict` unless the ``stored`` record is the ``expected`` one in every field."""
    found = None if stored is None else PartitionRecord.from_bytes(stored)
    if found != expected:
        raise StoreConflict(
            f"partition {partition} has {_text(found)} where {_text(expected)} was expected", found=found
        )


def _text(record: PartitionRecord | None) -> str:
    if record is None:
        return "no record"
    return f"epoch {record.epoch} of owner {record.token.hex()[:8]} at offset {record.next_offset}"


class MemoryStore:
    """The customer store in this process, for tests without Redis.

    Examples
    --------
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
            times = state.from_bytes([stored[name] for name in own])["last_time"]
            expired = {name for name, time in zip(own, times, strict=True) if time < before}
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

"""Customer states, saved together with the progress of the partition that changed them.

A partition has one writer. What it has folded, and how far it has read, are one fact: `CustomerStore.save`
writes the changed states and the partition's `PartitionRecord` in one transaction, which is void unless the
stored record is still the one that the writer expects. Beside a state there may be the customer's items, written
by an offline job (`features.offers`): the writer reads them, and deletes them together with the state. `RedisStore`
keeps all this in Redis, `MemoryStore` in this process, for tests; both pass the same contract tests.

In the same transaction two more things are written. A customer may have a *timer*: the moment of event time at which
something is due, also if no event comes. And there is the *outbox*: what is to be published because of this save. It is
published when the save has succeeded, and again whenever nobody knows whether it was. A third thing is the partition's
*prices* (`features.price_table`): what carts are compared with, by item.

A partition's states belong to an *incarnation*. Building them again begins another one, in which every customer is
unknown, by the very transaction that claims the partition; what earlier ones left is never read, and swept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from features.exceptions import StoreError
from features.price_table import NO_PRICES, PriceTable
from features.state import States
from features.store.partition_record import PartitionRecord


class LoadRequest(NamedTuple):
    """What `CustomerStore.load_many` is asked for one partition; see `CustomerStore.load`.

    ``items_of`` are the customers whose items are wanted too, ``links_of`` those whose links are.
    """

    partition: int
    customers: Sequence[str]
    expected: PartitionRecord | None = None
    items_of: Sequence[str] = ()
    links_of: Sequence[str] = ()


class Loaded(NamedTuple):
    """What `CustomerStore.load_many` returns for one `LoadRequest`.

    Attributes
    ----------
    states
        One per customer.
    items
        The stored `features.offers.CustomerItems` of each of ``items_of``, ``None`` where there are none.
    due
        Whoever puts a round together may add the states of further customers, whose timers are due: these.
    links
        The stored `features.links.Link` of each of ``links_of``, ``None`` where there is none; where a round was put
        together, of everybody in it.
    taken, prices
        By partition, what its record says was taken of hand-overs, and the partition's prices; whoever puts a round
        together adds them.
    """

    states: States
    items: Sequence[bytes | None]
    due: Sequence[str] = ()
    links: Sequence[bytes | None] = ()
    taken: Mapping[int, tuple[int, int]] = MappingProxyType({})
    prices: PriceTable = NO_PRICES


class TimerChanges(NamedTuple):
    """Customers whose timers change, each once, and the new moments (epoch ms); 0 removes a timer."""

    customers: Sequence[str] = ()
    moments: Sequence[int] = ()


#: No timer changes.
NO_TIMERS: Final = TimerChanges()


class LinkChanges(NamedTuple):
    """How ids stand to each other now: what is stored of each, ``None`` to remove it.

    ``taken`` has by partition the offset and the number of the last hand-over that was taken of it.
    """

    changed: Mapping[str, bytes | None] = MappingProxyType({})
    taken: Mapping[int, tuple[int, int]] = MappingProxyType({})


#: No links change.
NO_LINKS: Final = LinkChanges()


class DueRequest(NamedTuple):
    """What `CustomerStore.due_many` is asked for one partition.

    Attributes
    ----------
    partition, expected
        The partition, and the record under which it is asked.
    moment
        Up to which timers are wanted, epoch ms.
    limit, start
        How many are wanted, at most, and how many of the first are left out.
    """

    partition: int
    expected: PartitionRecord
    moment: int
    limit: int
    start: int = 0


class Due(NamedTuple):
    """What `CustomerStore.due_many` returns for one `DueRequest`.

    Attributes
    ----------
    customers
        Those whose timers are due, in the order of their moments.
    following
        The earliest moment after the one that was asked for, 0 if there is none.
    """

    customers: list[str]
    following: int


class Pending(NamedTuple):
    """What a new owner of a partition has to know.

    Attributes
    ----------
    outbox
        What the last save has promised to publish, ``None`` if nothing is stored.
    earliest
        The moment of the next timer, 0 if there is none.
    prices
        What items cost.
    """

    outbox: bytes | None
    earliest: int
    prices: PriceTable = NO_PRICES


class Save(NamedTuple):
    """What `CustomerStore.save_many` writes for one partition; see `CustomerStore.save`."""

    partition: int
    expected: PartitionRecord
    new: PartitionRecord
    customers: Sequence[str]
    states: States
    erased: Sequence[str] = ()
    timers: TimerChanges = NO_TIMERS
    outbox: bytes | None = None
    links: Mapping[str, bytes | None] = MappingProxyType({})
    prices: Mapping[str, bytes | None] = MappingProxyType({})


class PreparedSaves(Protocol):
    """Saves that are ready to be written, once: by `commit`, or not at all by `release`."""

    def commit(self, partitions: Collection[int]) -> Mapping[int, StoreError]:
        """Write those of some partitions, each on its own.

        Returns
        -------
        Mapping
            By partition why it was not written; those that were are not in it.
        """
        ...

    def release(self) -> None:
        """Write nothing, and let go of what the store holds for it."""
        ...


class Swept(NamedTuple):
    """What a step of a sweep did: how many states it deleted, and whether it has come round."""

    deleted: int
    ended: bool


class CustomerStore(Protocol):
    """Where the states of a topic's customers live. Synchronous, and safe to call from several threads.

    Every method raises `StoreUnavailable` where the store does not answer.
    """

    def record(self, partition: int) -> PartitionRecord | None:
        """Return the partition's record, ``None`` before its first claim."""
        ...

    def claim(self, partition: int, found: PartitionRecord | None, new: PartitionRecord) -> None:
        """Replace the record ``found`` by ``new``; `StoreConflict` where another one is stored.

        Where another incarnation begins, the prices of the one before are deleted.
        """
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
        UnreadableState
            What is stored under a customer's key is not a state.
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
        timers: TimerChanges = NO_TIMERS,
        outbox: bytes | None = None,
        links: Mapping[str, bytes | None] = MappingProxyType({}),
        prices: Mapping[str, bytes | None] = MappingProxyType({}),
    ) -> None:
        """Write ``states`` and the record ``new``, or nothing. States and timers belong to the incarnation of ``new``.

        An empty state (``events == 0``) is deleted, and the customer's items and timer with it; those of customers
        who were ``erased`` on the way are deleted even if they have a state again, which then has only the timer that
        stands in ``timers``. An ``outbox`` takes the place of the one that is stored, an empty one deletes it, and
        ``None`` leaves it as it is. ``links`` are the stored forms of `features.links.Link` by customer, ``None`` to
        delete one; they stay when a state goes. ``prices`` are the stored forms of prices by item, in the same way.

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

    def prepare(self, saves: Sequence[Save]) -> PreparedSaves:
        """Do what can be done of `save_many` before anything is written.

        Who has to wait for something else before a save does that meanwhile. What is wrong by now is told by
        `PreparedSaves.commit`.
        """
        ...

    def pending(self, partition: int, expected: PartitionRecord) -> Pending:
        """Return the outbox that is stored, the moment of the next timer and the prices, guarded like `load`.

        Raises
        ------
        StoreConflict
            The stored record is not ``expected``.
        UnreadableRecord
            What is stored is no outbox, or no price.
        """
        ...

    def due_many(self, requests: Sequence[DueRequest]) -> list[Due]:
        """Return the customers whose timers are due, for several partitions, guarded like `load`."""
        ...

    def sweep(
        self, partition: int, expected: PartitionRecord, before: int, count: int, share: float = 0.0
    ) -> Swept:
        """Delete states whose last event is older than ``before`` (epoch ms), guarded like `save`.

        Their items and timers go with them. What other incarnations left is deleted too, and the items of customers
        who are unknown in this one.
        A state that cannot be read stays where it is. Looks at about ``count`` keys, or a ``share`` of all that there
        are where that is more, and goes on where it stopped, whoever asks next.
        """
        ...

    def peek(self, partition: int, customer: str) -> States | None:
        """Return one customer's state as an array of one, ``None`` if the customer is unknown."""
        ...

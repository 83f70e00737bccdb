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

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from features.exceptions import StoreError
from features.state import States
from features.store.partition_record import PartitionRecord


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
        A state that cannot be read stays where it is. Looks at about ``count`` keys from ``cursor`` on (0 to begin
        with) and returns the next cursor (0 at the end) and how many states were deleted.
        """
        ...

    def peek(self, partition: int, customer: str) -> States | None:
        """Return one customer's state as an array of one, ``None`` if the customer is unknown."""
        ...

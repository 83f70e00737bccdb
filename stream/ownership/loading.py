"""What a round needs of the store: states from the caches or from Redis, and items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from features.state import States
from features.store.customer_store import Loaded, LoadRequest
from features.structured import pieces
from stream.ownership.partition_batch import PartitionBatch

# States that are asked for in one call, about: 10 MB, which Redis answers within 50 ms. A round has more customers than
# that only where a watermark leaps, as after a gap in the log, and reaches the timers of many at once (`MOST_DUE`).
LOADED_AT_ONCE: Final = 8_000


class Found(NamedTuple):
    """What a partition's cache has: states, and the positions of those that it has not.

    The customers of the batch come first, then those whose timers are ``due`` though they are not in it. A partition in
    which nobody was ever linked has no links, and nothing is asked for.
    """

    part: PartitionBatch
    customers: Sequence[str]
    due: Sequence[str]
    states: States
    missing: NDArray[np.intp]
    links: list[bytes | None]
    missing_links: list[int]

    @classmethod
    def of(cls, part: PartitionBatch, customers: Sequence[str], due: Sequence[str]) -> Self:
        """Look into the cache. Of those who are ``due``, some may be among the customers of the batch."""
        if due:
            own = set(customers)
            due = [customer for customer in due if customer not in own]
        wanted = [*customers, *due] if due else customers
        states, missing = part.cache.get(wanted)
        links, missing_links = part.cache.links_of(wanted) if part.record.links else ([], [])
        return cls(part, customers, due, states, missing, links, missing_links)

    def loads(self, *, items: bool) -> list[LoadRequest]:
        """Return what is to be asked for, in pieces; nothing where everything is there."""
        wanted = [*self.customers, *self.due] if self.due else self.customers
        unknown = [wanted[at] for at in self.missing]
        pieces = [
            unknown[start : start + LOADED_AT_ONCE]
            for start in range(0, max(len(unknown), 1), LOADED_AT_ONCE)
        ]
        first = self.customers if items else ()
        unlinked = [wanted[at] for at in self.missing_links]
        return [
            LoadRequest(
                self.part.batch.partition,
                piece,
                self.part.record,
                () if at else first,
                () if at else unlinked,
            )
            for at, piece in enumerate(pieces)
            if piece or first or unlinked
        ]

    def with_stored(self, stored: Sequence[Loaded]) -> Loaded:
        """Return everything together; ``stored`` are the answers to `loads`."""
        at = 0
        for piece in stored:
            pieces(self.states)[self.missing[at : at + len(piece.states)]] = pieces(piece.states)
            at += len(piece.states)
        if self.missing_links:
            found = stored[0].links
            for place, link in zip(self.missing_links, found, strict=True):
                self.links[place] = link
            wanted = [*self.customers, *self.due]
            self.part.cache.put_links({wanted[at]: self.links[at] for at in self.missing_links})
        taken = {partition: (offset, number) for partition, offset, number in self.part.record.taken}
        items = stored[0].items if stored else ()
        return Loaded(self.states, items, self.due, self.links, taken, self.part.prices)


def in_calls(loads: Sequence[LoadRequest]) -> Iterator[list[LoadRequest]]:
    """Yield what is asked for in one call each: as a rule all of it."""
    together: list[LoadRequest] = []
    customers = 0
    for load in loads:
        if together and customers + len(load.customers) > LOADED_AT_ONCE:
            yield together
            together, customers = [], 0
        together.append(load)
        customers += len(load.customers)
    if together:
        yield together

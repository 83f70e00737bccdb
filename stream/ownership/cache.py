"""The hottest states, kept by the owner of a partition.

Nobody but the owner writes a state, so what it saved last is what is stored, for as long as it owns the
partition. The cache takes states only after their save has succeeded; whoever doubts that drops it whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from features.state import STATE, States, empty
from features.structured import picked, pieces


class StateCache:
    """States of up to ``capacity`` customers in one array; the clock algorithm decides who stays.

    A newcomer goes at the clock's next round unless it is asked for again, so customers who come once don't
    push out those who come often.

    Parameters
    ----------
    capacity
        Customers at most; 0 turns the cache off.

    Examples
    --------
    >>> cache = StateCache(2)
    >>> states = np.zeros(1, STATE)
    >>> states["events"] = 7
    >>> cache.put(["ada"], states)
    >>> found, missing = cache.get(["ada", "grace"])
    >>> found["events"].tolist(), missing.tolist()
    ([7, 0], [1])
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._states = np.zeros(capacity, STATE)
        self._slots: dict[str, int] = {}
        self._customers: list[str] = []
        self._asked = np.zeros(capacity, np.uint8)  # since the hand's last visit
        self._asked_one = self._asked.data  # the same bytes; quicker one by one
        self._hand = 0
        self._links: dict[str, bytes | None] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def get(self, customers: Sequence[str]) -> tuple[States, NDArray[np.intp]]:
        """Return one state per customer (empty where unknown), and the positions of those unknown."""
        find = self._slots.get
        slots = np.fromiter(map(find, customers, repeat(-1)), np.intp, len(customers))
        known = slots >= 0
        held = slots[known]
        self._asked[held] = 1
        if len(held) == len(slots):
            return picked(self._states, held), np.flatnonzero(~known)
        states = empty(len(customers))
        pieces(states)[known] = pieces(self._states)[held]
        return states, np.flatnonzero(~known)

    def put(self, customers: Sequence[str], states: States) -> None:
        """Keep states that have been saved. ``customers`` are distinct."""
        find = self._slots.get
        slots = np.fromiter(map(find, customers, repeat(-1)), np.intp, len(customers))
        newcomers = np.flatnonzero(slots < 0).tolist()
        taken = newcomers[: self.capacity]
        slots[taken] = self._rooms([customers[at] for at in taken])
        found = slots.tolist() if newcomers else ()
        came_round = len(found) > self.capacity or len(set(found)) < len(found)
        if came_round:  # and some lost their slot to others
            kept = [
                at for at, slot in enumerate(found) if slot >= 0 and self._customers[slot] == customers[at]
            ]
            slots, states = slots[kept], picked(states, np.array(kept, np.intp))
        pieces(self._states)[slots] = pieces(states)

    def links_of(self, customers: Sequence[str]) -> tuple[list[bytes | None], list[int]]:
        """Return one stored link per customer, and the positions of those that are unknown here."""
        links = [self._links.get(customer) for customer in customers]
        return links, [at for at, customer in enumerate(customers) if customer not in self._links]

    def put_links(self, links: Mapping[str, bytes | None]) -> None:
        """Keep links that are stored, ``None`` for customers who have none."""
        if len(self._links) + len(links) > self.capacity:
            self._links.clear()
        if len(links) <= self.capacity:
            self._links.update(links)

    def drop(self) -> None:
        """Forget everything."""
        self._links.clear()
        self._slots.clear()
        self._customers.clear()
        self._asked[:] = 0
        self._hand = 0

    def _rooms(self, newcomers: Sequence[str]) -> list[int]:
        """Return a slot for each newcomer: a free one, or that of whom nobody asked for since the hand came by."""
        slots, names, asked, hand, capacity = (
            self._slots, self._customers, self._asked_one, self._hand, self.capacity,
        )  # fmt: skip
        found = []
        for customer in newcomers:
            slot = len(names)
            if slot < capacity:
                names.append(customer)
            else:
                while asked[hand]:
                    asked[hand] = 0
                    hand = (hand + 1) % capacity
                slot, hand = hand, (hand + 1) % capacity
                del slots[names[slot]]
                names[slot] = customer
            slots[customer] = slot
            found.append(slot)
        self._hand = hand
        return found

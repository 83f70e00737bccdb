"""Under which ids a person is known: logins link them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from features.links import Link
from features.partition import partitions_of
from features.state import view_time
from features.store.customer_store import CustomerStore, LoadRequest

# Ids that are looked up; a customer remembers 64 that were merged into it.
_MOST_IDS: Final = 200


class Person(NamedTuple):
    """Under which ids a person is known.

    Attributes
    ----------
    ids
        The one that was asked for first; those that logins have linked to it, directly or by others, behind it.
    shared
        Linked ids of devices that several customers have used: what came under them is not only this person's.
    known
        Whether there is a state or a link under the id that was asked for.
    """

    ids: list[str]
    shared: list[str]
    known: bool


def person_of(store: CustomerStore, partitions: int, customer_id: str) -> Person:
    """Return under which ids a person is known; at most `_MOST_IDS` are looked up."""
    [home] = homes_of([customer_id], partitions)
    known = store.peek(home, customer_id) is not None
    ids, shared, waiting, seen = [customer_id], [], [customer_id], {customer_id}
    while waiting and len(seen) < _MOST_IDS:
        one = waiting.pop(0)
        link = link_of(store, partitions, one)
        if link is None:
            continue
        known = True
        if link.shared and one != customer_id:
            ids.remove(one)
            shared.append(one)
            continue
        others = [other for other in (link.customer, *link.members) if other and other not in seen]
        ids += others
        waiting += others
        seen |= set(others)
    return Person(ids, shared, known)


def link_of(store: CustomerStore, partitions: int, customer: str) -> Link | None:
    """Return how an id stands to others, ``None`` where nobody has linked it."""
    [partition] = homes_of([customer], partitions)
    (found,) = store.load_many([LoadRequest(partition, [customer], links_of=[customer])])
    return None if found.links[0] is None else Link.from_bytes(found.links[0])


def link_view(link: Link) -> dict[str, Any]:
    """Return how an id stands to others as plain values that people can read."""
    return {
        "customer_id": link.customer or None,
        "shared": link.shared,
        "since": view_time(link.since),
        "merged": list(link.members),
        "assigned": link.assigned or None,
    }


def homes_of(ids: Sequence[str], partitions: int) -> list[int]:
    """Return the partitions of ids."""
    return list(map(int, partitions_of([one.encode() for one in ids], partitions)))

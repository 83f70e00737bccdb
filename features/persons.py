"""Which ids are one person's, by all logins of a log: what counts people needs no state, and no order of hand-overs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Self

from features.events import epoch_ms
from features.identity import Identify
from features.logins import LinksAtOnce


class Persons(NamedTuple):
    """Who is one person.

    A device on which a second customer logs in is the first one's up to then, and nobody else's from then on.

    Attributes
    ----------
    roots
        For each id that ever logs in, or is logged in as, the one that stands for its person.
    shared
        Since when an id is nobody else's (epoch ms).
    """

    roots: Mapping[str, str] = {}
    shared: Mapping[str, int] = {}

    @classmethod
    def of(cls, logins: Iterable[Identify]) -> Self:
        r"""Return the persons that logins make, in their order.

        Examples
        --------
        >>> def login(anonymous, customer, time):
        ...     return Identify(event_id="l", anonymous_id=anonymous, customer_id=customer, event_time=time)
        >>> found = Persons.of([login("a-1", "ada", 5), login("a-2", "ada", 6), login("a-2", "grace", 7)])
        >>> found.ids(["a-1", "a-2", "a-2", "grace"], [9, 6, 7, 9])
        ['a-1', 'a-1', 'a-2\x00', 'grace']
        """
        links = LinksAtOnce()
        shared: dict[str, int] = {}
        for login in logins:
            linked = login.anonymous_id in links.holders.links
            if (
                not links.take(login.anonymous_id, login.customer_id)
                and linked
                and login.anonymous_id not in links.holders.links
            ):
                shared[login.anonymous_id] = epoch_ms(login.event_time)
        return cls(links.holders.families.roots(), shared)

    @classmethod
    def of_pairs(cls, pairs: Iterable[tuple[str, str]]) -> Self:
        """Return the persons of which each two ids are known to be one's."""
        return cls.of(
            Identify(event_id="-", anonymous_id=one, customer_id=other, event_time=0) for one, other in pairs
        )

    def ids(self, ids: Sequence[str], times: Sequence[int]) -> list[str]:
        """Return for each id, at a time (epoch ms), what stands for its person; for a shared device that is no id."""
        if not self.roots:
            return list(ids)
        return [
            f"{one}\0" if one in self.shared and time >= self.shared[one] else self.roots.get(one, one)
            for one, time in zip(ids, times, strict=True)
        ]

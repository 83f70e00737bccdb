"""Logins of a log: who is who from its rows alone, as they come.

In an archived topic partitions have handed to each other what they knew, and that took a moment: what is known of an id
goes to another one where the hand-over came, and what was handed on is an event of the other id, there. In any other
log all of it happens at once: from the row of a login on, the events of the id are those of whoever it is linked to.
Links do not expire here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.events import epoch_ms
from features.identity import IDENTITY_TYPES, HandOver, Identify, decode_identity
from features.log import without_prices
from features.watermark import BEGINNING


class HandOvers(NamedTuple):
    """Where an archived topic has what was known of an id: row by row whose it was, whose it is, and when.

    Each row comes before the events from ``before`` on.
    """

    before: NDArray[np.int64]
    source: Sequence[str]
    target: Sequence[str]
    time: NDArray[np.int64]


class Logins(NamedTuple):
    """The logins of a log, in its order.

    Attributes
    ----------
    before
        Each comes before the events from this row on.
    partition
        Where it came.
    anonymous, customer
        Who is whose.
    time
        Epoch ms.
    handed
        What was handed over; ``None`` where the log is no archive, and all happens at once.
    """

    before: NDArray[np.int64]
    partition: NDArray[np.int64]
    anonymous: Sequence[str]
    customer: Sequence[str]
    time: NDArray[np.int64]
    handed: HandOvers | None = None

    @classmethod
    def of(
        cls,
        said: Sequence[Identify | HandOver | None],
        before: NDArray[np.int64],
        partition: NDArray[np.int64],
    ) -> Self:
        """Return the logins and hand-overs among what the rows of a log say of who is who; other rows say nothing.

        Parameters
        ----------
        before, partition
            Of each: see the attributes.
        """
        logs_in = [at for at, one in enumerate(said) if isinstance(one, Identify)]
        states = [
            at
            for at, one in enumerate(said)
            if isinstance(one, HandOver) and one.event is None and not one.erase
        ]
        logins, handed = (
            [one for at in picked if (one := said[at]) is not None] for picked in (logs_in, states)
        )
        archived = any(isinstance(one, HandOver) for one in said)
        return cls(
            before[logs_in],
            partition[logs_in],
            [one.anonymous_id for one in logins],
            [one.customer_id for one in logins],
            np.array([epoch_ms(one.event_time) for one in logins], np.int64),
            HandOvers(
                before[states],
                [one.anonymous_id for one in handed],
                [one.customer_id for one in handed],
                np.array([epoch_ms(one.event_time) for one in handed], np.int64),
            )
            if archived
            else None,
        )

    def moments(
        self,
        rows: NDArray[np.int64],
        times: NDArray[np.int64],
        partitions: NDArray[np.int64],
        newest: Mapping[int, int] | None = None,
    ) -> NDArray[np.int64]:
        """Return when each counts: at its own time, or at that of the newest event before it in its partition.

        Parameters
        ----------
        rows, times, partitions, newest
            See `newest_before`.
        """
        found = newest_before(self.before, self.partition, rows, times, partitions, newest or {})
        return np.maximum(self.time, found)


def newest_before(  # noqa: PLR0917  (rows, and what came before them)
    before: NDArray[np.int64],
    partition: NDArray[np.int64],
    rows: NDArray[np.int64],
    times: NDArray[np.int64],
    partitions: NDArray[np.int64],
    newest: Mapping[int, int],
) -> NDArray[np.int64]:
    """Return the time of the newest event of its partition before each of some rows, `BEGINNING` where there is none.

    Parameters
    ----------
    before, partition
        Events from this row on come after it; and its partition.
    rows, times, partitions
        The rows of accepted events, rising, their times and partitions.
    newest
        The time of the newest accepted event of each partition before these.
    """
    found = np.empty(len(before), np.int64)
    for number in np.unique(partition).tolist():
        own, events = np.flatnonzero(partition == number), np.flatnonzero(partitions == number)
        first = newest.get(number, BEGINNING)
        reached = np.concatenate([[first], np.maximum(np.maximum.accumulate(times[events]), first)])
        found[own] = reached[rows[events].searchsorted(before[own])]
    return found


#: A log in which nobody logs in.
NO_LOGINS: Final = Logins(np.zeros(0, np.int64), np.zeros(0, np.int64), (), (), np.zeros(0, np.int64))


def split_logins(table: pa.Table) -> tuple[pa.Table, Logins]:
    """Return the events of a log (`features.log.read_log` with identities), and its logins.

    Events that were handed on stay; their ``identity`` says that they are none that came by themselves.
    """
    table = without_prices(table)
    if table["identity"].null_count == len(table):
        return table, NO_LOGINS
    others = pc.is_in(table["type"], pa.array(IDENTITY_TYPES)).to_numpy()
    at = np.flatnonzero(others)
    said = [decode_identity(text.encode()) for text in table["identity"].take(at).to_pylist()]
    partition = pc.fill_null(table["partition"].take(at).cast(pa.int64()), 0).to_numpy()
    return table.filter(pa.array(~others)), Logins.of(said, np.cumsum(~others)[at], partition)


class LinksAtOnce:
    """Who is linked to whom, login by login.

    Attributes
    ----------
    holders
        Who has what is known of each id.
    """

    def __init__(self) -> None:
        self.holders = Holders()
        self._shared: set[str] = set()

    def take(self, anonymous: str, customer: str) -> bool:
        """Take a login; return whether it links the two."""
        linked = self.holders.links.get(anonymous)
        if anonymous in self._shared or linked == customer:
            return False
        if linked is not None:
            self.holders.unlink(anonymous)
            self._shared.add(anonymous)
            return False
        self.holders.link(anonymous, customer)
        return True

    def path(self, one: str) -> list[str]:
        """Return an id, whose it is, and who has what is known of it: fewer where some of them are the same.

        Examples
        --------
        >>> links = LinksAtOnce()
        >>> [links.take(*pair) for pair in (("d", "c"), ("c", "b"), ("b", "a"), ("a", "b"))]
        [True, True, True, True]
        >>> links.path("d"), links.path("c"), links.path("a")
        (['d', 'c', 'a'], ['c', 'b', 'a'], ['a'])
        """
        holder = self.holders.of(one)
        return [one] if holder == one else list(dict.fromkeys((one, self.holders.links[one], holder)))


class Holders:
    """Who has what is known of an id: the end of its links, or the least id of a circle.

    What was found is remembered for all ids on the way. Somebody who is no longer linked makes that void for those
    with whom they were ever linked.

    Examples
    --------
    >>> holders = Holders()
    >>> for one, other in (("a", "b"), ("b", "c"), ("d", "f"), ("f", "e"), ("e", "d")):
    ...     holders.link(one, other)
    >>> holders.of("a"), holders.of("f"), holders.of("g")
    ('c', 'd', 'g')
    >>> holders.unlink("b")
    >>> holders.of("a")
    'b'
    """

    def __init__(self) -> None:
        self.links: dict[str, str] = {}
        self.families = Families()
        self._unlinked: dict[str, int] = {}  # how often somebody of a family was unlinked
        self._found: dict[str, tuple[str, int]] = {}
        self._rests: dict[str, int] = {}  # who holds a circle

    def link(self, one: str, other: str) -> None:
        """Link an id that is not linked to another one."""
        self.links[one] = other
        united = [self.families.of(member) for member in (one, other)]
        self.families.unite(one, other)
        self._unlinked[self.families.of(one)] = max(self._unlinked.get(family, 0) for family in united)

    def unlink(self, one: str) -> None:
        """End the link of an id."""
        del self.links[one]
        self._unlinked[self.families.of(one)] += 1

    def of(self, one: str) -> str:
        """Return the id that has what is known of this one."""
        if one not in self.links:
            return one
        now = self._unlinked[self.families.of(one)]
        way: dict[str, None] = {}
        while one in self.links and self._rests.get(one) != now:
            if one in way:
                one = min(self._circle(one))
                self._rests[one] = now
                break
            way[one] = None
            following, found = self._found.get(one, ("", -1))
            one = following if found == now else self.links[one]
        for passed in way:
            self._found[passed] = one, now
        return one

    def _circle(self, one: str) -> list[str]:
        """Return the ids of the circle in which one is."""
        circle = [one]
        while (following := self.links[circle[-1]]) != one:
            circle.append(following)
        return circle


class Families:
    """Ids that are ever linked, by one of them."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    @staticmethod
    def of_pairs(pairs: Iterable[tuple[str, str]]) -> Families:
        """Return the families that logins make, in their order: each of an anonymous id and a customer."""
        links = LinksAtOnce()
        for anonymous, customer in pairs:
            links.take(anonymous, customer)
        return links.holders.families

    def roots(self) -> dict[str, str]:
        """Return for each id that is linked the one that stands for its family."""
        known = {*self._parents, *self._parents.values()}
        return {one: self.of(one) for one in sorted(known)}

    def of(self, one: str) -> str:
        """Return the id that stands for those with whom this one is linked."""
        end = one
        while end in self._parents:
            end = self._parents[end]
        while one != end:
            self._parents[one], one = end, self._parents[one]
        return end

    def unite(self, one: str, other: str) -> None:
        """Take note that two ids are linked."""
        first, second = sorted((self.of(one), self.of(other)))
        if first != second:
            self._parents[second] = first


class Move(NamedTuple):
    """What is known of an id goes to another one, before the events from a row on (epoch ms)."""

    before: int
    source: str
    target: str
    time: int


class Join(NamedTuple):
    """An anonymous id of a partition and another one are the same person's, as came out at a time (epoch ms)."""

    partition: int
    anonymous: str
    other: str
    time: int


class Followed(NamedTuple):
    """What logins make of a log.

    Attributes
    ----------
    moves
        In the order of their rows.
    joins
        In the order of the logins.
    paths
        For each event of a linked id, by its row: `LinksAtOnce.path`.
    families
        Who is ever linked with whom.
    """

    moves: Sequence[Move]
    joins: Sequence[Join]
    paths: Mapping[int, Sequence[str]]
    families: Families


def follow(
    logins: Logins, moments: NDArray[np.int64], rows: Sequence[int], customers: Sequence[str]
) -> Followed:
    """Follow the logins of a log.

    Parameters
    ----------
    moments
        When each counts (`Logins.moments`).
    rows, customers
        The events of ids that log in, in the order of their rows.
    """
    following = _Following(logins, moments.tolist())
    paths: dict[int, Sequence[str]] = {}
    for row, one in zip(rows, customers, strict=True):
        following.take_until(row)
        path = following.links.path(one)
        if len(path) > 1:
            paths[row] = path
    following.take_until(None)
    moves = (
        following.moves
        if logins.handed is None
        else _arrived(logins.handed, _Following(logins, moments.tolist()))
    )
    return Followed(moves, following.joins, paths, following.links.holders.families)


def _arrived(handed: HandOvers, following: _Following) -> list[Move]:
    """Return the hand-overs that go no further."""
    moves = []
    for move in map(Move, handed.before.tolist(), handed.source, handed.target, handed.time.tolist()):
        following.take_until(move.before)
        if len(following.links.path(move.target)) == 1:
            moves.append(move)
    return moves


class _Following:
    """Takes logins one by one."""

    def __init__(self, logins: Logins, moments: Sequence[int]) -> None:
        self.links = LinksAtOnce()
        self.moves: list[Move] = []
        self.joins: list[Join] = []
        self._left = deque(
            zip(
                logins.before.tolist(),
                logins.partition.tolist(),
                moments,
                logins.anonymous,
                logins.customer,
                strict=True,
            )
        )

    def take_until(self, row: int | None) -> None:
        """Take the logins that come before the event of a row, by default all."""
        while self._left and (row is None or self._left[0][0] <= row):
            before, partition, time, anonymous, customer = self._left.popleft()
            if not self.links.take(anonymous, customer):
                continue
            path = self.links.path(anonymous)
            pairs = dict.fromkeys([(anonymous, customer), *pairwise(path)])
            self.joins += [Join(partition, *pair, time) for pair in pairs]
            if len(path) > 1:
                self.moves.append(Move(before, anonymous, path[-1], time))

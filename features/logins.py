"""Logins of a log: who is who from its rows alone, as they come.

In an archived topic partitions have handed to each other what they knew, and that took a moment: what is known of an id
goes to another one where the hand-over came, and what was handed on is an event of the other id, there. In any other
log all of it happens at once: from the row of a login on, the events of the id are those of whoever it is linked to.
Links do not expire here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.events import epoch_ms
from features.identity import IDENTITY_TYPES, HandOver, Identify, decode_identity
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
    if table["identity"].null_count == len(table):
        return table, NO_LOGINS
    others = pc.is_in(table["type"], pa.array(IDENTITY_TYPES)).to_numpy()
    at = np.flatnonzero(others)
    said = [decode_identity(text.encode()) for text in table["identity"].take(at).to_pylist()]
    partition = pc.fill_null(table["partition"].take(at).cast(pa.int64()), 0).to_numpy()
    return table.filter(pa.array(~others)), Logins.of(said, np.cumsum(~others)[at], partition)


class LinksAtOnce:
    """Who is linked to whom, login by login."""

    def __init__(self) -> None:
        self._links: dict[str, str] = {}
        self._shared: set[str] = set()

    def take(self, anonymous: str, customer: str) -> bool:
        """Take a login; return whether it links the two."""
        if anonymous in self._shared or self._links.get(anonymous) == customer:
            return False
        if anonymous in self._links:
            del self._links[anonymous]
            self._shared.add(anonymous)
            return False
        self._links[anonymous] = customer
        return True

    def path(self, one: str) -> list[str]:
        """Return the ids from this one to who has what is known of it: the end of links, or the least id of a circle.

        Examples
        --------
        >>> links = LinksAtOnce()
        >>> [links.take(*pair) for pair in (("c", "b"), ("b", "a"), ("a", "b"), ("e", "f"))]
        [True, True, True, True]
        >>> links.path("e"), links.path("c"), links.path("a")
        (['e', 'f'], ['c', 'b', 'a'], ['a'])
        """
        path = [one]
        while (following := self._links.get(path[-1])) is not None:
            if following in path:
                return path[: path.index(min(path[path.index(following) :])) + 1]
            path.append(following)
        return path


class Families:
    """Ids that are ever linked, by one of them."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    @classmethod
    def of_pairs(cls, pairs: Iterable[tuple[str, str]]) -> Families:
        """Return the families that logins make, in their order: each of an anonymous id and a customer."""
        families, links = cls(), LinksAtOnce()
        for anonymous, customer in pairs:
            if links.take(anonymous, customer):
                families.unite(anonymous, customer)
        return families

    def roots(self) -> dict[str, str]:
        """Return for each id that is linked the one that stands for its family."""
        known = {*self._parents, *self._parents.values()}
        return {one: self.of(one) for one in sorted(known)}

    def of(self, one: str) -> str:
        """Return the id that stands for those with whom this one is linked."""
        while one in self._parents:
            one = self._parents[one]
        return one

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
        For each event of a linked id, by its row: the ids that have passed it on, up to who has it.
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
    return Followed(moves, following.joins, paths, following.families)


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
        self.links, self.families = LinksAtOnce(), Families()
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
            self.families.unite(anonymous, customer)
            path = self.links.path(anonymous)
            pairs = dict.fromkeys([(anonymous, customer), *zip(path, path[1:], strict=False)])
            self.joins += [Join(partition, *pair, time) for pair in pairs]
            if len(path) > 1:
                self.moves.append(Move(before, anonymous, path[-1], time))

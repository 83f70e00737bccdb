"""A shop's own log with logins: who is who from the log alone, merged at once.

Such a log has `identify` rows, and nothing that workers handed over. Links follow from the rows in their order, without
any state. So before a log is scored, each event gets the id that holds what is known at its moment, and each login that
links an id becomes two rows: one hands the state over, the next one merges it. Links do not expire here.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.identity import IDENTIFY, MERGE, Identify, decode_identity

_SOURCE: Final = b"intent.source"


class InPlace(NamedTuple):
    """A log in which logins are merged at once.

    Attributes
    ----------
    table
        Its rows.
    rows
        For each of them the position of the row of the log that it is of.
    family
        For each of them one id that stands for all who are ever linked with its customer.
    """

    table: pa.Table
    rows: NDArray[np.intp]
    family: list[str]


def has_logins_alone(table: pa.Table) -> bool:
    """Whether a log has logins, and is not one that workers have written."""
    metadata = table.schema.metadata or {}
    return metadata.get(_SOURCE) != b"kafka" and bool(pc.any(pc.equal(table["type"], IDENTIFY)).as_py())


def merged_in_place(table: pa.Table) -> InPlace:
    """Return a log in which logins are merged at once."""
    customers, texts = table["customer_id"].to_pylist(), table["identity"].to_pylist()
    holders, shared = _Holders(), set[str]()
    rows: list[int] = []
    owners: list[str | None] = []
    types = table["type"].to_pylist()
    for row, (customer, text) in enumerate(zip(customers, texts, strict=True)):
        if text is None:
            rows.append(row)
            owners.append(customer if customer is None else holders.of(customer))
            continue
        said = decode_identity(text.encode())
        if (
            not isinstance(said, Identify)
            or customer in shared
            or holders.links.get(customer) == said.customer_id
        ):
            continue
        if customer in holders.links:
            holders.unlink(customer)
            shared.add(customer)
            continue
        holders.link(customer, said.customer_id)
        goes_to = holders.of(customer)
        if goes_to != customer:
            rows += [row, row]
            owners += [customer, goes_to]
    kept = table.take(rows)
    kinds = [types[row] for row in rows]
    for at in range(1, len(rows)):
        if rows[at] == rows[at - 1]:
            kinds[at] = MERGE
    for name, values in (("customer_id", owners), ("type", kinds)):
        at = kept.schema.get_field_index(name)
        kept = kept.set_column(at, kept.schema.field(at), pa.array(values, pa.string()))
    return InPlace(kept, np.array(rows, np.intp), [holders.families.of(owner or "") for owner in owners])


class _Holders:
    """Who has what is known of an id: the end of its links, or the least id of a circle.

    What was found is remembered for all ids on the way. Somebody who is no longer linked makes that void for those
    with whom they were ever linked.

    Examples
    --------
    >>> holders = _Holders()
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
        self.families = _Families()
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


class _Families:
    """Ids that are ever linked, by one of them."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

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

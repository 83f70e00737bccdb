"""The prices of items in one partition: what carts are compared with, as of any moment that timers still ask for.

An item has *versions*: each is a price, and from when on timers see it. That is its own time, or the watermark of the
partition at its record if that is later: a timer comes where the watermark reaches its moment, and knows what stands
before that place. A version is kept as long as timers may come that see it. So the answers do not depend on how the
log is cut.

Of two prices of an item the later one counts, of two of the same moment the lower one. So what comes again changes
nothing. A price that is said again keeps the moment since which it holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from features.exceptions import UnreadableRecord
from features.sealing import SEAL_BYTES, sealed, unsealed
from features.state import CART_LIFE_MS

#: Items of a partition, at most. At that number the oldest tenth is dropped, and all prices that no cart can ask for.
MOST_PRICES: Final = 100_000

_DROPPED_AT_ONCE: Final = 10

_BEGINNING: Final = -(2**63)

#: What becomes of a price, for metrics.
PRICE_OUTCOMES: Final = ("new", "changed", "confirmed", "known", "old", "foreign")

_FIELDS: Final = [
    ("noted", "<i8"),  # timers of later moments see it
    ("price", "<f8"),
    ("since", "<i8"),  # when the item began to cost that, event time
    ("time", "<i8"),  # the latest event that said so
    ("fell", "<i8"),  # from when on timers have seen the last fall of the price, or its first one
]
#: One version of a price; `item` is the hash of its id. A table is in the order of items and of `noted`.
VERSION: Final = np.dtype([("item", "<u8"), *_FIELDS])
_STORED: Final = np.dtype(_FIELDS)

Versions = NDArray[np.void]
_Version = tuple[int, int, float, int, int, int]


class SaidPrice(NamedTuple):
    """A price as a partition takes note of it: ``noted`` is the watermark at its record, times are epoch ms."""

    item_id: str
    price: float
    time: int
    noted: int


class Changed(NamedTuple):
    """What prices make of a table.

    Attributes
    ----------
    table
        The table after them.
    stored
        The stored form of each item that changes, by its id; ``None`` removes it.
    counts
        How often there was each of `PRICE_OUTCOMES`.
    """

    table: PriceTable
    stored: Mapping[str, bytes | None]
    counts: Counter[str]


class PriceTable:
    """The versions of a partition; a table never changes, `after` makes another one.

    Attributes
    ----------
    versions
        In the order of items and of ``noted``.
    names
        Ids of items by their hashes.

    Examples
    --------
    >>> table = NO_PRICES.after([SaidPrice("tent", 80.0, 1_000, 500)]).table
    >>> table.of_items(np.array([item_hash("tent"), 7], np.uint64))["price"].tolist()
    [80.0]
    """

    __slots__ = ("names", "versions")

    def __init__(self, versions: Versions, names: Mapping[int, str]) -> None:
        self.versions = versions
        self.names = names

    @classmethod
    def of(cls, stored: Mapping[str, bytes]) -> Self:
        """Return the table whose items are stored.

        Raises
        ------
        UnreadableRecord
            What is stored of an item is damaged; the message names it.
        """
        if not stored:
            return cls(_NOTHING, {})
        parts = [_read(item, raw) for item, raw in stored.items()]
        hashes = np.array([item_hash(item) for item in stored], np.uint64)
        whole = np.zeros(sum(map(len, parts)), VERSION)
        whole["item"] = np.repeat(hashes, [len(part) for part in parts])
        for name in _STORED.names or ():
            whole[name] = np.concatenate([part[name] for part in parts])
        order = np.lexsort((whole["noted"], whole["item"]))
        return cls(whole[order], dict(zip(hashes.tolist(), stored, strict=True)))

    def __eq__(self, other: object) -> bool:
        """Whether another table has the same versions of the same items."""
        if not isinstance(other, PriceTable):
            return NotImplemented
        return self.names == other.names and np.array_equal(self.versions, other.versions)

    __hash__ = None  # type: ignore[assignment]  # as arrays have none

    def __len__(self) -> int:
        """Return how many items have a price."""
        return len(self.names)

    def of_items(self, items: NDArray[np.uint64]) -> Versions:
        """Return all versions of some items, which are distinct and in order."""
        starts, stops = self._ranges(items)
        lengths = stops - starts
        at = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
        found: Versions = self.versions[at]
        return found

    def stored(self) -> dict[str, bytes]:
        """Return the stored form of all items."""
        items, starts = np.unique(self.versions["item"], return_index=True)
        parts = np.split(self.versions, starts[1:]) if len(items) else []
        return {
            self.names[item]: _to_bytes(part.tolist())
            for item, part in zip(items.tolist(), parts, strict=True)
        }

    def after(self, said: Sequence[SaidPrice], before: int = _BEGINNING, most: int = MOST_PRICES) -> Changed:
        """Return what the prices of one batch, in the order of their records, make of the table.

        Parameters
        ----------
        before
            The watermark before the batch: all timers up to it have come.
        most
            Items at which the oldest ones are dropped.
        """
        counts: Counter[str] = Counter()
        changed: dict[int, list[_Version]] = {}
        names: dict[int, str] = {}
        hashes = np.array([item_hash(one.item_id) for one in said], np.uint64)
        starts, stops = self._ranges(hashes)
        items = len(self)
        for at, (one, item) in enumerate(zip(said, hashes.tolist(), strict=True)):
            held = changed.get(item)
            if held is None:
                held = _still_seen(self.versions[starts[at] : stops[at]].tolist(), before)
            outcome = _take(held, item, one)
            counts[outcome] += 1
            if outcome in ("known", "old"):
                continue
            if item not in changed and starts[at] == stops[at]:
                items += 1
                names[item] = one.item_id
            changed[item] = held
            if items >= most:
                full = self._with(changed, names)
                return full._shrunk(changed, one.noted, (said[at + 1 :], before, most), counts)
        table = self._with(changed, names)
        return Changed(table, {table.names[item]: _to_bytes(held) for item, held in changed.items()}, counts)

    def _shrunk(
        self,
        changed: Mapping[int, list[_Version]],
        noted: int,
        rest: tuple[Sequence[SaidPrice], int, int],
        counts: Counter[str],
    ) -> Changed:
        """Drop the oldest items of a full table, of which some have just changed, and go on with its batch."""
        own = self.versions["item"]
        latest = self.versions[np.flatnonzero(np.append(own[1:] != own[:-1], True))]
        order = np.lexsort((latest["item"], latest["time"]))
        expired = int(np.count_nonzero(latest["time"] < noted - CART_LIFE_MS))
        gone = latest["item"][order[: max(expired, rest[-1] // _DROPPED_AT_ONCE, 1)]]
        names = dict(self.names)
        removed: dict[str, bytes | None] = {names.pop(item): None for item in gone.tolist()}
        after = PriceTable(self.versions[~np.isin(own, gone)], names).after(*rest)
        kept = {names[item]: _to_bytes(held) for item, held in changed.items() if item in names}
        return Changed(after.table, kept | removed | dict(after.stored), counts + after.counts)

    def _with(self, changed: Mapping[int, list[_Version]], names: Mapping[int, str]) -> PriceTable:
        """Return the table with other versions of some items, and with the ``names`` of new ones."""
        if not changed:
            return self
        ours = np.array(sorted(changed), np.uint64)
        starts, stops = self._ranges(ours)
        kept = np.ones(len(self.versions), np.bool_)
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
            kept[start:stop] = False
        left = self.versions[kept]
        new = np.array([version for item in ours.tolist() for version in changed[item]], VERSION)
        places = left["item"].searchsorted(new["item"])
        return PriceTable(np.insert(left, places, new), {**self.names, **names} if names else self.names)

    def _ranges(self, items: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        own = self.versions["item"]
        return own.searchsorted(items), own.searchsorted(items, side="right")


def item_hash(item_id: str) -> int:
    """Return the hash of an item, as carts hold it (`features.columns`)."""
    return xxh3_64_intdigest(item_id.encode())


def _still_seen(held: list[_Version], before: int) -> list[_Version]:
    """Return the versions that a timer after a moment may see."""
    seen = sum(version[1] <= before for version in held)
    return held[max(seen - 1, 0) :]


def _take(held: list[_Version], item: int, said: SaidPrice) -> str:
    """Let an item's versions follow a price; return which of `PRICE_OUTCOMES` that is."""
    oldest = said.noted - CART_LIFE_MS
    if said.time < oldest:
        return "old"
    noted = max(said.noted, said.time)
    if not held or held[-1][4] < oldest:  # no cart has lines from before that
        held.append((item, noted, said.price, said.time, said.time, noted))
        return "new"
    _, before, price, since, time, fell = held[-1]
    if said.time < time or (said.time == time and said.price >= price):
        return "known"
    if said.price == price:
        held[-1] = (item, before, price, since, said.time, fell)
        return "confirmed"
    if before == noted:  # no timer can come between the two
        held.pop()
    held.append((item, noted, said.price, said.time, said.time, noted if said.price < price else fell))
    return "changed"


def _to_bytes(versions: Iterable[_Version]) -> bytes:
    return sealed(np.array([version[1:] for version in versions], _STORED).tobytes())


def _read(item: str, raw: bytes) -> NDArray[Any]:
    content = unsealed(raw) if len(raw) > SEAL_BYTES else None
    if content is None or len(content) % _STORED.itemsize:
        raise UnreadableRecord(f"the price of the item {item!r} is damaged: its checksum does not fit")
    return np.frombuffer(content, _STORED)


_NOTHING: Final = np.zeros(0, VERSION)

#: The table of a partition that knows no price.
NO_PRICES: Final = PriceTable(_NOTHING, {})

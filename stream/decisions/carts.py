"""Carts beside prices: which lines have become cheaper since they were added.

A comparison happens at a moment of event time, like every timer, and sees what the partition knew when its watermark
came there. It tells what has fallen since the comparison before: no drop is told twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from features.cart import CartPrices
from features.compiled import njit
from features.price_table import VERSION, PriceTable, Versions
from features.state import CART_LIFE_MS, CART_LINES, MINUTE_MS, States
from stream.decisions.found import NO_ROW
from stream.decisions.memory import Memory
from stream.decisions.tables import Table

_ROUNDING: Final = 1e-9  # in parts of a price


class Carts(NamedTuple):
    """What kernels know of carts and prices.

    Attributes
    ----------
    items, units, added
        The lines of carts: those of the scores of a round, then those of before it of customers whose timers come.
    standing
        For each customer the row of the cart of before the round; `NO_ROW`: nobody asks for it.
    versions, bounds
        The prices of these items, partition batch by partition batch, and where each of these begins and ends.
    """

    items: NDArray[np.uint64]
    units: NDArray[np.float64]
    added: NDArray[np.int64]
    standing: NDArray[np.int64]
    versions: Versions
    bounds: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        scored: tuple[NDArray[np.uint64], CartPrices, NDArray[np.int64]],
        before: tuple[States, NDArray[np.int64]],
        parts: NDArray[np.int64],
        tables: Sequence[PriceTable],
    ) -> Self:
        """Put carts and prices together.

        Parameters
        ----------
        scored
            Of the scores of the round: items and prices of the carts, and the position of the customer.
        before
            Of customers whose timers come: states of before the round, and positions.
        parts
            The partition batch of each customer.
        tables
            The prices of each partition batch.
        """
        items, prices, slots = scored
        states, slots_before = before
        earlier = CartPrices.of(states)
        items = np.concatenate([items, states["cart_items"]])
        of_rows = parts[np.concatenate([slots, slots_before])]
        found: list[Versions] = []
        for part, table in enumerate(tables):
            own = np.unique(items[of_rows == part]) if len(table) else items[:0, 0]
            found.append(table.of_items(own))
        standing = np.full(len(parts), NO_ROW, np.int64)
        standing[slots_before] = len(slots) + np.arange(len(slots_before))
        return cls(
            items,
            np.concatenate([prices.units, earlier.units]),
            np.concatenate([prices.added, earlier.added]),
            standing,
            np.concatenate(found),
            np.cumsum([0, *map(len, found)]),
        )


#: What kernels know where no rule asks for prices.
NO_CARTS: Final = Carts(
    np.zeros((0, CART_LINES), np.uint64),
    *CartPrices.blank(0),
    np.zeros(0, np.int64),
    np.zeros(0, VERSION),
    np.zeros(1, np.int64),
)


@njit(cache=True, nogil=True)
def is_comparable(c: Carts, row: int) -> bool:  # pragma: no cover
    """Whether a cart has a line of one item whose price is known."""
    for i in range(CART_LINES):  # noqa: SIM110  (numba has no any() over a generator)
        if c.items[row, i] != 0 and c.units[row, i] > 0.0:
            return True
    return False


@njit(cache=True, nogil=True)
def waits_for_price(t: Table, m: Memory) -> bool:  # pragma: no cover
    """Whether an action that a comparison has made due waits for the end of the quiet time."""
    return bool(m.waiting > 0 and t.priced >> (np.int64(m.waiting) - 1) & 1)


@njit(cache=True, nogil=True)
def next_comparison(t: Table, m: Memory) -> int:  # pragma: no cover
    """Return when a cart is compared next: not before the customer's latest event.

    0 = never, or when the action ends its waiting that an earlier comparison has made due.
    """
    if m.compared == 0 or waits_for_price(t, m):
        return 0
    return int(max(np.int64(m.compared) + t.every, m.as_of // MINUTE_MS + 1) * MINUTE_MS)


@njit(cache=True, nogil=True)
def watch_cart(t: Table, m: Memory, c: Carts, row: int, before: int, after: int) -> None:  # pragma: no cover
    """Begin, or end, to compare the cart that a score has left.

    Parameters
    ----------
    before, after
        The watermarks around the score's event: prices that are noted from there on are news.
    """
    if m.holds & t.priced == 0 or not is_comparable(c, row):
        m.compared = np.uint32(0)
    elif m.compared == 0 or 0 < next_comparison(t, m) <= before:
        m.compared = np.uint32((after if after > 0 else m.as_of) // MINUTE_MS)


@njit(cache=True, nogil=True)
def cheaper_lines(
    t: Table, c: Carts, row: int, part: int, rule: int, moment: int, noted: int
) -> int:  # pragma: no cover
    """Return the lines, as bits, that cost less at a moment than a rule asks for, and fell from ``noted`` on."""
    found = 0
    for i in range(CART_LINES):
        item, unit, added = c.items[row, i], c.units[row, i], c.added[row, i]
        if item == 0 or unit <= 0.0 or moment - added >= CART_LIFE_MS:
            continue
        at = _version_at(c, part, item, moment)
        if at < 0 or c.versions[at].fell < noted or c.versions[at].since <= added:
            continue
        if c.versions[at].price <= unit * (1.0 - t.least_drop[rule]) * (1.0 + _ROUNDING):
            found |= 1 << i
    return found


@njit(cache=True, nogil=True)
def expires_whole(c: Carts, row: int, moment: int) -> bool:  # pragma: no cover
    """Whether no line of a cart that is comparable lives on at a moment."""
    for i in range(CART_LINES):
        if c.items[row, i] != 0 and c.units[row, i] > 0.0 and moment - c.added[row, i] < CART_LIFE_MS:
            return False
    return True


@njit(cache=True, nogil=True)
def _version_at(c: Carts, part: int, item: int, moment: int) -> int:  # pragma: no cover
    """Return the version of an item's price that was noted last before a moment, -1 if none was."""
    low, high = c.bounds[part], c.bounds[part + 1]
    while low < high:
        middle = (low + high) // 2
        v = c.versions[middle]
        if v.item < item or (v.item == item and v.noted < moment):
            low = middle + 1
        else:
            high = middle
    at = low - 1
    return int(at) if at >= c.bounds[part] and c.versions[at].item == item else -1

"""Carts and wish lists beside prices: which lines have become cheaper since they were added.

A comparison happens at a moment of event time, like every timer, and sees what the partition knew when its watermark
came there. It tells what has fallen since the comparison before: no drop is told twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from features.compiled import kernel
from features.price_table import VERSION, PriceTable, Versions
from features.priced_lines import NO_LINES, PRICED_LINES, PricedLines
from features.state import CART_LIFE_MS, CART_LINES, MINUTE_MS, WISH_LIFE_MS, States
from stream.decisions.found import NO_ROW
from stream.decisions.memory import Memory
from stream.decisions.tables import Table

_ROUNDING: Final = 1e-9  # in parts of a price


#: The lines of a cart, and those of a wish list, as bits.
CART: Final = (1 << CART_LINES) - 1
WISHLIST: Final = ((1 << PRICED_LINES) - 1) ^ CART


class Lines(NamedTuple):
    """What kernels know of lines and prices.

    Attributes
    ----------
    items, units, added
        See `PricedLines`: those of the scores of a round, then those of before it of customers whose timers come.
    standing
        For each customer the row of the lines of before the round; `NO_ROW`: nobody asks for it.
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
        scored: tuple[PricedLines, NDArray[np.int64]],
        before: tuple[States, NDArray[np.int64]],
        parts: NDArray[np.int64],
        tables: Sequence[PriceTable],
    ) -> Self:
        """Put lines and prices together.

        Parameters
        ----------
        scored
            Of the scores of the round: the lines, and the position of the customer.
        before
            Of customers whose timers come: states of before the round, and positions.
        parts
            The partition batch of each customer.
        tables
            The prices of each partition batch.
        """
        own, slots = scored
        states, slots_before = before
        lines = own.then(PricedLines.of(states))
        of_rows = parts[np.concatenate([slots, slots_before])]
        found: list[Versions] = []
        for part, table in enumerate(tables):
            items = np.unique(lines.items[of_rows == part]) if len(table) else lines.items[:0, 0]
            found.append(table.of_items(items))
        standing = np.full(len(parts), NO_ROW, np.int64)
        standing[slots_before] = len(slots) + np.arange(len(slots_before))
        return cls(*lines, standing, np.concatenate(found), np.cumsum([0, *map(len, found)]))


#: What kernels know where no rule asks for prices.
NOTHING_COMPARED: Final = Lines(*NO_LINES, np.zeros(0, np.int64), np.zeros(0, VERSION), np.zeros(1, np.int64))


@kernel
def _asked(t: Table, m: Memory) -> int:  # pragma: no cover
    """Return the lines, as bits, that the rules ask for which hold."""
    lines = 0
    for r in range(t.count):
        if m.holds & t.priced & 1 << r:
            lines |= t.lines[r]
    return lines


@kernel
def _is_comparable(c: Lines, row: int, i: int) -> bool:  # pragma: no cover
    """Whether a line is of one item whose price is known."""
    return bool(c.items[row, i] != 0 and c.units[row, i] > 0.0)


@kernel
def _lives(c: Lines, row: int, i: int, moment: int) -> bool:  # pragma: no cover
    """Whether a line has not expired at a moment."""
    return bool(moment - c.added[row, i] < (CART_LIFE_MS if i < CART_LINES else WISH_LIFE_MS))


@kernel
def waits_for_price(t: Table, m: Memory) -> bool:  # pragma: no cover
    """Whether an action that a comparison has made due waits for the end of the quiet time."""
    return bool(m.waiting > 0 and t.priced >> (np.int64(m.waiting) - 1) & 1)


@kernel
def next_comparison(t: Table, m: Memory) -> int:  # pragma: no cover
    """Return when lines are compared next: not before the customer's latest event.

    0 = never, or when the action ends its waiting that an earlier comparison has made due.
    """
    if m.compared == 0 or waits_for_price(t, m):
        return 0
    return int(max(np.int64(m.compared) + t.every, m.as_of // MINUTE_MS + 1) * MINUTE_MS)


@kernel
def watch_lines(t: Table, m: Memory, c: Lines, row: int, before: int, after: int) -> None:  # pragma: no cover
    """Begin, or end, to compare the lines that a score has left.

    Parameters
    ----------
    before, after
        The watermarks around the score's event: prices that are noted from there on are news.
    """
    asked, comparable = _asked(t, m), False
    for i in range(PRICED_LINES):
        if asked >> i & 1 and _is_comparable(c, row, i):
            comparable = True
    if not comparable:
        m.compared = np.uint32(0)
    elif m.compared == 0 or 0 < next_comparison(t, m) <= before:
        m.compared = np.uint32((after if after > 0 else m.as_of) // MINUTE_MS)


@kernel
def cheaper_lines(
    t: Table, c: Lines, row: int, part: int, rule: int, moment: int, noted: int
) -> int:  # pragma: no cover
    """Return the lines, as bits, that cost less at a moment than a rule asks for, and fell from ``noted`` on."""
    found = 0
    for i in range(PRICED_LINES):
        if not t.lines[rule] >> i & 1 or not _is_comparable(c, row, i) or not _lives(c, row, i, moment):
            continue
        at = _version_at(c, part, c.items[row, i], moment)
        if at < 0 or c.versions[at].fell < noted or c.versions[at].since <= c.added[row, i]:
            continue
        if c.versions[at].price <= c.units[row, i] * (1.0 - t.least_drop[rule]) * (1.0 + _ROUNDING):
            found |= 1 << i
    return found


@kernel
def expire_all(t: Table, m: Memory, c: Lines, row: int, moment: int) -> bool:  # pragma: no cover
    """Whether no line that rules ask for lives on at a moment."""
    asked = _asked(t, m)
    for i in range(PRICED_LINES):
        if asked >> i & 1 and _is_comparable(c, row, i) and _lives(c, row, i, moment):
            return False
    return True


@kernel
def _version_at(c: Lines, part: int, item: int, moment: int) -> int:  # pragma: no cover
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

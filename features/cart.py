"""The cart: one line per add, oldest first, in a fixed number of places of the customer's state.

A line has the item (0: none, or several), money, pieces, and when it was added. Its rules are such that a purchase that
arrives late leaves the cart that it would have left in order: lines are taken newest first, so what was added before
the purchase never stands in for what was added after it. Three cases differ:

- more than `CART_LINES` - 1 adds came between the purchase and its arrival, so that lines from before and after
  were merged;
- a removal in that time names an item that was added before the purchase, while lines without an item were added
  after it;
- something was added in the very millisecond of the purchase: it counts as bought.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from features.compiled import kernel
from features.state import CART_LIFE_MS, CART_LINES, State

_ROUNDING: Final = 1e-9  # a smaller rest, in parts of the line or the removal, is no rest


@kernel
def add(s: State, time: int, money: float, pieces: float, item: int) -> None:  # pragma: no cover
    """Add a line; the two oldest become one without an item where the cart is full."""
    if s.cart_lines == CART_LINES:
        s.cart_items[1] = np.uint64(0)
        s.cart_money[1] += s.cart_money[0]
        s.cart_pieces[1] += s.cart_pieces[0]
        s.cart_money[0] = s.cart_pieces[0] = 0.0
        _drop_oldest(s, 1)
    at = s.cart_lines
    s.cart_items[at] = item
    s.cart_money[at] = money
    s.cart_pieces[at] = pieces
    s.cart_times[at] = time
    s.cart_lines = np.uint16(at + 1)
    _sum_up(s)


@kernel
def remove(s: State, money: float, pieces: float, item: int) -> None:  # pragma: no cover
    """Take a removal out of the lines, newest first.

    With an item: by pieces, from the lines of the item, then from lines without one. Without an item: by money where
    both the removal and the line have some, else by pieces.
    """
    if item != 0:
        left = _take(s, 1.0, 0.0, pieces, item, True)
        _take(s, left, 0.0, pieces, 0, True)
    else:
        _take(s, 1.0, money, pieces, 0, False)
    kept = 0
    for i in range(s.cart_lines):
        if s.cart_pieces[i] > 0.0 or s.cart_money[i] > 0.0:
            _move(s, i, kept)
            kept += 1
    _blank(s, kept)
    _sum_up(s)


@kernel
def take_bought(s: State, time: int) -> None:  # pragma: no cover
    """Take out what was added up to ``time``, that of a purchase."""
    bought = 0
    while bought < s.cart_lines and s.cart_times[bought] <= time:
        bought += 1
    if bought > 0:
        _drop_oldest(s, bought)
        _sum_up(s)


@kernel
def expire(s: State) -> None:  # pragma: no cover
    """Take out what was added `CART_LIFE_MS` or longer before the customer's latest event."""
    if s.cart_lines > 0 and s.last_time - s.cart_times[0] >= CART_LIFE_MS:
        take_bought(s, s.last_time - CART_LIFE_MS)


@kernel
def _take(
    s: State, left: float, money: float, pieces: float, item: int, only_item: bool
) -> float:  # pragma: no cover
    """Take the part ``left`` (0 to 1) of a removal out of the lines, and return what is then left of it."""
    for i in range(s.cart_lines - 1, -1, -1):
        if left <= _ROUNDING:
            return 0.0
        if only_item and s.cart_items[i] != item:
            continue
        by_money = money > 0.0 and s.cart_money[i] > 0.0
        if not by_money and pieces <= 0.0:
            continue
        wanted = left * (money if by_money else pieces)
        held = s.cart_money[i] if by_money else s.cart_pieces[i]
        if held <= wanted * (1.0 + _ROUNDING):
            left -= held / (money if by_money else pieces)
            s.cart_money[i] = s.cart_pieces[i] = 0.0
        else:
            rest = 1.0 - wanted / held
            s.cart_money[i] = held - wanted if by_money else s.cart_money[i] * rest
            s.cart_pieces[i] = s.cart_pieces[i] * rest if by_money else held - wanted
            left = 0.0
    return left


@kernel
def _drop_oldest(s: State, count: int) -> None:  # pragma: no cover
    for i in range(count, s.cart_lines):
        _move(s, i, i - count)
    _blank(s, s.cart_lines - count)


@kernel
def _move(s: State, source: int, target: int) -> None:  # pragma: no cover
    s.cart_items[target] = s.cart_items[source]
    s.cart_money[target] = s.cart_money[source]
    s.cart_pieces[target] = s.cart_pieces[source]
    s.cart_times[target] = s.cart_times[source]


@kernel
def _blank(s: State, start: int) -> None:  # pragma: no cover
    """Make ``start`` the number of lines, and the places from there on zeros."""
    for i in range(start, s.cart_lines):
        s.cart_items[i] = np.uint64(0)
        s.cart_money[i] = s.cart_pieces[i] = 0.0
        s.cart_times[i] = 0
    s.cart_lines = np.uint16(start)


@kernel
def _sum_up(s: State) -> None:  # pragma: no cover
    money = pieces = 0.0
    for i in range(s.cart_lines):
        money += s.cart_money[i]
        pieces += s.cart_pieces[i]
    s.cart_value = money
    s.cart_quantity = pieces

"""The wish list: items with what one piece cost when it was wished, oldest first, in a fixed number of places.

It moves by events in order, as the cart does (`features.cart`): a wish puts its item on the list, or to its end if it
is there already, and the oldest item leaves a full list. An event that tells several items is no wish. A purchase,
also a late one, takes off what was wished up to its time and bought by it: the items that it names or, where it names
none, those in the cart. After `WISH_LIFE_MS` an item leaves the list in any case.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.compiled import kernel, njit
from features.events import TYPE_CODES
from features.state import CART_LIFE_MS, WISH_LIFE_MS, WISHES, State

WISH: Final = TYPE_CODES["add_to_wishlist"]
UNWISH: Final = TYPE_CODES["remove_from_wishlist"]

Hashes = NDArray[np.uint64]


@kernel
def fill_wishes(
    s: State, time: int, type_: int, price: float, cart_hash: int, item_hash: int, named: Hashes
) -> None:  # pragma: no cover
    """Let the wish list follow an event in order that is no purchase."""
    _expire(s)
    if type_ == WISH and cart_hash != 0:
        _wish(s, time, price, cart_hash)
    elif type_ == UNWISH and item_hash != 0:
        _unwish(s, item_hash, named)


@kernel
def _wish(s: State, time: int, price: float, item: int) -> None:  # pragma: no cover
    """Put an item on the list; ``price`` is that of one piece, 0 where it is not known."""
    at = 0
    while at < WISHES and s.wish_items[at] != 0 and s.wish_items[at] != item:
        at += 1
    if at == WISHES or s.wish_items[at] == item:
        _leave(s, 0 if at == WISHES else at)
    at = _length(s)
    s.wish_items[at] = item
    s.wish_prices[at] = price
    s.wish_times[at] = time


@kernel
def _unwish(s: State, item: int, named: Hashes) -> None:  # pragma: no cover
    """Take the items off the list that an event names."""
    for i in range(WISHES - 1, -1, -1):
        if s.wish_items[i] != 0 and _names(item, named, s.wish_items[i]):
            _leave(s, i)


@kernel
def take_bought_wishes(s: State, time: int, item: int, named: Hashes) -> None:  # pragma: no cover
    """Take off what a purchase of a moment has bought; the cart is still that of before it.

    Parameters
    ----------
    item, named
        The items that it names, 0 where it names none.
    """
    for i in range(WISHES - 1, -1, -1):
        if s.wish_items[i] == 0 or s.wish_times[i] > time:
            continue
        if _names(item, named, s.wish_items[i]) or (item == 0 and _in_cart(s, time, s.wish_items[i])):
            _leave(s, i)


@kernel
def _expire(s: State) -> None:  # pragma: no cover
    """Take off what was wished `WISH_LIFE_MS` or longer before the customer's latest event."""
    while s.wish_items[0] != 0 and s.last_time - s.wish_times[0] >= WISH_LIFE_MS:
        _leave(s, 0)


@njit(cache=True, nogil=True)
def join_wishes(e: State, l: State, s: State) -> None:  # noqa: E741  # pragma: no cover
    """Make the list of ``s`` what those of the earlier and the later state are together.

    An item on both is on it once, as it was wished last.
    """
    items = np.zeros(2 * WISHES, np.uint64)
    prices, times = np.zeros(2 * WISHES), np.zeros(2 * WISHES, np.int64)
    count, i, j = 0, _length(e) - 1, _length(l) - 1  # from the newest to the oldest
    while i >= 0 or j >= 0:
        if j < 0 or (i >= 0 and e.wish_times[i] > l.wish_times[j]):
            item, price, time = e.wish_items[i], e.wish_prices[i], e.wish_times[i]
            i -= 1
        else:
            item, price, time = l.wish_items[j], l.wish_prices[j], l.wish_times[j]
            j -= 1
        known = l.last_time - time >= WISH_LIFE_MS
        for k in range(count):
            known = known or items[k] == item
        if not known:
            items[count], prices[count], times[count] = item, price, time
            count += 1
    count = min(count, WISHES)
    for at in range(WISHES):
        back = count - 1 - at
        s.wish_items[at] = items[back] if back >= 0 else np.uint64(0)
        s.wish_prices[at] = prices[back] if back >= 0 else 0.0
        s.wish_times[at] = times[back] if back >= 0 else 0


@kernel
def _length(s: State) -> int:  # pragma: no cover
    at = 0
    while at < WISHES and s.wish_items[at] != 0:
        at += 1
    return at


@kernel
def _names(item: int, named: Hashes, wished: int) -> bool:  # pragma: no cover
    if wished == item:
        return True
    for one in named:  # noqa: SIM110  (numba has no any() over a generator)
        if one == wished:
            return True
    return False


@kernel
def _in_cart(s: State, time: int, wished: int) -> bool:  # pragma: no cover
    """Whether an item had been added to the cart by a moment."""
    for i in range(s.cart_lines):
        added = s.cart_times[i]
        if s.cart_items[i] == wished and added <= time and s.last_time - added < CART_LIFE_MS:
            return True
    return False


@kernel
def _leave(s: State, at: int) -> None:  # pragma: no cover
    """Take an entry out; those behind it move up."""
    for i in range(at, WISHES - 1):
        s.wish_items[i] = s.wish_items[i + 1]
        s.wish_prices[i] = s.wish_prices[i + 1]
        s.wish_times[i] = s.wish_times[i + 1]
    s.wish_items[WISHES - 1] = np.uint64(0)
    s.wish_prices[WISHES - 1] = 0.0
    s.wish_times[WISHES - 1] = 0

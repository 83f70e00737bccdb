"""The fold: how an event changes what is known about its customer. It exists once, here.

Events are folded in the order in which they arrive. An event later than the customer's latest one is *in order*; an
earlier one is *late* (the watermark bounds by how much). A late event changes lifetime counts, decayed counters and
the rings of purchases and event ids, so that those agree in whatever order events arrive; it never changes gaps and
the ring of items. A late purchase also empties the cart of what was added up to its time, and counts in the session if
that had begun by then; a late event of any other type changes neither. The cart is in `features.cart`, the wish list in
`features.wishes`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.calendar import Zone, zone
from features.cart import add, expire, remove, take_bought
from features.columns import ERASE, HAND_OVER, MERGE, PASS, EventColumns
from features.compiled import kernel, njit
from features.events import NO_CHANNEL, PURCHASE, REFUND, TYPE_CODES
from features.merge import merge_into
from features.named_items import named_items
from features.priced_lines import PricedLines, write_lines
from features.state import (
    CART_LINES,
    DAY_MS,
    EVENT_ID_RING,
    HALF_LIVES_MS,
    ITEM_RING,
    MONEY_ROW,
    PURCHASE_RING,
    RECENT_TIMES,
    SESSION_GAP_MS,
    STATE_VERSION,
    TYPES,
    State,
    States,
    empty,
)
from features.vector import WIDTH, Vectors, fill_row
from features.whole_states import clear, copy_folded
from features.wishes import Hashes, fill_wishes, take_bought_wishes

_ADD: Final = TYPE_CODES["add_to_cart"]
_REMOVE: Final = TYPE_CODES["remove_from_cart"]
_HALF_LIVES: Final = np.array(HALF_LIVES_MS, np.float64)
_GAP_WEIGHT: Final = 0.3  # of the newest gap in the smoothed one


class FoldStatus(IntEnum):
    """What became of an event in the fold."""

    FOLDED = 0
    DUPLICATE = 1
    ERASED = 2
    PASSED = 3  # handed over or on, or merged into nothing


class Asides(NamedTuple):
    """States beside those of a batch's customers: what is handed over, and what is merged.

    Attributes
    ----------
    states
        The fold writes into those that are handed over, and reads those that are merged.
    at
        For each row of the batch the position in ``states``; -1 as a rule.
    """

    states: States
    at: NDArray[np.int64]


#: Nothing is handed over, and nothing merged.
NO_ASIDES: Final = Asides(empty(0), np.zeros(0, np.int64))


class Folded(NamedTuple):
    """What `fold` says about each event of a batch.

    ``as_of`` (epoch ms), ``vectors`` and ``carts`` (one row per event, as of that moment: the model input, and the
    items in the cart, oldest first, as hashes) have a meaning only where ``status`` is `FoldStatus.FOLDED`: also where
    a merge has left a state. So has ``priced``: what may be compared with prices. ``first_times`` has for each aside
    that was merged the first times of the state that it was merged into, before (0: there was none) and after.
    """

    status: NDArray[np.uint8]
    as_of: NDArray[np.int64]
    vectors: Vectors
    carts: NDArray[np.uint64]
    priced: PricedLines
    first_times: NDArray[np.int64]


def fold(
    states: States,
    slots: NDArray[np.int64],
    columns: EventColumns,
    *,
    zone: Zone = zone("UTC"),  # noqa: B008  (a constant table)
    ttl_ms: int = 400 * DAY_MS,
    with_vectors: bool = True,
    with_carts: bool = False,
    with_prices: bool = False,
    asides: Asides = NO_ASIDES,
) -> Folded:
    """Fold a batch of events into the states of their customers, in place, and return each event's model input.

    Parameters
    ----------
    states
        The customers' states.
    slots
        For each event the position of its customer in ``states``.
    columns
        The events, in order of arrival; a row of type `ERASE` empties the state, one of type `HAND_OVER` moves it to
        the row's aside, and one of type `MERGE` merges the aside into it.
    zone
        The shop's time zone, for time of day and week.
    ttl_ms
        A state silent for longer counts as empty.
    with_vectors
        Whether model inputs are wanted. Where only states are, `Folded.vectors` has no rows, which takes less than
        half the time.
    with_carts
        Whether the items in the carts are wanted, too; else `Folded.carts` has no rows.
    with_prices
        Whether lines and their prices are wanted, too; else `Folded.priced` has no rows.
    asides
        Where rows are handed over or merged.
    """
    count = len(slots)
    folded = Folded(
        np.zeros(count, np.uint8),
        np.zeros(count, np.int64),
        np.zeros((count if with_vectors else 0, WIDTH), np.float32),
        np.zeros((count if with_carts else 0, CART_LINES), np.uint64),
        PricedLines.blank(count if with_prices else 0),
        np.zeros((len(asides.states), 2), np.int64),
    )
    named = named_items(states, slots, columns, asides.states)
    _fold(
        states,
        slots,
        columns.time,
        columns.type,
        columns.channel,
        columns.money,
        columns.quantity,
        columns.event_hash,
        columns.item_hash,
        columns.cart_hash,
        named.hashes,
        named.ends,
        ttl_ms,
        asides.states,
        asides.at,
        folded.first_times,
        empty(1),
        zone.changes_ms,
        zone.offsets_ms,
        folded.status,
        folded.as_of,
        folded.vectors,
        folded.carts,
        folded.priced.items,
        folded.priced.units,
        folded.priced.added,
    )
    return folded


@njit(cache=True, nogil=True)
def _fold(
    states: States,
    slots: NDArray[np.int64],
    time: NDArray[np.int64],
    type_: NDArray[np.uint8],
    channel: NDArray[np.uint8],
    money: NDArray[np.float64],
    quantity: NDArray[np.float64],
    event_hash: NDArray[np.uint64],
    item_hash: NDArray[np.uint64],
    cart_hash: NDArray[np.uint64],
    named: Hashes,
    named_ends: NDArray[np.int64],
    ttl_ms: int,
    asides: States,
    aside_at: NDArray[np.int64],
    first_times: NDArray[np.int64],
    spare: States,
    changes_ms: NDArray[np.int64],
    offsets_ms: NDArray[np.int64],
    status: NDArray[np.uint8],
    as_of: NDArray[np.int64],
    out: Vectors,
    carts: NDArray[np.uint64],
    lines: NDArray[np.uint64],
    units: NDArray[np.float64],
    added: NDArray[np.int64],
) -> None:  # pragma: no cover
    for i in range(len(slots)):
        s = states[slots[i]]
        if s.events > 0 and time[i] - s.last_time > ttl_ms:
            clear(s)
        if type_[i] >= PASS:
            at = aside_at[i] if len(aside_at) else -1
            before = s.first_time
            status[i] = _moved(s, type_[i], asides, at, time[i], spare[0], ttl_ms)
            if status[i] == 0:
                first_times[at, 0] = before
                first_times[at, 1] = s.first_time
        elif _seen(s, event_hash[i]):
            status[i] = 1
        else:
            end = named_ends[i] if len(named_ends) > 0 else 0
            start = named_ends[i - 1] if end > 0 and i > 0 else 0
            _take(
                s, time[i], type_[i], channel[i], money[i], quantity[i],
                event_hash[i], item_hash[i], cart_hash[i], named[start:end],
            )  # fmt: skip
        if status[i] != 0:
            continue
        as_of[i] = s.last_time
        if len(out) > 0:
            fill_row(s, changes_ms, offsets_ms, out[i])
        if len(carts) > 0:
            carts[i] = s.cart_items
        if len(units) > 0:
            write_lines(s, lines[i], units[i], added[i])


@kernel
def _take(  # noqa: PLR0917  (the columns of an event)
    s: State,
    time: int,
    type_: int,
    channel: int,
    money: float,
    quantity: float,
    event_hash: int,
    item_hash: int,
    cart_hash: int,
    named: Hashes,
) -> None:  # pragma: no cover
    """Add an event to its customer's state."""
    if s.events == 0:
        s.version = STATE_VERSION
        s.first_time = time
    late = s.events > 0 and time < s.last_time
    if not late:
        _advance(s, time)
    _count(s, time, type_, channel, money, event_hash)
    if not late:
        _follow(s, time, type_, item_hash)
        if type_ == PURCHASE:
            take_bought_wishes(s, time, item_hash, named)
        _fill_cart(s, time, type_, money, quantity, cart_hash)
        fill_wishes(s, time, type_, money / quantity if quantity > 0.0 else 0.0, cart_hash, item_hash, named)
    elif type_ == PURCHASE:
        take_bought_wishes(s, time, item_hash, named)
        take_bought(s, time)
        if time >= s.session_start:
            s.session_events += np.uint32(1)
            s.session_counts[PURCHASE] += np.uint32(1)


@njit(cache=True, nogil=True)
def _moved(
    s: State, type_: int, asides: States, at: int, time: int, spare: State, ttl_ms: int
) -> int:  # pragma: no cover
    """Do what a row that is no event asks for; return its status, which is 0 where a merge has left a state."""
    if type_ == ERASE:
        clear(s)
        return 2
    if type_ == HAND_OVER:
        copy_folded(s, asides[at])
        clear(s)
    if type_ != MERGE or at < 0 or asides[at].events == 0 or time - asides[at].last_time > ttl_ms:
        return 3
    merge_into(s, asides[at], spare, ttl_ms)
    return 0


@kernel
def _seen(s: State, event_hash: int) -> bool:  # pragma: no cover
    for i in range(EVENT_ID_RING):  # noqa: SIM110  (numba has no any() over a generator)
        if s.event_ids[i] == event_hash:
            return True
    return False


@kernel
def _advance(s: State, time: int) -> None:  # pragma: no cover
    """Move "as of" forward: let the counters decay."""
    passed = time - s.last_time
    if s.events > 0 and passed > 0:
        for h in range(len(_HALF_LIVES)):
            keep = 2.0 ** (-passed / _HALF_LIVES[h])
            for row in range(MONEY_ROW + 1):
                s.decayed[row, h] *= keep


@kernel
def _count(
    s: State, time: int, type_: int, channel: int, money: float, event_hash: int
) -> None:  # pragma: no cover
    """Change what holds for late events too; ``last_time`` is still that of the event before."""
    behind = max(s.last_time - time, 0) if s.events > 0 else 0
    s.events += np.uint32(1)
    s.first_time = min(s.first_time, time)
    s.event_ids[s.ring_at] = event_hash
    s.ring_at = np.uint16((s.ring_at + 1) % EVENT_ID_RING)
    if type_ >= TYPES:
        return  # an activity, of which nothing else is told
    for h in range(len(_HALF_LIVES)):
        weight = 2.0 ** (-behind / _HALF_LIVES[h]) if behind > 0 else 1.0
        s.decayed[type_, h] += weight
        if type_ == PURCHASE:
            s.decayed[MONEY_ROW, h] += weight * money
    s.type_counts[type_] += np.uint32(1)
    s.type_times[type_] = max(s.type_times[type_], time)
    if channel != NO_CHANNEL:
        s.channel_counts[channel] += np.uint32(1)
    if type_ == PURCHASE:
        s.spend += money
        _insert_purchase(s, time)
    elif type_ == REFUND:
        s.refunded += money


@kernel
def _insert_purchase(s: State, time: int) -> None:  # pragma: no cover
    """Keep the latest purchase times, latest first, whatever the order of arrival."""
    for i in range(PURCHASE_RING):
        if time > s.purchase_times[i]:
            for j in range(PURCHASE_RING - 1, i, -1):
                s.purchase_times[j] = s.purchase_times[j - 1]
            s.purchase_times[i] = time
            return


@kernel
def _follow(s: State, time: int, type_: int, item_hash: int) -> None:  # pragma: no cover
    """Change what only an event in order changes: session, gaps and items."""
    if s.sessions == 0 or time - s.last_time > SESSION_GAP_MS:
        s.previous_session_end = s.last_time
        s.sessions += np.uint32(1)
        s.session_start = time
        s.session_events = np.uint32(0)
        s.session_counts[:] = np.uint32(0)
        s.session_items = np.uint64(0)
        s.log_gap = 0.0
    else:
        gap = np.log1p((time - s.last_time) / 1000.0)
        weight = 1.0 if s.session_events == 1 else _GAP_WEIGHT
        s.log_gap += weight * (gap - s.log_gap)
    s.session_events += np.uint32(1)
    for i in range(RECENT_TIMES - 1, 0, -1):
        s.recent_times[i] = s.recent_times[i - 1]
    s.recent_times[0] = time
    s.last_time = time

    if type_ >= TYPES:
        return
    s.session_counts[type_] += np.uint32(1)
    if item_hash != 0:
        s.session_items |= np.uint64(1) << (np.uint64(item_hash) & np.uint64(63))
        s.items[s.item_at] = item_hash
        s.item_at = np.uint16((s.item_at + 1) % ITEM_RING)


@kernel
def _fill_cart(
    s: State, time: int, type_: int, money: float, quantity: float, cart_hash: int
) -> None:  # pragma: no cover
    """Let the cart follow an event in order."""
    if s.cart_lines > 0:
        expire(s)
        if type_ == _REMOVE:
            remove(s, money, quantity, cart_hash)
        elif type_ == PURCHASE:
            take_bought(s, time)
    if type_ == _ADD:
        add(s, time, money, quantity, cart_hash)

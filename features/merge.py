"""Two states of one person into one, as if all events had been one customer's.

Somebody browses under an anonymous id and logs in: the state of that id is merged into the customer's. What the fold
sums up, counts, or keeps as a latest time comes out exactly, however the events of the two interleave. What depends on
the order of all events comes out exactly where those of the one state all lie before those of the other, and else as
well as two states tell; `INEXACT` says which fields that are, and when.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from features.compiled import njit
from features.events import PURCHASE
from features.state import (
    CART_LIFE_MS,
    CART_LINES,
    EVENT_ID_RING,
    HALF_LIVES_MS,
    ITEM_RING,
    PURCHASE_RING,
    RECENT_TIMES,
    SESSION_GAP_MS,
    State,
    States,
)
from features.whole_states import copy_folded
from features.wishes import join_wishes

__all__ = ["INEXACT", "merge", "merge_into"]

#: When a merged state can differ from that of the merged log, by the columns that then differ.
INEXACT: Final = {
    "`session_*`, `sessions`, `gap_smoothed`": (
        "events of the two ids interleave. Then the newer session counts, together with the other id's latest one if "
        "the two overlap or lie within the session gap. `gap_smoothed` also differs a little where the session goes on "
        "from one id to the other and had more than four events under the second"
    ),
    "`gap_1` to `gap_3`": "events came late: a late event is in no gap",
    "`item_repeats`": "events interleave: the items of the id with the newer event count as the newer ones",
    "`cart_value`, `cart_quantity`": (
        "something was removed under one id that had been added under the other before the merge, or more than eight "
        "lines interleave"
    ),
    "no column, but the wish list": (
        "an item was wished under one id, and under the other bought, or taken off the list, or more than eight items "
        "interleave"
    ),
    "all": (
        "an event is repeated (a producer's retry) after more than 16 events of both ids together, or an id had been "
        "silent for longer than `INTENT_STATE_TTL`"
    ),
}

_HALF_LIVES: Final = np.array(HALF_LIVES_MS, np.float64)
_GAP_WEIGHT: Final = 0.3  # as in the fold: of the newest gap in the smoothed one
_ROOM: Final = 2 * CART_LINES


def merge(first: States, second: States, ttl_ms: int) -> States:
    """Return the merged states of pairs: ``first[i]`` and ``second[i]`` are one person's.

    What is remembered of decisions (the last field) is that of the first.

    Parameters
    ----------
    ttl_ms
        A state silent for longer counts as empty.
    """
    merged = first.copy()
    spare = np.zeros(1, first.dtype)
    for at in range(len(merged)):
        _merge_at(merged, at, second, at, spare, ttl_ms)
    return merged


@njit(cache=True, nogil=True)
def _merge_at(
    states: States, at: int, others: States, other: int, spare: States, ttl_ms: int
) -> None:  # pragma: no cover
    merge_into(states[at], others[other], spare[0], ttl_ms)


@njit(cache=True, nogil=True)
def merge_into(s: State, other: State, spare: State, ttl_ms: int) -> None:  # pragma: no cover
    """Merge another state into ``s``; ``spare`` is room for one state."""
    if other.events == 0:
        return
    if s.events == 0:
        copy_folded(other, s)
        return
    copy_folded(s, spare)
    if _is_newer(s, other):
        _combine(other, spare, s, ttl_ms)
    else:
        _combine(spare, other, s, ttl_ms)


@njit(cache=True, nogil=True)
def _is_newer(s: State, other: State) -> bool:  # pragma: no cover
    """Whether ``s`` goes on for longer than the other, or began later where they end in the same moment."""
    if s.last_time != other.last_time:
        return bool(s.last_time > other.last_time)
    return bool(s.first_time > other.first_time)


@njit(cache=True, nogil=True)
def _combine(e: State, l: State, s: State, ttl_ms: int) -> None:  # noqa: E741  # pragma: no cover
    """Make ``s`` what the earlier and the later state are together."""
    if l.first_time - e.last_time > ttl_ms:
        copy_folded(l, s)
        return
    _session(e, l, s)
    _sums(e, l, s)
    _newest_times(e.purchase_times, l.purchase_times, s.purchase_times, PURCHASE_RING)
    _newest_times(e.recent_times, l.recent_times, s.recent_times, RECENT_TIMES)
    s.ring_at = np.uint16((e.ring_at + l.ring_at) % EVENT_ID_RING)
    _ring(e.event_ids, e.ring_at, l.event_ids, l.ring_at, s.event_ids, s.ring_at, EVENT_ID_RING)
    s.item_at = np.uint16((e.item_at + l.item_at) % ITEM_RING)
    _ring(e.items, e.item_at, l.items, l.item_at, s.items, s.item_at, ITEM_RING)
    _cart(e, l, s)
    join_wishes(e, l, s)


@njit(cache=True, nogil=True)
def _sums(e: State, l: State, s: State) -> None:  # noqa: E741  # pragma: no cover
    behind = l.last_time - e.last_time
    for h in range(len(_HALF_LIVES)):
        keep = 2.0 ** (-behind / _HALF_LIVES[h]) if behind > 0 else 1.0
        for row in range(e.decayed.shape[0]):
            s.decayed[row, h] = e.decayed[row, h] * keep + l.decayed[row, h]
    s.version = l.version
    s.events = np.uint32(e.events + l.events)
    s.first_time = min(e.first_time, l.first_time)
    s.last_time = l.last_time
    for i in range(len(e.type_counts)):
        s.type_counts[i] = e.type_counts[i] + l.type_counts[i]
        s.type_times[i] = max(e.type_times[i], l.type_times[i])
    for i in range(len(e.channel_counts)):
        s.channel_counts[i] = e.channel_counts[i] + l.channel_counts[i]
    s.spend = e.spend + l.spend
    s.refunded = e.refunded + l.refunded


@njit(cache=True, nogil=True)
def _session(e: State, l: State, s: State) -> None:  # noqa: E741  # pragma: no cover
    """Join the latest sessions where they overlap or follow each other within the gap; else the later one counts."""
    joined = l.session_start - e.last_time <= SESSION_GAP_MS
    follows = l.first_time >= e.last_time
    touches = joined or (follows and l.first_time - e.last_time <= SESSION_GAP_MS)
    s.sessions = np.uint32(e.sessions + l.sessions - (1 if touches else 0))
    s.session_start = min(e.session_start, l.session_start) if joined else l.session_start
    s.session_events = l.session_events
    s.session_items = l.session_items
    s.session_counts[:] = l.session_counts
    s.log_gap = l.log_gap
    if not joined:
        s.previous_session_end = max(l.previous_session_end, e.last_time)
        return
    s.previous_session_end = 0
    for end in (e.previous_session_end, l.previous_session_end):
        if end < s.session_start:
            s.previous_session_end = max(s.previous_session_end, end)
    s.session_events = np.uint32(e.session_events + l.session_events)
    s.session_items = np.uint64(e.session_items | l.session_items)
    for i in range(len(e.session_counts)):
        s.session_counts[i] = e.session_counts[i] + l.session_counts[i]
    if follows:
        s.log_gap = _smoothed(e, l)
    else:
        gaps = e.session_events + l.session_events
        s.log_gap = (e.session_events * e.log_gap + l.session_events * l.log_gap) / gaps


@njit(cache=True, nogil=True)
def _smoothed(e: State, l: State) -> float:  # noqa: E741  # pragma: no cover
    """Return the smoothed gap of a session that goes on from one state to the other.

    The later state weighed its first gap fully. It is known while it lies among the recent times; beyond that, the
    later state's own smoothed gap stands for it.
    """
    weight = 1.0 if e.session_events == 1 else _GAP_WEIGHT
    between = np.log1p((l.session_start - e.last_time) / 1000.0)
    before = e.log_gap + weight * (between - e.log_gap)
    gaps = int(l.session_events) - 1
    if gaps == 0:
        return float(before)
    first = l.log_gap
    if gaps < RECENT_TIMES and l.recent_times[gaps] == l.session_start:
        first = np.log1p((l.recent_times[gaps - 1] - l.recent_times[gaps]) / 1000.0)
    return float(l.log_gap + (1.0 - _GAP_WEIGHT) ** gaps * (before - first))


@njit(cache=True, nogil=True)
def _newest_times(one: State, two: State, out: State, room: int) -> None:  # pragma: no cover
    """Write the newest of two runs of times, newest first, 0 = none."""
    i = j = 0
    for at in range(room):
        if one[i] >= two[j]:
            out[at] = one[i]
            i += 1
        else:
            out[at] = two[j]
            j += 1


@njit(cache=True, nogil=True)
def _ring(
    older: State, older_at: int, newer: State, newer_at: int, out: State, out_at: int, room: int
) -> None:  # pragma: no cover
    """Write a ring of the newer ring's entries and, as far as there is room, the newest of the older one's."""
    left = 0
    for back in range(1, room + 1):
        entry = newer[(newer_at - back) % room]
        if entry == 0:
            break
        out[(out_at - back) % room] = entry
        left = back
    for back in range(1, room - left + 1):
        out[(out_at - left - back) % room] = older[(older_at - back) % room]


@njit(cache=True, nogil=True)
def _cart(e: State, l: State, s: State) -> None:  # noqa: E741  # pragma: no cover
    """Join the lines by time: without what a purchase under either id took, and what the later event let expire."""
    # What an id's own purchases took is not there any more.
    expired = l.last_time - CART_LIFE_MS
    gone_of_e, gone_of_l = max(l.type_times[PURCHASE], expired), max(e.type_times[PURCHASE], expired)
    items = np.zeros(_ROOM, np.uint64)
    money, pieces, times = np.zeros(_ROOM), np.zeros(_ROOM), np.zeros(_ROOM, np.int64)
    count = i = j = 0
    while i < e.cart_lines or j < l.cart_lines:
        if j == l.cart_lines or (i < e.cart_lines and e.cart_times[i] <= l.cart_times[j]):
            items[count], times[count] = e.cart_items[i], e.cart_times[i]
            money[count], pieces[count] = e.cart_money[i], e.cart_pieces[i]
            gone = gone_of_e
            i += 1
        else:
            items[count], times[count] = l.cart_items[j], l.cart_times[j]
            money[count], pieces[count] = l.cart_money[j], l.cart_pieces[j]
            gone = gone_of_l
            j += 1
        if times[count] > gone:
            count += 1
    surplus = max(count - CART_LINES, 0)
    for at in range(
        surplus
    ):  # the oldest become one line without an item, as where an add finds the cart full
        money[at + 1] += money[at]
        pieces[at + 1] += pieces[at]
        items[at + 1] = np.uint64(0)
    s.cart_lines = np.uint16(count - surplus)
    s.cart_value = s.cart_quantity = 0.0
    for at in range(CART_LINES):
        used = at + surplus < count
        s.cart_items[at] = items[at + surplus] if used else np.uint64(0)
        s.cart_times[at] = times[at + surplus] if used else 0
        s.cart_money[at] = money[at + surplus] if used else 0.0
        s.cart_pieces[at] = pieces[at + surplus] if used else 0.0
        s.cart_value += s.cart_money[at]
        s.cart_quantity += s.cart_pieces[at]

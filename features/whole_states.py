"""What is done to all that is folded of a state, field by field: it is copied, or made empty."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.compiled import inlined, kernel
from features.state import State


@inlined
def copy_array(source: NDArray[Any], target: NDArray[Any]) -> None:  # pragma: no cover
    """Copy one array of a state into another of its length; an assignment to a slice would count references."""
    for i in range(len(target)):
        target[i] = source[i]


@kernel
def copy_folded(source: State, target: State) -> None:  # pragma: no cover
    """Copy all that is folded; what is remembered of decisions stays."""
    target.version = source.version
    target.ring_at = source.ring_at
    target.item_at = source.item_at
    target.cart_lines = source.cart_lines
    target.events = source.events
    target.sessions = source.sessions
    target.first_time = source.first_time
    target.last_time = source.last_time
    copy_array(source.type_counts, target.type_counts)
    copy_array(source.type_times, target.type_times)
    target.spend = source.spend
    target.refunded = source.refunded
    for row in range(len(source.decayed)):
        copy_array(source.decayed[row], target.decayed[row])
    copy_array(source.purchase_times, target.purchase_times)
    copy_array(source.items, target.items)
    copy_array(source.event_ids, target.event_ids)
    copy_array(source.channel_counts, target.channel_counts)
    target.session_events = source.session_events
    target.session_start = source.session_start
    target.previous_session_end = source.previous_session_end
    copy_array(source.session_counts, target.session_counts)
    target.session_items = source.session_items
    target.cart_value = source.cart_value
    target.cart_quantity = source.cart_quantity
    copy_array(source.recent_times, target.recent_times)
    target.log_gap = source.log_gap
    copy_array(source.cart_times, target.cart_times)
    copy_array(source.cart_items, target.cart_items)
    copy_array(source.cart_money, target.cart_money)
    copy_array(source.cart_pieces, target.cart_pieces)
    copy_array(source.wish_items, target.wish_items)
    copy_array(source.wish_prices, target.wish_prices)
    copy_array(source.wish_times, target.wish_times)


@kernel
def clear(s: State) -> None:  # pragma: no cover
    """Make the state empty: all zeros."""
    s.version = np.uint16(0)
    s.ring_at = np.uint16(0)
    s.item_at = np.uint16(0)
    s.cart_lines = np.uint16(0)
    s.events = np.uint32(0)
    s.sessions = np.uint32(0)
    s.first_time = 0
    s.last_time = 0
    s.type_counts[:] = np.uint32(0)
    s.type_times[:] = 0
    s.spend = 0.0
    s.refunded = 0.0
    s.decayed[:] = 0.0
    s.purchase_times[:] = 0
    s.items[:] = np.uint64(0)
    s.event_ids[:] = np.uint64(0)
    s.channel_counts[:] = np.uint32(0)
    s.session_events = np.uint32(0)
    s.session_start = 0
    s.previous_session_end = 0
    s.session_counts[:] = np.uint32(0)
    s.session_items = np.uint64(0)
    s.cart_value = 0.0
    s.cart_quantity = 0.0
    s.cart_items[:] = np.uint64(0)
    s.cart_money[:] = 0.0
    s.cart_pieces[:] = 0.0
    s.cart_times[:] = 0
    s.wish_items[:] = np.uint64(0)
    s.wish_prices[:] = 0.0
    s.wish_times[:] = 0
    s.recent_times[:] = 0
    s.log_gap = 0.0

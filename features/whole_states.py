"""What is done to all that is folded of a state, field by field: it is copied, or made empty."""

from __future__ import annotations

import numpy as np

from features.compiled import njit
from features.state import State


@njit(cache=True, nogil=True)
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
    target.type_counts[:] = source.type_counts
    target.type_times[:] = source.type_times
    target.spend = source.spend
    target.refunded = source.refunded
    target.decayed[:] = source.decayed
    target.purchase_times[:] = source.purchase_times
    target.items[:] = source.items
    target.event_ids[:] = source.event_ids
    target.channel_counts[:] = source.channel_counts
    target.session_events = source.session_events
    target.session_start = source.session_start
    target.previous_session_end = source.previous_session_end
    target.session_counts[:] = source.session_counts
    target.session_items = source.session_items
    target.cart_value = source.cart_value
    target.cart_quantity = source.cart_quantity
    target.recent_times[:] = source.recent_times
    target.log_gap = source.log_gap
    target.cart_times[:] = source.cart_times
    target.cart_items[:] = source.cart_items
    target.cart_money[:] = source.cart_money
    target.cart_pieces[:] = source.cart_pieces
    target.wish_items[:] = source.wish_items
    target.wish_prices[:] = source.wish_prices
    target.wish_times[:] = source.wish_times


@njit(cache=True, nogil=True)
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

"""The layout of one customer's state: a fixed number of bytes, whatever the customer does.

A state is one element of a numpy array of dtype `STATE`; an empty state is all zeros (``events == 0``). Times are
epoch milliseconds, money is in the shop's currency. Only `features.fold` writes states.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from features.events import CHANNELS, EVENT_TYPES
from features.exceptions import SchemaMismatch

#: Raise it whenever the layout or the meaning of a field changes.
STATE_VERSION: Final = 1

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

#: Half-lives of the decayed counters, in milliseconds.
HALF_LIVES_MS: Final = (
    MINUTE_MS,
    3 * MINUTE_MS,
    10 * MINUTE_MS,
    30 * MINUTE_MS,
    3 * HOUR_MS,
    DAY_MS,
    7 * DAY_MS,
    30 * DAY_MS,
)
HALF_LIFE_NAMES: Final = ("1m", "3m", "10m", "30m", "3h", "1d", "7d", "30d")

#: A session ends after this much inactivity.
SESSION_GAP_MS: Final = 30 * MINUTE_MS

TYPES: Final = len(EVENT_TYPES)
MONEY_ROW: Final = TYPES  # the row of `decayed` that holds money spent
PURCHASE_RING: Final = 8
ITEM_RING: Final = 8
EVENT_ID_RING: Final = 16
RECENT_TIMES: Final = 4

STATE: Final = np.dtype(
    [
        ("version", "<u2"),
        ("ring_at", "<u2"),  # where the next event id goes in `event_ids`
        ("item_at", "<u2"),  # where the next item goes in `items`
        ("reserved", "<u2"),
        ("events", "<u4"),  # accepted events in all; 0 means empty
        ("sessions", "<u4"),
        ("first_time", "<i8"),
        ("last_time", "<i8"),  # "as of": the latest event time folded in
        ("type_counts", "<u4", (TYPES,)),
        ("type_times", "<i8", (TYPES,)),  # latest time per event type, 0 = never
        ("spend", "<f8"),
        ("refunded", "<f8"),
        ("decayed", "<f8", (TYPES + 1, len(HALF_LIVES_MS))),  # as of `last_time`
        ("purchase_times", "<i8", (PURCHASE_RING,)),  # latest first, 0 = none
        ("items", "<u8", (ITEM_RING,)),  # hashes, 0 = none
        ("event_ids", "<u8", (EVENT_ID_RING,)),  # hashes, 0 = none
        ("channel_counts", "<u4", (len(CHANNELS),)),
        ("session_events", "<u4"),
        ("session_start", "<i8"),
        ("previous_session_end", "<i8"),  # 0 = no earlier session
        ("session_counts", "<u4", (TYPES,)),
        ("session_items", "<u8"),  # 64-bit linear-counting map of the items seen
        ("cart_value", "<f8"),
        ("cart_quantity", "<f8"),
        ("recent_times", "<i8", (RECENT_TIMES,)),  # of the last events in order, latest first
        ("log_gap", "<f8"),  # smoothed log(1 + seconds) between events of the session
    ]
)

States = NDArray[np.void]

#: One element of `States` in numba code, where fields are attributes; type checkers don't know them.
State: TypeAlias = Any


def empty(count: int) -> States:
    """Return ``count`` empty states."""
    return np.zeros(count, STATE)


def from_bytes(values: Iterable[bytes | None]) -> States:
    """Return the states that ``values`` hold, an empty state for each ``None``.

    Raises
    ------
    SchemaMismatch
        A value was written with another version or size of the layout.
    """
    blank = bytes(STATE.itemsize)
    parts: Sequence[bytes] = [blank if value is None else value for value in values]
    for part in parts:
        if len(part) != STATE.itemsize:
            raise SchemaMismatch(
                f"a stored state has {len(part)} bytes, this program's have {STATE.itemsize}: "
                "rebuild the states by replaying the log under a new INTENT_REDIS_PREFIX"
            )
    states = np.frombuffer(b"".join(parts), STATE).copy()
    wrong = (states["version"] != STATE_VERSION) & (states["events"] > 0)
    if wrong.any():
        raise SchemaMismatch(
            f"a stored state has layout version {states['version'][wrong][0]}, this program reads {STATE_VERSION}: "
            "rebuild the states by replaying the log under a new INTENT_REDIS_PREFIX"
        )
    return states


def to_bytes(states: States) -> list[bytes]:
    """Return every state as bytes."""
    raw, size = states.tobytes(), STATE.itemsize
    return [raw[start : start + size] for start in range(0, len(raw), size)]


def layout_hash() -> str:
    """Return a short hash of the layout, its version and the half-lives."""
    text = f"{STATE_VERSION} {STATE.descr} {HALF_LIVES_MS} {SESSION_GAP_MS}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def view(state: np.void) -> dict[str, Any]:
    """Return a state as plain values that people can read (times as RFC 3339 text, hashes left out)."""

    def at(time: int) -> str | None:
        return None if time == 0 else str(np.datetime64(int(time), "ms")) + "Z"

    if state["events"] == 0:
        return {"events": 0}
    return {
        "events": int(state["events"]),
        "first_event": at(state["first_time"]),
        "last_event": at(state["last_time"]),
        "counts": {name: int(n) for name, n in zip(EVENT_TYPES, state["type_counts"], strict=True)},
        "latest": {name: at(t) for name, t in zip(EVENT_TYPES, state["type_times"], strict=True)},
        "spend": round(float(state["spend"]), 2),
        "refunded": round(float(state["refunded"]), 2),
        "channels": {name: int(n) for name, n in zip(CHANNELS, state["channel_counts"], strict=True)},
        "session": {
            "number": int(state["sessions"]),
            "start": at(state["session_start"]),
            "events": int(state["session_events"]),
            "counts": {name: int(n) for name, n in zip(EVENT_TYPES, state["session_counts"], strict=True)},
            "previous_end": at(state["previous_session_end"]),
        },
        "cart": {"value": round(float(state["cart_value"]), 2), "quantity": float(state["cart_quantity"])},
        "recent_purchases": [at(t) for t in state["purchase_times"] if t > 0],
        "activity": {
            name: {half: round(float(x), 4) for half, x in zip(HALF_LIFE_NAMES, row, strict=True)}
            for name, row in zip((*EVENT_TYPES, "spend"), state["decayed"], strict=True)
        },
    }

"""The layout of one customer's state: a fixed number of bytes, whatever the customer does.

A state is one element of a numpy array of dtype `STATE`; an empty state is all zeros (``events == 0``). Times are
epoch milliseconds, money is in the shop's currency. Only `features.fold` writes states, their last field aside.

The last field is what `stream.decisions` remembers about the customer. It is kept and saved with the state, and means
nothing here: neither the fold nor the columns of the models see it.

Files and hand-overs hold the bytes of a state and their seal (`features.sealing`), so that one with other numbers in it
is unreadable, and never scored. Stores pack it (`features.store.packed_states`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_digest

from features.events import CHANNELS, COUNTED_TYPES
from features.exceptions import UnreadableState
from features.sealing import SEAL_BYTES, sealed
from features.structured import concatenated

#: Raise it whenever the layout or the meaning of a field changes. Stores read packed states in this
#: layout: those of an earlier version are then to be unpacked in theirs, and migrated.
STATE_VERSION: Final = 4

# The version in which the layout of what columns are made of changed last, and with it what bundles are made for.
_FOLDED_VERSION: Final = 2

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

#: A line leaves the cart when this much event time has passed since it was added.
CART_LIFE_MS: Final = 14 * DAY_MS

#: An item leaves the wish list when this much event time has passed since it was wished.
WISH_LIFE_MS: Final = 90 * DAY_MS

TYPES: Final = len(COUNTED_TYPES)
MONEY_ROW: Final = TYPES  # the row of `decayed` that holds money spent
PURCHASE_RING: Final = 8
ITEM_RING: Final = 8
EVENT_ID_RING: Final = 16
RECENT_TIMES: Final = 4
CART_LINES: Final = 8
WISHES: Final = 8

#: Room for what is remembered of decisions; some of it is spare.
MEMORY_BYTES: Final = 200

STATE: Final = np.dtype(
    [
        ("version", "<u2"),
        ("ring_at", "<u2"),  # where the next event id goes in `event_ids`
        ("item_at", "<u2"),  # where the next item goes in `items`
        ("cart_lines", "<u2"),  # lines in the cart; those from here on are zeros
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
        ("cart_value", "<f8"),  # the sum of `cart_money`
        ("cart_quantity", "<f8"),  # the sum of `cart_pieces`
        ("recent_times", "<i8", (RECENT_TIMES,)),  # of the last events in order, latest first
        ("log_gap", "<f8"),  # smoothed log(1 + seconds) between events of the session
        ("cart_times", "<i8", (CART_LINES,)),  # when a line was added; one line per add, oldest first
        ("cart_items", "<u8", (CART_LINES,)),  # 0 = of no one item
        ("cart_money", "<f8", (CART_LINES,)),
        ("cart_pieces", "<f8", (CART_LINES,)),
        ("wish_items", "<u8", (WISHES,)),  # oldest first, 0 = none; see `features.wishes`
        ("wish_prices", "<f8", (WISHES,)),  # of one piece when it was wished, 0 = not known
        ("wish_times", "<i8", (WISHES,)),  # when it was wished
        ("memory", "u1", (MEMORY_BYTES,)),  # see `stream.decisions.memory`
    ]
)

#: A whole state as it is stored: the layout, and its seal.
STORED_BYTES: Final = STATE.itemsize + SEAL_BYTES


def _sealed_form(layout: np.dtype[np.void]) -> np.dtype[np.void]:
    return np.dtype([("state", layout), ("seal", f"V{SEAL_BYTES}")])


_STORED: Final = _sealed_form(STATE)

#: An empty state as it would be stored.
_BLANK: Final = sealed(bytes(STATE.itemsize))

_NEW_IN_4: Final = ("wish_items", "wish_prices", "wish_times")

#: The layout of version 3, which had no wish list.
STATE_3: Final = np.dtype([field for field in STATE.descr if field[0] not in _NEW_IN_4])

_STORED_3: Final = _sealed_form(STATE_3)

#: The layout of version 2, which remembered no decisions; it had no seal at first.
STATE_2: Final = np.dtype([field for field in STATE_3.descr if field[0] != "memory"])

_STORED_2: Final = _sealed_form(STATE_2)

_NEW_IN_2: Final = ("cart_items", "cart_money", "cart_pieces", "cart_times")

#: The layout of version 1, whose cart was a value and a number of pieces.
STATE_1: Final = np.dtype(
    [
        ("reserved" if field[0] == "cart_lines" else field[0], *field[1:])
        for field in STATE_2.descr
        if field[0] not in _NEW_IN_2
    ]
)

# Version and layout of what is stored in earlier forms, by its size.
_OLDER: Final = {
    _STORED_3.itemsize: (3, _STORED_3),
    _STORED_2.itemsize: (2, _STORED_2),
    STATE_2.itemsize: (2, STATE_2),
    STATE_1.itemsize: (1, STATE_1),
}

#: What is wrong with a state whose seal does not fit.
UNSEALED: Final = "is damaged: its checksum does not fit"

States = NDArray[np.void]

#: One element of `States` in numba code, where fields are attributes; type checkers don't know them.
State: TypeAlias = Any


def empty(count: int) -> States:
    """Return ``count`` empty states."""
    return np.zeros(count, STATE)


def joined(parts: Sequence[States]) -> States:
    """Return the states of all parts, in their order."""
    return parts[0] if len(parts) == 1 else concatenated([empty(0), *parts])


def from_bytes(values: Iterable[bytes | None]) -> States:
    """Return the states that ``values`` hold, an empty state for each ``None``.

    States that earlier versions have stored are read too: see `read_states`.

    Raises
    ------
    UnreadableState
        A value is no state; ``at`` says which.
    """
    states, faults = read_states(values)
    for at, fault in faults.items():
        raise UnreadableState(f"a stored state {fault}", at)
    return states


def read_states(values: Iterable[bytes | None]) -> tuple[States, dict[int, str]]:
    """Return the states that ``values`` hold, and what is wrong with values, by position.

    An empty state stands for each ``None``, and for what cannot be read. States of versions 1 to 3 are migrated (see
    `migrated`). Version 2 had no seal at first; such a state is taken as it is, unless it points beyond itself.
    """
    parts: Sequence[bytes] = [_BLANK if value is None else value for value in values]
    faults: dict[int, str] = {}
    if set(map(len, parts)) <= {STORED_BYTES}:
        stored = np.frombuffer(b"".join(parts), _STORED)
        states = stored["state"].copy()
        for at in _unsealed(parts, stored):
            faults[at] = UNSEALED
    else:
        states = _of_any_form(parts, faults)
    return states, faults_within(states, faults)


def faults_within(states: States, faults: dict[int, str]) -> dict[int, str]:
    """Add what is wrong within states to what is known to be wrong, and empty them, and those that were known."""
    unknown = (states["version"] != STATE_VERSION) & (states["events"] > 0)
    for at in np.flatnonzero(unknown).tolist():
        faults.setdefault(at, unknown_version(states["version"][at]))
    # The fold is compiled and looks at no bounds: what points beyond a state would write into the next one's.
    beyond = (states["ring_at"] >= EVENT_ID_RING) | (states["item_at"] >= ITEM_RING)
    beyond |= states["cart_lines"] > CART_LINES
    for at in np.flatnonzero(beyond).tolist():
        faults.setdefault(at, "is damaged: it points beyond its own rings and cart")
    if faults:
        states[list(faults)] = empty(1)
    return faults


def unknown_version(version: int) -> str:
    """Return what is wrong with a state of a version that is not known."""
    return f"has layout version {version}, this program reads {STATE_VERSION}, 3, 2 and 1"


def fault_of(value: bytes) -> str:
    """Return what is wrong with a stored state, empty where nothing is: see `read_states`."""
    _, faults = read_states([value])
    return faults.get(0, "")


def _unsealed(parts: Sequence[bytes], stored: NDArray[np.void]) -> list[int]:
    """Return the positions of those whose seal does not fit."""
    seals = [xxh3_64_digest(part[:-SEAL_BYTES]) for part in parts]
    if b"".join(seals) == stored["seal"].tobytes():
        return []
    return [
        at for at, (part, seal) in enumerate(zip(parts, seals, strict=True)) if part[-SEAL_BYTES:] != seal
    ]


def _of_any_form(parts: Sequence[bytes], faults: dict[int, str]) -> States:
    """Return states of which some have the size of an earlier form, or of none; add what is wrong to ``faults``."""
    states = empty(len(parts))
    for size in {len(part) for part in parts}:
        rows = [at for at, part in enumerate(parts) if len(part) == size]
        if size == STORED_BYTES:
            states[rows], wrong = read_states([parts[at] for at in rows])
            faults |= {rows[at]: fault for at, fault in wrong.items()}
        elif size in _OLDER:
            version, layout = _OLDER[size]
            own = [parts[at] for at in rows]
            read = np.frombuffer(b"".join(own), layout)
            sealed_form = "seal" in (layout.names or ())
            old = (read["state"] if sealed_form else read).copy()
            wrong = dict.fromkeys(_unsealed(own, read) if sealed_form else (), UNSEALED)
            for at in np.flatnonzero((old["version"] != version) & (old["events"] > 0)).tolist():
                text = f"has layout version {old['version'][at]} in the size of version {version}"
                wrong.setdefault(at, text)
            old[list(wrong)] = np.zeros((), old.dtype)
            faults |= {rows[at]: fault for at, fault in wrong.items()}
            states[rows] = migrated(old)
        else:
            faults |= dict.fromkeys(rows, f"has {size} bytes, this program reads {STORED_BYTES}")
    return states


def migrated(old: States) -> States:
    """Return states of layout `STATE_3`, `STATE_2` or `STATE_1` in today's.

    All fields are taken over; none has a wish list, and versions 1 and 2 remember no decisions. What was in the cart of
    version 1 becomes one line of no one item, added when the customer last added something. It is left out if that is
    `CART_LIFE_MS` or longer before the latest event.
    """
    states = empty(len(old))
    for name in old.dtype.names or ():
        if name != "reserved":
            states[name] = old[name]
    states["version"][old["events"] > 0] = STATE_VERSION
    if old.dtype != STATE_1:
        return states
    added = old["type_times"][:, COUNTED_TYPES.index("add_to_cart")]
    filled = (old["cart_value"] > 0) | (old["cart_quantity"] > 0)
    filled &= old["last_time"] - added < CART_LIFE_MS
    states["cart_lines"] = filled
    for name in ("cart_value", "cart_quantity"):
        states[name] = np.where(filled, old[name], 0.0)
    states["cart_money"][:, 0] = states["cart_value"]
    states["cart_pieces"][:, 0] = states["cart_quantity"]
    states["cart_times"][:, 0] = np.where(filled, added, 0)
    return states


def to_bytes(states: States) -> list[bytes]:
    """Return every state as files and hand-overs hold it: whole."""
    raw, size = states.tobytes(), STATE.itemsize
    return [sealed(raw[start : start + size]) for start in range(0, len(raw), size)]


def layout_hash() -> str:
    """Return a short hash of the layout of what is folded, its version and the half-lives: what columns are made of."""
    text = f"{_FOLDED_VERSION} {STATE_2.descr} {HALF_LIVES_MS} {SESSION_GAP_MS} {CART_LIFE_MS}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def view_time(time: int) -> str | None:
    """Return a time (epoch ms) as RFC 3339 text, ``None`` for 0, which is none."""
    return None if time == 0 else str(np.datetime64(int(time), "ms")) + "Z"


def view(state: np.void) -> dict[str, Any]:
    """Return a state as plain values that people can read (times as RFC 3339 text, hashes left out)."""
    at = view_time
    if state["events"] == 0:
        return {"events": 0}
    return {
        "events": int(state["events"]),
        "first_event": at(state["first_time"]),
        "last_event": at(state["last_time"]),
        "counts": {name: int(n) for name, n in zip(COUNTED_TYPES, state["type_counts"], strict=True)},
        "latest": {name: at(t) for name, t in zip(COUNTED_TYPES, state["type_times"], strict=True)},
        "spend": round(float(state["spend"]), 2),
        "refunded": round(float(state["refunded"]), 2),
        "channels": {name: int(n) for name, n in zip(CHANNELS, state["channel_counts"], strict=True)},
        "session": {
            "number": int(state["sessions"]),
            "start": at(state["session_start"]),
            "events": int(state["session_events"]),
            "counts": {name: int(n) for name, n in zip(COUNTED_TYPES, state["session_counts"], strict=True)},
            "previous_end": at(state["previous_session_end"]),
        },
        "cart": {"value": round(float(state["cart_value"]), 2), "quantity": float(state["cart_quantity"])},
        "wishlist": {"items": int(np.count_nonzero(state["wish_items"]))},
        "recent_purchases": [at(t) for t in state["purchase_times"] if t > 0],
        "activity": {
            name: {half: round(float(x), 4) for half, x in zip(HALF_LIFE_NAMES, row, strict=True)}
            for name, row in zip((*COUNTED_TYPES, "spend"), state["decayed"], strict=True)
        },
    }

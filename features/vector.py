"""The model's input: what a customer's state says, as some sixty named columns.

`COLUMNS` is the one table of names, units and meanings, from which the documentation is made; `fill_row` computes
a row in the same order. Both live here so that a change of one is a change of the other.
"""

from __future__ import annotations

import hashlib
import math
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.calendar import Zone, utc_offset
from features.compiled import kernel
from features.events import CHANNELS, COUNTED_TYPES, PURCHASE, TYPE_CODES
from features.state import (
    DAY_MS,
    HALF_LIFE_NAMES,
    ITEM_RING,
    MONEY_ROW,
    PURCHASE_RING,
    RECENT_TIMES,
    State,
    States,
    layout_hash,
)

#: Seconds that stand for "never" or "longer ago than that": 400 days.
NEVER_S: Final = 400 * 86_400.0

Transform = Literal["log", "linear"]


class Column(NamedTuple):
    """One input of the model: ``transform`` says on which scale models should look at it."""

    name: str
    unit: str
    meaning: str
    transform: Transform = "log"


#: Decayed counters that are model inputs: (event type or "spend", half-life).
DECAYED_INPUTS: Final = (
    *(("view_item", h) for h in ("1m", "3m", "10m", "1d", "30d")),
    *(("view_item_list", h) for h in ("3m", "10m", "30d")),
    *(("search", h) for h in ("3m", "10m", "1d", "30d")),
    *(("add_to_cart", h) for h in ("3m", "10m", "1d", "7d")),
    *(("remove_from_cart", h) for h in ("10m",)),
    *(("begin_checkout", h) for h in ("3m", "1d")),
    *(("purchase", h) for h in ("1d", "7d", "30d")),
)
SESSION_TYPES: Final = COUNTED_TYPES[: PURCHASE + 1]

_ROWS = {**TYPE_CODES, "spend": MONEY_ROW}
_DECAYED_AT = np.array([(_ROWS[n], HALF_LIFE_NAMES.index(h)) for n, h in DECAYED_INPUTS], np.int64)

COLUMNS: Final[tuple[Column, ...]] = (
    *(
        Column(f"since_{name}", "s", f"time since the latest {name}; 400 days = never")
        for name in COUNTED_TYPES
    ),
    Column("session_age", "s", "time since the session's first event"),
    Column("session_events", "count", "events in the session"),
    *(Column(f"session_{name}", "count", f"{name} events in the session") for name in SESSION_TYPES),
    Column("session_items", "count", "distinct items in the session (linear counting, at most 266)"),
    *(Column(f"gap_{i}", "s", f"time between the events {i - 1} and {i} before now") for i in (1, 2, 3)),
    Column("gap_smoothed", "s", "geometric mean of the gaps in the session, exponentially smoothed"),
    Column("session_gap", "s", "pause before this session; 400 days = first session"),
    Column("item_repeats", "count", "how often the latest item stands among the last 8 items"),
    *(
        Column(
            f"{name}_{half}",
            "money" if name == "spend" else "count",
            f"{name}, decayed with half-life {half}",
        )
        for name, half in DECAYED_INPUTS
    ),
    Column("cart_value", "money", "value in the cart"),
    Column("cart_quantity", "count", "pieces in the cart"),
    Column("tenure", "s", "time since the customer's first event"),
    Column("events", "count", "events in the customer's lifetime"),
    Column("sessions", "count", "sessions in the customer's lifetime"),
    Column("purchases", "count", "purchases in the customer's lifetime"),
    Column("spend", "money", "money spent in the customer's lifetime"),
    Column("order_value", "money", "mean value of a purchase"),
    Column("purchase_gap", "s", "time between the last two purchases; 400 days = fewer than two"),
    Column(
        "purchase_gap_mean", "s", "mean time between the last purchases (up to 8); 400 days = fewer than two"
    ),
    Column("purchase_overdue", "ratio", "time since the last purchase by the mean time between purchases"),
    Column("hour_sin", "1", "time of day in the shop's zone, sine of the daily angle", "linear"),
    Column("hour_cos", "1", "time of day in the shop's zone, cosine of the daily angle", "linear"),
    Column("weekday_sin", "1", "time of week in the shop's zone, sine of the weekly angle", "linear"),
    Column("weekday_cos", "1", "time of week in the shop's zone, cosine of the weekly angle", "linear"),
    *(
        Column(f"channel_{name}", "share", f"share of events in channel {name}", "linear")
        for name in CHANNELS
    ),
    Column("segment", "rank", "the customer's segment, ranked by value from 0 (lowest)", "linear"),
)
COLUMN_NAMES: Final = tuple(column.name for column in COLUMNS)
WIDTH: Final = len(COLUMNS)
SEGMENT_AT: Final = COLUMN_NAMES.index("segment")

Vectors = NDArray[np.float32]

_EPOCH_WEEKDAY_MS: Final = 3 * DAY_MS  # 1970-01-01 was a Thursday; weeks start on Monday


def schema_hash() -> str:
    """Return a short hash of the columns and of the state layout beneath them."""
    text = f"{layout_hash()} {COLUMNS}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def vectors(states: States, zone: Zone) -> Vectors:
    """Return the model input of every state, as of its last event, shape ``(len(states), WIDTH)``.

    The segment column is 0: a bundle's segmenter fills it.
    """
    out = np.zeros((len(states), WIDTH), np.float32)
    _fill(states, zone.changes_ms, zone.offsets_ms, out)
    return out


@kernel
def _fill(
    states: States, changes_ms: NDArray[np.int64], offsets_ms: NDArray[np.int64], out: Vectors
) -> None:  # pragma: no cover
    for i in range(len(states)):
        fill_row(states[i], changes_ms, offsets_ms, out[i])


@kernel
def _seconds(ms: int) -> float:  # pragma: no cover
    return min(max(ms / 1000.0, 0.0), NEVER_S)


@kernel
def _since(now: int, then: int) -> float:  # pragma: no cover
    return NEVER_S if then == 0 else _seconds(now - then)


# Distinct items by the ones in a 64-bit map: linear counting [Whang et al. 1990, doi 10.1145/78922.78925].
_DISTINCT: Final = np.array([-64.0 * math.log((64.0 - min(ones, 63)) / 64.0) for ones in range(65)])


@kernel
def _distinct(bits: int) -> float:  # pragma: no cover
    ones = 0
    rest = np.uint64(bits)
    while rest:
        rest &= rest - np.uint64(1)
        ones += 1
    return _DISTINCT[ones]  # type: ignore[no-any-return]


@kernel
def _repeats(s: State) -> int:  # pragma: no cover
    latest = s.items[(s.item_at + ITEM_RING - 1) % ITEM_RING]
    repeats = 0
    for i in range(ITEM_RING):
        if latest != 0 and s.items[i] == latest:
            repeats += 1
    return repeats


@kernel
def _purchase_gaps(s: State, out: Vectors) -> None:  # pragma: no cover
    """Write the last gap, the mean gap, and how overdue the next purchase is by it."""
    known = 0
    for i in range(PURCHASE_RING):
        if s.purchase_times[i] != 0:
            known += 1
    gap = mean = NEVER_S
    overdue = 0.0
    if known > 1:
        gap = _seconds(s.purchase_times[0] - s.purchase_times[1])
        mean = _seconds((s.purchase_times[0] - s.purchase_times[known - 1]) // (known - 1))
        overdue = _since(s.last_time, s.purchase_times[0]) / max(mean, 60.0)
    out[0] = gap
    out[1] = mean
    out[2] = overdue


@kernel
def fill_row(  # noqa: PLR0915  (one statement a column)
    s: State, changes_ms: NDArray[np.int64], offsets_ms: NDArray[np.int64], out: Vectors
) -> None:  # pragma: no cover
    """Write the model input of state ``s`` to ``out`` (one row, in the order of `COLUMNS`)."""
    now = s.last_time
    k = 0
    for t in range(len(s.type_times)):
        out[k] = _since(now, s.type_times[t])
        k += 1

    out[k] = _seconds(now - s.session_start)
    out[k + 1] = s.session_events
    k += 2
    for t in range(PURCHASE + 1):
        out[k] = s.session_counts[t]
        k += 1
    out[k] = _distinct(s.session_items)
    k += 1

    for i in range(RECENT_TIMES - 1):
        newer, older = s.recent_times[i], s.recent_times[i + 1]
        out[k] = NEVER_S if older == 0 else _seconds(newer - older)
        k += 1
    out[k] = math.expm1(s.log_gap)
    out[k + 1] = (
        NEVER_S if s.previous_session_end == 0 else _seconds(s.session_start - s.previous_session_end)
    )
    k += 2

    out[k] = _repeats(s)
    k += 1

    for i in range(len(_DECAYED_AT)):
        out[k] = s.decayed[_DECAYED_AT[i, 0], _DECAYED_AT[i, 1]]
        k += 1

    purchases = s.type_counts[PURCHASE]
    out[k] = s.cart_value
    out[k + 1] = s.cart_quantity
    out[k + 2] = _seconds(now - s.first_time)
    out[k + 3] = s.events
    out[k + 4] = s.sessions
    out[k + 5] = purchases
    out[k + 6] = s.spend
    out[k + 7] = s.spend / purchases if purchases > 0 else 0.0
    k += 8

    _purchase_gaps(s, out[k : k + 3])
    k += 3

    local = now + utc_offset(now, changes_ms, offsets_ms)
    day = 2.0 * math.pi * (local % DAY_MS) / DAY_MS
    week = 2.0 * math.pi * ((local + _EPOCH_WEEKDAY_MS) % (7 * DAY_MS)) / (7 * DAY_MS)
    out[k] = math.sin(day)
    out[k + 1] = math.cos(day)
    out[k + 2] = math.sin(week)
    out[k + 3] = math.cos(week)
    k += 4

    known = 0
    for i in range(len(s.channel_counts)):
        known += s.channel_counts[i]
    for i in range(len(s.channel_counts)):
        out[k] = s.channel_counts[i] / known if known > 0 else 0.0
        k += 1

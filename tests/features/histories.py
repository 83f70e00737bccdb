"""Small event histories for tests, written as data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.columns import EventColumns, from_events
from features.events import EVENT_TYPES, Event
from features.fold import Folded, fold
from features.state import States, empty

#: 2024-03-04 00:00 UTC, a Monday.
MONDAY = 1_709_510_400_000
SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000


def event(
    number: int, time: int, type_: str = "view_item", customer: str = "anna", **fields: object
) -> Event:
    """Return an event; ``time`` counts from `MONDAY` in ms."""
    return Event(event_id=f"e{number}", type=type_, customer_id=customer, event_time=MONDAY + time, **fields)  # type: ignore[arg-type]


def folded(events: Sequence[Event], **options: object) -> tuple[States, Folded]:
    """Fold the events of any customers from nothing; states in order of first appearance."""
    columns = from_events(events, "EUR")
    names = list(dict.fromkeys(columns.customers))
    slots = np.array([names.index(c) for c in columns.customers], np.int64)
    states = empty(len(names))
    return states, fold(states, slots, columns, **options)  # type: ignore[arg-type]


def random_columns(seed: int, count: int, customers: int, span: int) -> tuple[EventColumns, np.ndarray]:
    """Return random events in order of event time, and each one's customer."""
    rng = np.random.default_rng(seed)
    slots = rng.integers(0, customers, count)
    times = np.sort(rng.integers(0, span, count))
    events = [
        event(
            i,
            int(times[i]),
            EVENT_TYPES[int(rng.choice(8, p=[0.6, 0.05, 0.1, 0.1, 0.03, 0.04, 0.06, 0.02]))],
            customer=f"c{slots[i]}",
            item_id=f"i{rng.integers(0, 30)}",
            price=float(np.round(rng.lognormal(3, 1), 2)),
            quantity=int(rng.integers(1, 4)),
            channel=("web", "app", "store", None)[int(rng.integers(0, 4))],
        )
        for i in range(count)
    ]
    return from_events(events, "EUR"), slots

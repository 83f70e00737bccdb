from __future__ import annotations

import math

import numpy as np
import pytest

from features.calendar import zone
from features.fold import fold
from features.state import empty
from features.vector import COLUMN_NAMES, COLUMNS, NEVER_S, WIDTH, schema_hash, vectors
from tests.features.histories import DAY, HOUR, MINUTE, SECOND, event, folded, random_columns

HISTORY = [
    event(1, 0, "search", channel="web"),
    event(2, 20 * SECOND, "view_item", item_id="a", channel="web"),
    event(3, 50 * SECOND, "add_to_cart", item_id="a", price=30.0, channel="app"),
    event(4, 2 * MINUTE, "purchase", value=30.0, item_id="a", channel="web"),
    event(5, 2 * DAY, "purchase", value=50.0, item_id="b", channel="web"),
    event(6, 3 * DAY + 6 * HOUR, "view_item", item_id="c", channel="web"),
    event(7, 3 * DAY + 6 * HOUR + MINUTE, "add_to_cart", item_id="c", price=8.0, quantity=2),
]

EXPECTED = {
    "since_search": 3 * 86400 + 6 * 3600 + 60,
    "since_view_item": 60,
    "since_add_to_cart": 0,
    "since_purchase": 86400 + 6 * 3600 + 60,
    "since_refund": NEVER_S,
    "session_age": 60,
    "session_events": 2,
    "session_view_item": 1,
    "session_add_to_cart": 1,
    "session_purchase": 0,
    "session_items": -64 * math.log(63 / 64),
    "gap_1": 60,
    "gap_2": 86400 + 6 * 3600,
    "gap_smoothed": 60,
    "session_gap": 86400 + 6 * 3600,
    "item_repeats": 2,
    "view_item_1m": 0.5,
    "add_to_cart_3m": 1,
    "cart_value": 16,
    "cart_quantity": 2,
    "tenure": 3 * 86400 + 6 * 3600 + 60,
    "events": 7,
    "sessions": 3,
    "purchases": 2,
    "spend": 80,
    "order_value": 40,
    "purchase_gap": 2 * 86400 - 120,
    "purchase_gap_mean": 2 * 86400 - 120,
    "purchase_overdue": (86400 + 6 * 3600 + 60) / (2 * 86400 - 120),
    "hour_sin": math.sin(2 * math.pi * (6 * 60 + 1) / 1440),
    "weekday_cos": math.cos(2 * math.pi * (3 * 1440 + 6 * 60 + 1) / (7 * 1440)),
    "channel_web": 5 / 6,
    "channel_app": 1 / 6,
    "segment": 0,
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_column_says_what_its_name_says(name: str) -> None:
    states, _ = folded(HISTORY)
    row = vectors(states, zone("UTC"))[0]
    assert row[COLUMN_NAMES.index(name)] == pytest.approx(EXPECTED[name], rel=1e-5, abs=1e-6)


def test_the_vector_of_a_state_equals_that_of_its_last_event() -> None:
    states, out = folded(HISTORY)
    assert vectors(states, zone("UTC")).tobytes() == out.vectors[-1:].tobytes()


def test_every_column_is_described_once() -> None:
    assert len(set(COLUMN_NAMES)) == WIDTH == len(COLUMNS)
    assert all(c.unit and c.meaning for c in COLUMNS)


def test_every_column_stays_finite_for_empty_and_extreme_states() -> None:
    states, _ = folded([event(1, 0, "purchase", value=1e9), event(2, 10**13, "purchase", value=1e9)])
    both = np.concatenate([empty(1), states])
    assert np.isfinite(vectors(both, zone("UTC"))).all()


def test_every_column_but_the_segment_varies_with_the_history() -> None:
    columns, slots = random_columns(1, 3000, 10, 2 * DAY)
    rows = fold(empty(10), slots, columns).vectors
    assert [n for n, column in zip(COLUMN_NAMES, rows.T, strict=True) if np.ptp(column) == 0] == ["segment"]


def test_local_time_is_the_shops() -> None:
    states, _ = folded([event(1, 0)])
    utc, tokyo = (
        vectors(states, zone(name))[0, COLUMN_NAMES.index("hour_cos")] for name in ("UTC", "Asia/Tokyo")
    )
    assert utc == pytest.approx(1.0)
    assert tokyo == pytest.approx(math.cos(2 * math.pi * 9 / 24), abs=1e-6)


def test_the_schema_hash_is_stable_within_a_program() -> None:
    assert schema_hash() == schema_hash()
    assert len(schema_hash()) == 16

from __future__ import annotations

import math

import numpy as np
import pytest

from features.columns import OtherRow, from_events
from features.fold import FoldStatus, fold
from features.state import (
    HALF_LIVES_MS,
    STATE,
    STATE_VERSION,
    STORED_BYTES,
    empty,
    from_bytes,
    to_bytes,
    view,
)
from tests.features.histories import DAY, HOUR, MINUTE, MONDAY, SECOND, event, folded, random_columns


def test_a_repeated_event_is_counted_once() -> None:
    states, out = folded([event(1, 0), event(2, SECOND), event(1, 0)])
    assert out.status.tolist() == [FoldStatus.FOLDED, FoldStatus.FOLDED, FoldStatus.DUPLICATE]
    assert states["events"].tolist() == [2]


def test_a_repetition_is_recognised_among_the_last_sixteen_events_only() -> None:
    history = [event(i, i * SECOND) for i in range(17)]
    _, out = folded([*history, event(1, SECOND), event(0, 0)])
    assert out.status[17:].tolist() == [FoldStatus.DUPLICATE, FoldStatus.FOLDED]


def test_thirty_minutes_of_silence_end_a_session_and_one_millisecond_less_does_not() -> None:
    states, _ = folded([event(1, 0), event(2, 30 * MINUTE), event(3, 60 * MINUTE + 1)])
    assert states["sessions"].tolist() == [2]
    assert states["session_events"].tolist() == [1]
    assert states["previous_session_end"].tolist() == [MONDAY + 30 * MINUTE]


def test_the_cart_fills_empties_and_is_gone_after_a_purchase() -> None:
    history = [
        event(1, 0, "add_to_cart", price=10.0, quantity=3),
        event(2, 1, "add_to_cart", price=5.0),
        event(3, 2, "remove_from_cart", price=10.0),
    ]
    states, _ = folded(history)
    assert (states["cart_value"][0], states["cart_quantity"][0]) == (25.0, 2.5), (
        "newest first: 5 of one piece, then 5 of 30 in three"
    )
    states, _ = folded([*history, event(4, DAY, "view_item")])
    assert states["cart_value"][0] == 25.0, "a cart outlives its session"
    states, _ = folded([*history, event(4, 3, "purchase", value=25.0)])
    assert (states["cart_value"][0], states["cart_quantity"][0], states["spend"][0]) == (0.0, 0.0, 25.0)


def test_a_cart_never_becomes_negative() -> None:
    states, _ = folded(
        [event(1, 0, "add_to_cart", price=1.0), event(2, 1, "remove_from_cart", price=9.0, quantity=5)]
    )
    assert (states["cart_value"][0], states["cart_quantity"][0]) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("fields", "money"),
    [
        ({"value": 7.5, "price": 1.0, "quantity": 2}, 7.5),
        ({"price": 2.5, "quantity": 2}, 5.0),
        ({"price": 2.5}, 2.5),
        ({}, 0.0),
        ({"items": [{"item_id": "a", "price": 2.0, "quantity": 2}, {"item_id": "b", "price": 1.5}]}, 5.5),
        ({"value": 7.5, "currency": "EUR"}, 7.5),
        ({"value": 7.5, "currency": "USD"}, 0.0),
    ],
)
def test_money_is_the_value_else_the_lines_else_price_times_quantity(fields: dict, money: float) -> None:
    import msgspec

    states, _ = folded([msgspec.convert({**_bare("purchase"), **fields}, type=type(event(0, 0)))])
    assert states["spend"].tolist() == [money]


def _bare(type_: str) -> dict[str, object]:
    return {"event_id": "e", "type": type_, "customer_id": "anna", "event_time": MONDAY}


def test_decayed_counters_follow_their_half_lives() -> None:
    states, _ = folded([event(1, 0), event(2, 10 * MINUTE), event(3, 3 * HOUR)])
    for row, half in zip(states["decayed"][0, 0], HALF_LIVES_MS, strict=True):
        expected = sum(2 ** (-(3 * HOUR - t) / half) for t in (0, 10 * MINUTE, 3 * HOUR))
        assert row == pytest.approx(expected, rel=1e-12)


def test_money_decays_like_the_purchases_that_brought_it() -> None:
    states, _ = folded([event(1, 0, "purchase", value=100.0), event(2, DAY)])
    assert states["decayed"][0, -1, 5] == pytest.approx(50.0)  # half-life of a day


@pytest.mark.parametrize("seed", range(5))
def test_counters_agree_whatever_the_order_within_the_lateness(seed: int) -> None:
    columns, slots = random_columns(seed, 2000, 20, 5 * HOUR)
    rng = np.random.default_rng(seed)
    shuffled = np.argsort(columns.time + rng.integers(0, 15 * MINUTE, len(columns)), kind="stable")
    one, two = empty(20), empty(20)
    fold(one, slots, columns)
    late = fold(two, slots[shuffled], columns.take(shuffled))
    assert (np.diff(columns.time[shuffled]) < 0).sum() > 500, f"seed {seed} shuffles nothing"
    np.testing.assert_allclose(two["decayed"], one["decayed"], rtol=1e-9, atol=1e-12)
    for name in (
        "events",
        "type_counts",
        "type_times",
        "first_time",
        "last_time",
        "purchase_times",
        "channel_counts",
    ):
        np.testing.assert_array_equal(two[name], one[name], err_msg=name)
    np.testing.assert_allclose(two["spend"], one["spend"], rtol=1e-12)
    assert (late.as_of >= columns.time[shuffled]).all()


def test_a_late_event_other_than_a_purchase_never_changes_session_cart_gaps_and_items() -> None:
    history = [event(1, 0, item_id="a"), event(2, 10 * MINUTE, "add_to_cart", price=5.0, item_id="b")]
    before, _ = folded(history)
    after, out = folded(
        [*history, event(3, 5 * MINUTE, "remove_from_cart", price=5.0, item_id="c", quantity=1)]
    )
    for name in (
        "session_events",
        "session_counts",
        "session_items",
        "cart_value",
        "recent_times",
        "items",
        "log_gap",
    ):
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    assert after["events"].tolist() == [3]
    assert out.as_of[-1] == MONDAY + 10 * MINUTE, "a late event is scored as of the latest one"


def test_a_state_silent_for_longer_than_its_time_to_live_counts_as_empty() -> None:
    states, _ = folded([event(1, 0), event(2, 400 * DAY)])
    assert states["events"].tolist() == [2]
    states, _ = folded([event(1, 0), event(2, 400 * DAY + 1)])
    fresh, _ = folded([event(2, 400 * DAY + 1)])
    assert states.tobytes() == fresh.tobytes()


def test_an_erasure_leaves_nothing_and_what_follows_starts_anew() -> None:
    columns = from_events([event(1, 0), event(2, SECOND)], "EUR").with_rows([1], [OtherRow("anna")])
    states = empty(1)
    out = fold(states, np.zeros(3, np.int64), columns)
    assert out.status.tolist() == [FoldStatus.FOLDED, FoldStatus.ERASED, FoldStatus.FOLDED]
    fresh, _ = folded([event(2, SECOND)])
    assert states.tobytes() == fresh.tobytes()
    fold(states, np.zeros(1, np.int64), from_events([], "EUR").with_rows([0], [OtherRow("anna")]))
    assert states.tobytes() == bytes(STATE.itemsize)


def test_batches_of_any_cut_give_the_same_bits() -> None:
    columns, slots = random_columns(3, 1500, 10, 2 * DAY)
    whole, cut = empty(10), empty(10)
    expected = fold(whole, slots, columns).vectors
    got = []
    for part in np.array_split(np.arange(1500), 37):
        got.append(fold(cut, slots[part], columns.take(part)).vectors)
    assert cut.tobytes() == whole.tobytes()
    assert np.concatenate(got).tobytes() == expected.tobytes()


def test_states_are_the_same_where_no_vectors_are_wanted() -> None:
    columns, slots = random_columns(seed=3, count=2_000, customers=20, span=40 * DAY)
    states, bare = empty(20), empty(20)
    folded_whole = fold(states, slots, columns)
    folded_bare = fold(bare, slots, columns, with_vectors=False)
    assert states.tobytes() == bare.tobytes()
    assert (folded_bare.as_of == folded_whole.as_of).all()
    assert len(folded_bare.vectors) == 0 < len(folded_whole.vectors)


def test_a_state_survives_the_round_trip_through_bytes() -> None:
    columns, slots = random_columns(4, 300, 5, DAY)
    states = empty(5)
    fold(states, slots, columns)
    assert from_bytes(to_bytes(states)).tobytes() == states.tobytes()
    assert (states["version"] == STATE_VERSION).all()
    assert from_bytes([None]).tobytes() == bytes(STATE.itemsize)


def test_the_size_of_a_state_does_not_depend_on_the_history() -> None:
    columns, slots = random_columns(5, 5000, 1, 300 * DAY)
    states = empty(1)
    fold(states, slots, columns)
    assert len(to_bytes(states)[0]) == STORED_BYTES < 1800


def test_a_view_for_people_shows_counts_times_and_money() -> None:
    states, _ = folded([event(1, 0, channel="app"), event(2, MINUTE, "purchase", value=12.5)])
    shown = view(states[0])
    assert shown["spend"] == 12.5
    assert shown["counts"]["purchase"] == 1
    assert shown["recent_purchases"] == ["2024-03-04T00:01:00.000Z"]
    assert shown["channels"] == {"web": 0, "app": 1, "store": 0}
    assert view(empty(1)[0]) == {"events": 0}


def test_gaps_are_smoothed_on_the_log_scale() -> None:
    states, _ = folded([event(1, 0), event(2, 10 * SECOND), event(3, 40 * SECOND)])
    first, second = math.log1p(10), math.log1p(30)
    assert states["log_gap"][0] == pytest.approx(first + 0.3 * (second - first))

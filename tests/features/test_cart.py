from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.cart import add
from features.columns import from_events
from features.events import TYPE_CODES, Event, Item
from features.state import CART_LIFE_MS, CART_LINES, empty
from tests.features.histories import HOUR, MINUTE, MONDAY, SECOND, event, folded

_PURCHASE = TYPE_CODES["purchase"]
_CART = ("cart_lines", "cart_items", "cart_money", "cart_pieces", "cart_times", "cart_value", "cart_quantity")


def cart(history: list[Event]) -> tuple[float, float]:
    """Return value and pieces of the cart after ``history``."""
    states, _ = folded(history)
    return float(states["cart_value"][0]), float(states["cart_quantity"][0])


def added(number: int, time: int, item: str | None, price: float | None, quantity: int = 1) -> Event:
    return event(number, time, "add_to_cart", item_id=item, price=price, quantity=quantity)


def removed(number: int, time: int, item: str | None, price: float | None = None, quantity: int = 1) -> Event:
    return event(number, time, "remove_from_cart", item_id=item, price=price, quantity=quantity)


def test_a_late_purchase_empties_what_was_added_before_it_and_counts_in_its_session() -> None:
    history = [added(1, 0, "a", 10.0), added(2, 2 * MINUTE, "b", 7.0)]
    states, out = folded([*history, event(3, MINUTE, "purchase", value=10.0)])
    assert (states["cart_value"][0], states["cart_quantity"][0], states["cart_lines"][0]) == (7.0, 1.0, 1)
    assert states["session_counts"][0, _PURCHASE] == 1
    assert states["session_events"][0] == 3
    assert out.as_of[-1] == MONDAY + 2 * MINUTE


def test_a_late_purchase_counts_from_the_sessions_first_moment_on_and_not_before() -> None:
    history = [event(1, 0), event(2, HOUR), event(3, HOUR + MINUTE)]
    for time, count in ((HOUR, 1), (HOUR - 1, 0)):
        states, _ = folded([*history, event(4, time, "purchase")])
        assert states["session_counts"][0, _PURCHASE] == count
        assert states["session_events"][0] == 2 + count


def test_a_removal_takes_the_lines_of_its_item_newest_first_with_or_without_a_price() -> None:
    lines = [added(1, 0, "a", 10.0, 2), added(2, 1, "b", 3.0, 4), added(3, 2, "a", 6.0)]
    for price in (None, 99.0):
        assert cart([*lines, removed(4, 3, "a", price, 2)]) == (22.0, 5.0)
    assert cart([*lines, removed(4, 3, "a", None, 9)]) == (12.0, 4.0), "never another item's lines"
    assert cart([*lines, removed(4, 3, "c", 5.0)]) == (38.0, 7.0)


def test_pieces_that_are_not_found_are_taken_from_lines_without_an_item() -> None:
    lines = [added(1, 0, None, 10.0, 2), added(2, 1, "a", 6.0)]
    assert cart([*lines, removed(3, 2, "a", None, 2)]) == (10.0, 1.0)
    assert cart([*lines, removed(3, 2, "a", None, 9)]) == (0.0, 0.0)


def test_a_removal_without_an_item_takes_money_where_there_is_some_and_else_pieces() -> None:
    lines = [added(1, 0, "a", 10.0, 2), added(2, 1, "b", 5.0)]
    assert cart([*lines, removed(3, 2, None, 10.0)]) == (15.0, 1.5)
    assert cart([*lines, removed(3, 2, None, None, 2)]) == (10.0, 1.0)
    assert cart([added(1, 0, "a", None, 2), removed(2, 1, None, 5.0)]) == (0.0, 1.0)


def test_an_event_with_several_items_is_a_line_without_an_item() -> None:
    several = event(1, 0, "add_to_cart", items=[Item(item_id="a", price=2.0, quantity=2), Item(item_id="b")])
    one = event(2, 1, "add_to_cart", items=[Item(item_id="c", price=1.0)])
    columns = from_events([several, one], "EUR")
    assert columns.cart_hash[0] == 0 != columns.item_hash[0]
    assert columns.cart_hash[1] == columns.item_hash[1] != 0
    assert cart([several, one, removed(3, 2, "b")]) == (pytest.approx(1.0 + 4.0 * 2 / 3), 3.0)


def test_a_full_cart_merges_its_two_oldest_lines_into_one_without_an_item() -> None:
    lines = [added(i, i, f"i{i}", 1.0 + i) for i in range(CART_LINES + 1)]
    states, _ = folded(lines)
    assert states["cart_lines"][0] == CART_LINES
    assert states["cart_items"][0, 0] == 0
    assert (states["cart_items"][0, 1:] != 0).all()
    assert (states["cart_money"][0, 0], states["cart_pieces"][0, 0]) == (3.0, 2.0)
    assert states["cart_times"][0, 0] == MONDAY + 1, "as old as the younger of the two"
    assert states["cart_value"][0] == sum(1.0 + i for i in range(CART_LINES + 1))


def test_a_line_leaves_the_cart_after_its_life_in_event_time() -> None:
    lines = [added(1, 0, "a", 10.0), added(2, HOUR, "b", 7.0)]
    assert cart([*lines, event(3, CART_LIFE_MS - 1)]) == (17.0, 2.0)
    assert cart([*lines, event(3, CART_LIFE_MS)]) == (7.0, 1.0)
    assert cart([*lines, event(3, CART_LIFE_MS + HOUR)]) == (0.0, 0.0)


def test_a_piece_by_piece_removal_leaves_nothing_behind() -> None:
    for price in (None, 19.99):
        history = [added(0, 0, None, 19.99, 7), *(removed(i, i, None, price) for i in range(1, 8))]
        states, _ = folded(history)
        assert (states["cart_value"][0], states["cart_quantity"][0], states["cart_lines"][0]) == (0, 0, 0)


def test_an_emptied_cart_leaves_the_bytes_of_a_state_that_never_had_one() -> None:
    state = empty(1)
    add(state[0], 1, 2.0, 1.0, 3)
    states, _ = folded([*(added(i, i, f"i{i}", 1.0) for i in range(12)), event(20, 30, "purchase")])
    for name in _CART:
        assert not states[name].any(), name


def test_a_removal_between_a_purchase_and_its_arrival_may_take_what_counts_as_bought() -> None:
    bought, purchase = added(1, 0, "a", 10.0), event(4, MINUTE, "purchase", value=10.0)
    later = [added(2, 2 * MINUTE, None, 6.0), removed(3, 3 * MINUTE, "a")]
    assert cart([bought, purchase, *later]) == (0.0, 0.0), "the line without an item stands in for it"
    assert cart([bought, *later, purchase]) == (6.0, 1.0), "the line of the item was still there"


def test_what_is_added_in_the_millisecond_of_a_purchase_counts_as_bought() -> None:
    purchase = event(2, MINUTE, "purchase")
    for time, left in ((MINUTE - 1, 0.0), (MINUTE, 0.0), (MINUTE + 1, 10.0)):
        assert cart([added(1, time, "a", 10.0), purchase])[0] == left
    assert cart([purchase, added(1, MINUTE, "a", 10.0)])[0] == 10.0, "in order, it was added after it"


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "remove", "buy", "view"]),
        st.sampled_from(["a", "b", "c"]),
        st.integers(1, 3),  # pieces
        st.sampled_from([None, 0.1, 2.5, 19.99]),
        st.integers(1, 6 * 60),  # seconds since the one before
        st.integers(0, 15 * 60),  # by how much a purchase is delayed
    ),
    min_size=2,
    max_size=40,
)


def _history(steps: list[tuple[str, str, int, float | None, int, int]]) -> tuple[list[Event], list[Event]]:
    """Return the events in order of their time, and in order of arrival with the purchases delayed."""
    arrivals, events, time = [], [], 0
    for number, (kind, item, pieces, price, pause, delay) in enumerate(steps):
        time += pause * SECOND
        made = {
            "add": lambda n=number, t=time, i=item, p=price, q=pieces: added(n, t, i, p, q),
            "remove": lambda n=number, t=time, i=item, p=price, q=pieces: removed(n, t, i, p, q),
            "buy": lambda n=number, t=time: event(n, t, "purchase", value=1.0),
            "view": lambda n=number, t=time: event(n, t),
        }[kind]()
        events.append(made)
        arrivals.append(time + (delay * SECOND if kind == "buy" else 0))
    order = sorted(range(len(events)), key=arrivals.__getitem__)
    return events, [events[i] for i in order]


def _merged_over_a_purchase(steps: list[tuple[str, str, int, float | None, int, int]]) -> bool:
    """Whether the cart was full before the purchase arrived: the first exception in `features.cart`."""
    in_order, delayed = _history(steps)
    purchases = [e for e in in_order if e.type == "purchase"]
    position = {e.event_id: at for at, e in enumerate(delayed)}
    for purchase in purchases:
        before = delayed[: position[purchase.event_id]]
        since = [e for e in before if e.type == "add_to_cart" and e.event_time > purchase.event_time]
        if len(since) >= CART_LINES:
            return True
    return False


@settings(max_examples=400, deadline=None)
@given(_STEPS)
def test_a_late_purchase_leaves_the_cart_that_it_would_have_left_in_order(steps: list) -> None:
    if _merged_over_a_purchase(steps):
        return
    in_order, delayed = _history(steps)
    last = event(99, 10 * HOUR)
    one, _ = folded([*in_order, last])
    two, _ = folded([*delayed, last])
    for name in _CART:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def test_the_histories_above_hold_late_purchases() -> None:
    steps = [("add", "a", 1, 1.0, 60, 0), ("buy", "a", 1, 1.0, 60, 600), ("add", "b", 1, 2.0, 60, 0)]
    _, delayed = _history(steps)
    times = [e.event_time for e in delayed]
    assert any(later < earlier for earlier, later in pairwise(times))

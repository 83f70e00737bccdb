from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.columns import from_events, from_table
from features.events import COUNTED_TYPES, WISH_TYPES, Event, Item, decode_many, encode
from features.fold import fold
from features.log import LOG_SCHEMA
from features.merge import merge
from features.priced_lines import PricedLines
from features.state import CART_LINES, DAY_MS, WISH_LIFE_MS, WISHES, States, empty
from features.vector import COLUMN_NAMES
from tests.features.histories import HOUR, MINUTE, MONDAY, event, folded
from tests.features.test_merge import of

_NAMES = ("wish_items", "wish_prices", "wish_times")
_TTL = 400 * DAY_MS


def wished(number: int, time: int, item: str | None, price: float | None = 10.0, **fields: object) -> Event:
    return event(number, time, "add_to_wishlist", item_id=item, price=price, **fields)


def unwished(number: int, time: int, item: str | None, **fields: object) -> Event:
    return event(number, time, "remove_from_wishlist", item_id=item, **fields)


def lines(*items: str) -> list[Item]:
    return [Item(item_id=item, price=1.0) for item in items]


def listed(states: States, items: Sequence[str]) -> list[tuple[str, float, int]]:
    """Return item, price and time of each wish, oldest first, and check that all other places are zeros."""
    columns = from_events([event(at, 0, item_id=item) for at, item in enumerate(items)], "EUR")
    names = dict(zip(columns.item_hash.tolist(), items, strict=True))
    count = int(np.count_nonzero(states["wish_items"]))
    assert all(not states[name][0, count:].any() for name in _NAMES)
    hashes, prices, times = (states[name][0, :count].tolist() for name in _NAMES)
    return [
        (names[one], price, time - MONDAY) for one, price, time in zip(hashes, prices, times, strict=True)
    ]


def wishes(history: list[Event], items: Sequence[str] = "abcd") -> list[tuple[str, float, int]]:
    """Return the wish list after a history."""
    return listed(folded(history)[0], items)


def test_a_wish_puts_its_item_on_the_list_and_again_at_its_end_with_the_price_of_then() -> None:
    history = [wished(1, 0, "a", 10.0), wished(2, 5, "b", 7.5, quantity=2), wished(3, 9, "a", 8.0)]
    assert wishes(history[:2]) == [("a", 10.0, 0), ("b", 7.5, 5)]
    assert wishes(history) == [("b", 7.5, 5), ("a", 8.0, 9)]
    assert wishes([wished(1, 0, "a", None)]) == [("a", 0.0, 0)], "it is no price that is known"
    assert wishes([wished(1, 0, "a", 9.0, currency="USD")]) == [("a", 0.0, 0)]


def test_the_oldest_item_leaves_a_full_list() -> None:
    items = [f"i{at}" for at in range(WISHES + 2)]
    history = [wished(at, at, item) for at, item in enumerate(items)]
    assert [name for name, _, _ in wishes(history, items)] == items[2:]
    again = [*history[:WISHES], wished(50, 50, "i0")]
    assert [name for name, _, _ in wishes(again, items)] == [*items[1:WISHES], "i0"], "nothing has to leave"


def test_who_takes_an_item_off_or_buys_it_wishes_the_others_still() -> None:
    history = [wished(1, 0, "a"), wished(2, 1, "b"), wished(3, 2, "c"), wished(4, 3, "d")]

    def left(*more: Event) -> str:
        return "".join(name for name, _, _ in wishes([*history, *more]))

    assert left(unwished(9, 5, "b")) == "acd"
    assert left(unwished(9, 5, None)) == left(unwished(9, 5, "x")) == "abcd"
    assert left(unwished(9, 5, None, items=lines("d", "a"))) == "bc"
    assert left(event(9, 5, "purchase", item_id="c")) == "abd"
    assert left(event(9, 5, "purchase", items=lines("x", "d", "a"))) == "bc"
    assert left(event(9, 5, "purchase", item_id="c", items=lines("d"))) == "abd", "as the cart takes it"
    many = lines(*(f"x{at}" for at in range(40)), "b")
    assert left(event(9, 5, "purchase", items=many)) == "acd", "however many it names"
    for kind in ("view_item", "add_to_cart", "remove_from_cart", "refund", "begin_checkout"):
        assert left(event(9, 5, kind, item_id="a", price=1.0)) == "abcd", kind


def test_a_purchase_that_names_nothing_takes_off_what_lay_in_the_cart_by_then() -> None:
    history = [wished(1, 0, "a"), wished(2, 1, "b"), event(3, 2, "add_to_cart", item_id="b", price=1.0)]
    later = event(5, 9, "add_to_cart", item_id="a", price=1.0)
    bought = event(4, 5, "purchase", value=1.0)
    for arrived in ([*history, bought, later], [*history, later, bought]):
        assert [name for name, _, _ in wishes(arrived)] == ["a"], "a was added after it"


def test_a_late_purchase_takes_off_what_was_wished_up_to_it_and_other_late_events_change_nothing() -> None:
    bought = event(9, MINUTE, "purchase", item_id="a")
    assert wishes([wished(1, 0, "a"), event(2, HOUR), bought]) == []
    assert len(wishes([wished(1, 2 * MINUTE, "a"), event(2, HOUR), bought])) == 1
    known = [wished(1, 0, "a"), event(2, HOUR)]
    assert wishes([*known, wished(3, MINUTE, "b"), unwished(4, MINUTE, "a")]) == wishes(known)


def test_an_item_leaves_the_list_after_its_life_in_event_time() -> None:
    history = [wished(1, 0, "a"), wished(2, HOUR, "b")]
    assert len(wishes([*history, event(3, WISH_LIFE_MS - 1)])) == 2
    assert [name for name, _, _ in wishes([*history, event(3, WISH_LIFE_MS)])] == ["b"]


def test_an_event_of_several_items_or_none_is_no_wish() -> None:
    assert wishes([wished(1, 0, None), wished(2, 1, None, items=lines("a", "b"))]) == []
    one = event(1, 0, "add_to_wishlist", items=[Item(item_id="a", price=4.0)])
    assert wishes([one]) == [("a", 4.0, 0)]


@pytest.mark.parametrize("kind", WISH_TYPES)
def test_a_wish_is_an_activity_and_columns_tell_nothing_else_of_it(kind: str) -> None:
    before = [event(1, 0, "view_item", item_id="a", channel="web"), event(2, 5000, "search", channel="app")]
    states, out = folded([*before, event(3, 9000, kind, item_id="a", price=3.0, channel="store")])
    found = dict(zip(COLUMN_NAMES, out.vectors[-1].tolist(), strict=True))
    earlier = dict(zip(COLUMN_NAMES, out.vectors[-2].tolist(), strict=True))
    assert (found["events"], found["session_events"], found["gap_1"], found["session_age"]) == (3, 3, 4, 9)
    assert out.as_of[-1] == MONDAY + 9000
    for name in COLUMN_NAMES:
        if name.startswith(("session_", "channel_")) and name not in ("session_events", "session_age"):
            assert found[name] == earlier[name], name
        elif name.startswith("since_") and earlier[name] < 400 * 86_400:
            assert found[name] == earlier[name] + 4, name
    assert found["item_repeats"] == earlier["item_repeats"] == 1
    assert states["type_counts"][0].sum() == 2
    again = from_events([event(3, 9000, kind, item_id="a")], "EUR")
    fold(states, np.zeros(1, np.int64), again)
    assert states["events"][0] == 3, "a repetition is recognised"


def test_an_erasure_takes_the_list_with_the_state() -> None:
    states, _ = folded([wished(1, 0, "a")])
    erased = from_events([event(2, 1)], "EUR").with_types([0], [255])
    fold(states, np.zeros(1, np.int64), erased)
    assert states.tobytes() == empty(1).tobytes()


def test_lines_to_compare_are_those_of_the_cart_and_then_those_of_the_list() -> None:
    history = [event(1, 0, "add_to_cart", item_id="a", price=4.0, quantity=2), wished(2, 7, "b", 3.0)]
    states, out = folded(history, with_prices=True)
    for found in (out.priced.take(np.array([1])), PricedLines.of(states)):
        assert np.flatnonzero(found.items).tolist() == [0, CART_LINES]
        assert found.units[0, [0, CART_LINES]].tolist() == [4.0, 3.0]
        assert (found.added[0, [0, CART_LINES]] - MONDAY).tolist() == [0, 7]


def test_types_of_the_wish_list_may_be_ignored() -> None:
    from features.events import Decoding

    values = [encode(wished(1, 0, "a")), encode(event(2, 0)), encode(unwished(3, 1, "a"))]
    found = decode_many(values, Decoding(ignored=frozenset({"add_to_wishlist"})))
    assert (found.ignored, found.indices) == ([0], [1, 2])
    assert decode_many(values).indices == [0, 1, 2]


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["wish", "wish", "wish", "unwish", "buy", "buy", "all", "add", "view"]),
        st.lists(st.sampled_from([f"i{at}" for at in range(11)]), min_size=1, max_size=3),
        st.sampled_from([None, 2.5, 19.99]),
        st.sampled_from([1, 1, 1, 7200, 30 * 86_400]),  # seconds since the one before
    ),
    max_size=45,
)


def _made(steps: list[tuple[str, list[str], float | None, int]]) -> tuple[list[Event], list[tuple]]:
    """Return the events, and the wish list after them by a plain model of it."""
    events, model, cart, time = [], list[tuple[str, float, int]](), list[tuple[str, int]](), 0
    for number, (kind, items, price, pause) in enumerate(steps):
        time += 1000 * pause
        one = items[0]
        fields: dict[str, object] = (
            {"item_id": one, "price": price}
            if len(items) == 1
            else {"items": [Item(item_id=item, price=price) for item in items]}
        )
        cart = [line for line in cart if time - line[1] < 14 * DAY_MS]
        names = {
            "wish": "add_to_wishlist", "unwish": "remove_from_wishlist", "buy": "purchase", "all": "purchase",
            "add": "add_to_cart", "view": "view_item",
        }  # fmt: skip
        events.append(event(number, time, names[kind], **({"value": 1.0} if kind == "all" else fields)))
        gone = (
            set(items)
            if kind in ("unwish", "buy")
            else {item for item, _ in cart}
            if kind == "all"
            else set()
        )
        model = [entry for entry in model if entry[0] not in gone and time - entry[2] < WISH_LIFE_MS]
        if names[kind] == "purchase":
            cart = []
        if kind == "add":
            cart = [*cart, (one if len(items) == 1 else "", time)][-CART_LINES:]
            if len(cart) == CART_LINES:  # two of its oldest lines may have become one, of no one item
                cart = []
                events.append(event(1000 + number, time, "purchase", item_id="x"))
        if kind == "wish" and len(items) == 1:
            kept = [entry for entry in model if entry[0] != one]
            model = [*kept, (one, price or 0.0, time)][-WISHES:]
    return events, model


@settings(max_examples=300, deadline=None)
@given(_STEPS)
def test_the_list_is_that_of_a_plain_model_from_records_and_from_a_log(steps: list) -> None:
    events, model = _made(steps)
    items = [f"i{at}" for at in range(11)]
    assert listed(of(events), items) == model
    rows = [
        {"arrived_at": e.event_time, **{n: getattr(e, n) for n in e.__struct_fields__ if n != "items"},
         "items": None if e.items is None else [{n: getattr(i, n) for n in i.__struct_fields__} for i in e.items]}
        for e in events
    ]  # fmt: skip
    import pyarrow as pa

    states = empty(1)
    fold(states, np.zeros(len(rows), np.int64), from_table(pa.Table.from_pylist(rows, LOG_SCHEMA), "EUR"))
    assert states.tobytes() == of(events).tobytes()


@settings(max_examples=200, deadline=None)
@given(_STEPS, st.data())
def test_lists_of_two_ids_are_joined_as_if_all_had_been_wished_under_one(
    steps: list, data: st.DataObject
) -> None:
    events, _ = _made([step for step in steps if step[0] in ("wish", "view")])
    own = data.draw(st.lists(st.booleans(), min_size=len(events), max_size=len(events)))
    one = of([e for e, mine in zip(events, own, strict=True) if mine])
    two = of([e for e, mine in zip(events, own, strict=True) if not mine])
    whole = of(events)
    for joined in (merge(one, two, _TTL), merge(two, one, _TTL)):
        for name in _NAMES:
            np.testing.assert_array_equal(joined[name], whole[name], err_msg=name)


def test_counted_types_have_the_codes_that_columns_were_made_for() -> None:
    assert len(COUNTED_TYPES) == empty(1)["type_counts"].shape[1] == 8

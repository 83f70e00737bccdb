"""Price drops: told once, the same however the log is cut, and only of what lies in the cart and got cheaper."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from features.events import Event
from features.price_table import SaidPrice
from features.priced_lines import PRICED_LINES
from features.state import CART_LIFE_MS, CART_LINES, WISH_LIFE_MS
from stream.decisions.rulebook import Rulebook
from tests.features.histories import DAY, HOUR, MINUTE, MONDAY
from tests.stream.decisions.logs import BEGINNING, LATENESS, Log, decided, log_of, logs, rulebook_of

CHEAPER = """
version: 1
rules:
  - {name: cheaper, trigger: price_dropped, action: tell, by: %s, every: %s}
"""
MANY = """
version: 1
timezone: Europe/Berlin
bands: {medium: {enter: 0.2, leave: 0.15}, high: {enter: 0.5, leave: 0.4}}
caps: [1 per 1h, 3 per 2d]
quiet: {from: 21:00, to: 08:00, weekdays: [sunday], then: %s}
rules:
  - {name: much, trigger: price_dropped, by: 40%%, every: %s, action: hurry, priority: 1}
  - {name: wished, trigger: price_dropped, of: wishlist, by: 15%%, action: hurry, when: {band: high}}
  - {name: basket, trigger: price_dropped, of: cart, by: 8%%, action: hurry, when: {band: medium}}
  - {name: cart, trigger: cart_abandoned, action: remind}
  - {name: likely, trigger: price_dropped, action: tell, when: {intent: at least 0.2}}
  - {name: filled, action: show, when: {cart_items: more than 0}}
"""
POLICIES = st.builds(
    lambda then, every: rulebook_of(MANY % (then, every)),
    st.sampled_from(["wait", "drop"]),
    st.sampled_from(["5m", "1h", "7h"]),
)
CUTS = st.lists(st.integers(0, 40), max_size=6)
Prices = Sequence[tuple[int, SaidPrice]]


@st.composite
def priced_logs(draw: st.DrawFn) -> tuple[Log, Prices]:
    """Draw a log, and prices between its events."""
    log = draw(logs(wishes=True))
    places = sorted(draw(st.lists(st.integers(0, len(log.times)), max_size=12)))
    return log, [(at, draw_price(draw, log, at)) for at in places]


def draw_price(draw: st.DrawFn, log: Log, at: int) -> SaidPrice:
    near = int(log.times[min(at, len(log.times) - 1)])
    time = near + MINUTE * draw(st.sampled_from((-60, -10, 0, 0, 1, 10)))
    price = draw(st.sampled_from((5.0, 8.0, 9.4, 9.6, 10.0)))
    return SaidPrice(f"i{draw(st.integers(0, 2))}", price, time, noted(log, at))


def noted(log: Log, at: int) -> int:
    return int(log.watermarks[at - 1]) if at else BEGINNING


@settings(max_examples=150, deadline=None)
@given(drawn=priced_logs(), rulebook=POLICIES, cuts=CUTS)
def test_a_log_with_prices_may_be_cut_anywhere(
    drawn: tuple[Log, Prices], rulebook: Rulebook, cuts: list[int]
) -> None:
    log, prices = drawn
    whole, memories, counts = decided(rulebook, log, prices=prices)
    ends = sorted(min(cut, len(log.times)) for cut in cuts)
    for some in (ends, list(range(1, len(log.times)))):
        pieces, left, counted = decided(rulebook, log, some, prices=prices)
        assert pieces == whole
        assert left.tobytes() == memories.tobytes()
        assert counted.tolist() == counts.tolist()


@settings(max_examples=150, deadline=None)
@given(
    drawn=priced_logs(),
    every=st.sampled_from(["5m", "1h"]),
    asked=st.sampled_from(
        [
            ("", range(PRICED_LINES)),
            ("cart", range(CART_LINES)),
            ("wishlist", range(CART_LINES, PRICED_LINES)),
        ]
    ),
)
def test_what_is_told_lies_in_the_cart_or_on_the_wish_list_and_was_never_told_before(
    drawn: tuple[Log, Prices], every: str, asked: tuple[str, range]
) -> None:
    log, prices = drawn
    told = set()
    rules = CHEAPER % ("5%", every + (f", of: {asked[0]}" if asked[0] else ""))
    for action in decided(rulebook_of(rules), log, prices=prices)[0]:
        own = [at for at in log.seen(action.customer_id, len(log.times) - 1) if log.as_of[at] <= action.as_of]
        row = own[-1]
        for item in action.items:
            version = seen(prices, item, action.decided_at)
            assert version is not None
            lines = [
                at
                for at in asked[1]
                if log.items.get(int(log.priced.items[row, at])) == item
                and version.price <= 0.95 * log.priced.units[row, at]
                and version.time > log.priced.added[row, at]
                and log.priced.added[row, at]
                > action.decided_at - (CART_LIFE_MS if at < CART_LINES else WISH_LIFE_MS)
            ]
            assert lines, (action, version)
            assert (action.customer_id, item, version) not in told
            told.add((action.customer_id, item, version))
        assert action.items


def seen(prices: Prices, item: str, moment: int) -> SaidPrice | None:
    """Return the price that a timer of a moment sees, as it was said first: by a plain search."""
    versions: list[SaidPrice] = []
    latest = 0
    for _, price in prices:
        if price.item_id != item:
            continue
        if not versions or price.time > latest or (price.time == latest and price.price < versions[-1].price):
            latest = price.time
            if not versions or price.price != versions[-1].price:
                versions.append(price)
    known = [price for price in versions if max(price.noted, price.time) < moment]
    return known[-1] if known else None


def played(
    events: Sequence[tuple[float, str, str]],
    prices: Sequence[tuple[float, str, float]],
    *,
    rules: str = CHEAPER % ("10%", "1h"),
    until: float = 20 * 24,
) -> list[tuple[float, list[str]]]:
    """Return hours and items of ada's actions, after events and prices at hours; somebody else moves time on."""
    ticks = [(float(hour), "bob", "view_item", "x") for hour in np.arange(0.25, until, 0.5)]
    all_events = sorted([*((hour, "ada", kind, item) for hour, kind, item in events), *ticks])
    made = [
        Event(
            event_id=f"e{at}",
            type=kind,
            customer_id=name,
            item_id=item,
            price=100.0,
            event_time=MONDAY + int(hour * HOUR),
        )  # type: ignore[arg-type]  # fmt: skip
        for at, (hour, name, kind, item) in enumerate(all_events)
    ]
    log = log_of(made, [MONDAY + int(hour * HOUR) for hour, *_ in all_events], [0.3] * len(made))
    said = []
    for hour, item, price in prices:
        at = sum(one[0] <= hour for one in all_events)
        said.append((at, SaidPrice(item, price, MONDAY + int(hour * HOUR), noted(log, at))))
    return [
        ((action.decided_at - MONDAY) / HOUR, action.items)
        for action in decided(rulebook_of(rules), log, prices=said)[0]
        if action.customer_id == "ada"
    ]


ADDED = (2.0, "add_to_cart", "i1")
WISH = {"type": "add_to_wishlist"}


def test_a_drop_is_told_at_the_next_comparison() -> None:
    [(hour, items)] = played([ADDED], [(5.1, "i1", 89.0)])
    assert items == ["i1"]
    assert 5.1 < hour <= 6.1


WISHED = (2.0, "add_to_wishlist", "i1")


def test_a_drop_of_a_wished_item_is_told_once_also_where_it_lies_in_the_cart_as_well() -> None:
    assert [items for _, items in played([WISHED], [(5.1, "i1", 89.0)])] == [["i1"]]
    assert not played([WISHED], [(5.1, "i1", 90.01)])
    both = [WISHED, (2.5, "add_to_cart", "i1"), (2.6, "add_to_wishlist", "i2"), (2.7, "add_to_cart", "i3")]
    drops = [(5.1, "i1", 80.0), (5.1, "i2", 80.0), (5.1, "i3", 80.0)]
    assert [items for _, items in played(both, drops)] == [["i3", "i2", "i1"]], "the newest first"
    moved = [WISHED, (8.0, "add_to_cart", "i1")]
    assert len(played(moved, [(5.1, "i1", 80.0)])) == 1, "it was told before it came into the cart"


def test_a_rule_may_look_at_the_cart_or_the_wish_list_alone() -> None:
    for where, told in (("cart", ["i1"]), ("wishlist", ["i2"])):
        rules = CHEAPER % ("10%", f"1h, of: {where}")
        lines = [ADDED, (2.1, "add_to_wishlist", "i2")]
        drops = [(5.1, "i1", 80.0), (9.1, "i2", 80.0)]
        assert [items for _, items in played(lines, drops, rules=rules)] == [told]
    other = (
        CHEAPER % ("10%", "1h, of: cart")
        + "  - {name: wished, trigger: price_dropped, of: wishlist, action: a}"
    )
    assert len(played([WISHED], [(5.1, "i1", 80.0)], rules=other)) == 1
    both = [WISHED, ADDED]
    assert len(played(both, [(5.1, "i1", 80.0)], rules=other)) == 1, "one action, that of the first rule"


def test_who_bought_the_item_or_took_it_off_the_wish_list_is_told_nothing() -> None:
    for kind in ("purchase", "remove_from_wishlist"):
        assert not played([WISHED, (4.9, kind, "i1")], [(5.1, "i1", 50.0)])
        assert len(played([WISHED, (4.9, kind, "i2")], [(5.1, "i1", 50.0)])) == 1, "it is another item's"


def test_a_wish_is_compared_for_longer_than_a_line_of_the_cart() -> None:
    lines = [ADDED, (2.1, "add_to_wishlist", "i2")]
    drops = [(40 * 24, "i1", 50.0), (40 * 24, "i2", 50.0), (95 * 24, "i2", 20.0)]
    told = played(lines, drops, until=100 * 24)
    assert [items for _, items in told] == [["i2"]]


def test_a_drop_of_less_than_the_rule_asks_for_is_not_told_and_exactly_that_much_is() -> None:
    assert not played([ADDED], [(5.1, "i1", 90.01)])
    assert len(played([ADDED], [(5.1, "i1", 90.0)])) == 1
    assert len(played([ADDED], [(5.1, "i1", 96.0), (9.0, "i1", 89.0)])) == 1, "all steps together count"


def test_a_price_of_before_the_line_was_added_is_no_drop() -> None:
    assert not played([ADDED], [(1.0, "i1", 80.0)])
    assert not played([ADDED], [(1.0, "i1", 80.0), (4.0, "i1", 80.0)]), "said again, it holds since 1.0"
    assert not played([ADDED], [(3.0, "i2", 10.0)]), "it is of another item"


def test_the_same_price_said_every_hour_is_told_once_and_a_further_drop_again() -> None:
    daily = [(hour + 0.1, "i1", 80.0) for hour in range(5, 60)]
    assert len(played([ADDED], daily)) == 1
    assert [items for _, items in played([ADDED], [*daily, (70.0, "i1", 79.0)])] == [["i1"]] * 2
    both = played([ADDED, (2.1, "add_to_cart", "i2")], [*daily, (70.0, "i2", 50.0), (70.0, "i1", 85.0)])
    assert [items for _, items in both] == [["i1"], ["i2"]], "dearer than it was, it is no news"


def test_items_that_became_cheaper_together_are_one_action_newest_line_first() -> None:
    lines = [(2.0 + number / 10, "add_to_cart", f"i{number}") for number in range(3)]
    [(_, items)] = played(lines, [(5.0, "i2", 80.0), (5.0, "i0", 80.0), (5.01, "i1", 99.0)])
    assert items == ["i2", "i0"]


def test_who_bought_or_emptied_the_cart_is_told_nothing() -> None:
    for kind in ("purchase", "remove_from_cart"):
        assert not played([ADDED, (4.9, kind, "i1")], [(5.1, "i1", 50.0)])
    late = played(
        [ADDED, (4.9, "purchase", "i1"), (7.0, "add_to_cart", "i1")], [(5.1, "i1", 50.0), (9.0, "i1", 20.0)]
    )
    assert len(late) == 1


def test_whoever_is_active_is_told_after_the_last_event() -> None:
    active = [(hour / 10, "view_item", "i9") for hour in range(21, 90)]
    [(hour, _)] = played([ADDED, *active], [(5.1, "i1", 50.0)])
    assert 8.9 < hour <= 9.0


def test_a_cart_that_has_expired_is_compared_no_more() -> None:
    assert len(played([ADDED], [(13 * 24, "i1", 50.0)])) == 1
    assert not played([ADDED], [(15 * 24, "i1", 50.0)])


def test_a_timer_is_set_only_while_something_comparable_lies_in_the_cart() -> None:
    rulebook = rulebook_of(CHEAPER % ("10%", "1h"))

    def due(*events: Event) -> list[int]:
        log = log_of(list(events), [MONDAY] * len(events), [0.3] * len(events))
        return decided(rulebook, log)[1]["due"].tolist()[:1]

    add = Event(
        event_id="a", type="add_to_cart", customer_id="ada", item_id="i", price=9.0, event_time=MONDAY
    )
    assert due(add) == [MONDAY - LATENESS + HOUR]
    rulebook = rulebook_of(CHEAPER % ("10%", "1h, of: cart"))
    assert due(add) == [MONDAY - LATENESS + HOUR]
    assert due(Event(**{name: getattr(add, name) for name in Event.__struct_fields__} | WISH)) == [0]
    rulebook = rulebook_of(CHEAPER % ("10%", "1h"))
    assert due(Event(**{name: getattr(add, name) for name in Event.__struct_fields__} | WISH)) != [0]
    for change in (
        {"price": None},
        {"item_id": None},
        {"type": "view_item"},
        {"currency": "USD"},
        {"bot": True},
    ):
        fields = {name: getattr(add, name) for name in Event.__struct_fields__} | change
        assert due(Event(**fields)) == [0], change


def test_in_the_quiet_time_a_drop_waits_and_is_told_if_it_still_holds() -> None:
    quiet = CHEAPER % ("10%", "1h") + "quiet: {from: 03:00, to: 10:00, then: wait}\ntimezone: UTC\n"
    assert MONDAY % DAY == 0
    told = played([ADDED], [(4.0, "i1", 50.0)], rules=quiet)
    assert told == [(10.0, ["i1"])]
    both = [(2.2, "i1", 50.0), (6.0, "i2", 50.0), (7.0, "i1", 60.0)]
    told = played([(1.0, "add_to_cart", "i2"), (1.0, "add_to_cart", "i1")], both, rules=quiet)
    assert [items for _, items in told] == [["i1"], ["i2"]], "what was told before is not told again"
    assert told[1][0] == 10.0
    assert not played([ADDED], [(4.0, "i1", 50.0), (7.0, "i1", 99.0)], rules=quiet), "it is as dear as before"
    assert not played([ADDED, (8.0, "purchase", "i1")], [(4.0, "i1", 50.0)], rules=quiet)


def test_a_cap_counts_price_drops_like_other_actions() -> None:
    capped = CHEAPER % ("10%", "1h") + "caps: [1 per 2d]\n"
    drops = [(5.0, "i1", 80.0), (20.0, "i1", 70.0), (80.0, "i1", 60.0)]
    assert len(played([ADDED], drops)) == 3
    assert len(played([ADDED], drops, rules=capped)) == 2


def test_without_a_rule_about_prices_nothing_is_remembered_of_them() -> None:
    rulebook = rulebook_of("version: 1\nrules:\n  - {name: a, action: b}\n")
    assert not rulebook.compares_prices
    assert not rulebook.has_timers
    log = log_of(
        [
            Event(
                event_id="a", type="add_to_cart", customer_id="ada", item_id="i", price=9.0, event_time=MONDAY
            )
        ],
        [MONDAY],
        [0.3],
    )
    _, memories, _ = decided(rulebook, log)
    assert memories["compared"].tolist() == [0, 0, 0]

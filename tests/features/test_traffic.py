"""Whose events are a customer's: rules of machines look at columns, and at nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.calendar import zone
from features.columns import from_events
from features.events import Event
from features.fold import fold
from features.state import empty
from features.traffic import BOT, CUSTOMER, DEFAULT_BOTS, STAFF, BotRule, BotRules
from features.vector import COLUMN_NAMES, WIDTH, Vectors
from tests.features.histories import MINUTE, MONDAY, SECOND

AT = {name: at for at, name in enumerate(COLUMN_NAMES)}
RULES = BotRules.of(DEFAULT_BOTS)
NAMES = ("view_item_1m", "purchases", "cart_value")


def vectors_of(kind: str, times: NDArray[np.int64], **fields: object) -> Vectors:
    """Return the vectors of one customer's events of a kind."""
    events = [
        Event(event_id=f"e{n}", type=kind, customer_id="c", event_time=time, item_id=f"i{n}", **fields)  # type: ignore[arg-type]
        for n, time in enumerate(times.tolist())
    ]
    return fold(
        empty(1), np.zeros(len(events), np.int64), from_events(events, "EUR"), zone=zone("UTC")
    ).vectors


def first_flag(kind: str, gap_ms: int, count: int) -> int | None:
    """Return which event of a steady pace is the first to be a machine's."""
    held = RULES.hold(vectors_of(kind, MONDAY + gap_ms * np.arange(count)))
    return int(np.argmax(held)) if held.any() else None


def test_a_machine_that_reads_two_pages_a_second_is_known_within_twenty_seconds() -> None:
    assert first_flag("view_item", SECOND // 2, 200) == 32


def test_a_machine_that_reads_slowly_is_known_by_how_long_it_does() -> None:
    hours = first_flag("view_item", 12 * SECOND, 1_000)
    assert hours == 799, "five a minute, in one session"
    assert first_flag("view_item", 31 * MINUTE, 1_000) is None, "50 a day are no machine"


def test_filled_carts_are_a_machines_until_somebody_buys() -> None:
    held = RULES.hold(vectors_of("add_to_cart", MONDAY + 2 * SECOND * np.arange(60)))
    assert (int(np.argmax(held)), bool(held[-1])) == (47, True)
    vectors = vectors_of("add_to_cart", MONDAY + 2 * SECOND * np.arange(60))
    vectors[:, AT["purchases"]] = 1.0
    assert not RULES.hold(vectors).any()


def test_no_session_of_the_fastest_people_is_a_machines() -> None:
    # The pace and the length that the page gives for real sessions.
    assert first_flag("view_item", MINUTE // 9, 705) is None


def test_all_conditions_of_a_rule_have_to_hold_and_any_rule_is_enough() -> None:
    rules = BotRules.of([
        BotRule("a", {"purchases": 0, "events": "at least 10"}),
        BotRule("b", {"since_search": "less than 1m"}),
    ])  # fmt: skip
    vectors = np.zeros((4, WIDTH), np.float32)
    vectors[:, AT["since_search"]] = [600, 600, 59, 60]
    vectors[:, AT["events"]] = [10, 9, 9, 9]
    assert rules.hold(vectors).tolist() == [True, False, True, False]


def test_staff_stay_staff_whatever_they_do() -> None:
    vectors = np.zeros((4, WIDTH), np.float32)
    vectors[3, AT["view_item_1m"]] = 30.0
    bot = np.array([False, True, True, False])
    staff = np.array([False, False, True, False])
    assert RULES.traffic(vectors, bot, staff).tolist() == [CUSTOMER, BOT, STAFF, BOT]
    assert RULES.traffic(vectors, bot).tolist() == [CUSTOMER, BOT, BOT, BOT]


@pytest.mark.parametrize(
    "when", [{"view_item_1m": "many"}, {"view_item_1m": None}, {"view_item_1m": "between 3 and 2"}]
)
def test_a_condition_that_is_none_says_so(when: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="number"):
        BotRules.of([BotRule("a", when)])


@given(
    bounds=st.lists(st.dictionaries(st.sampled_from(NAMES), st.integers(0, 5), min_size=1), max_size=4),
    rows=st.lists(st.tuples(*[st.integers(0, 6)] * len(NAMES)), max_size=20),
)
def test_an_event_is_a_machines_exactly_if_a_rule_holds(
    bounds: list[dict[str, int]], rows: list[tuple[int, ...]]
) -> None:
    rules = BotRules.of(
        [BotRule("r", {name: f"at least {low}" for name, low in one.items()}) for one in bounds]
    )
    vectors = np.zeros((len(rows), WIDTH), np.float32)
    for at, name in enumerate(NAMES):
        vectors[:, AT[name]] = [row[at] for row in rows]
    wanted = [
        any(
            all(dict(zip(NAMES, row, strict=True))[name] >= low for name, low in one.items())
            for one in bounds
        )
        for row in rows
    ]
    assert rules.hold(vectors).tolist() == wanted

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from features.columns import from_events
from features.events import EVENT_TYPES, Event
from features.fold import fold
from features.merge import merge
from features.state import DAY_MS, STATE, States, empty
from tests.features.histories import DAY, HOUR, MINUTE, SECOND, event

_TTL = 400 * DAY_MS

#: What comes out exactly however the events of two states interleave; money and decayed counts within rounding.
_COUNTED = (
    "version", "ring_at", "events", "first_time", "last_time", "type_counts", "type_times",
    "purchase_times", "channel_counts",
)  # fmt: skip
_ROUNDED = ("spend", "refunded", "decayed")
_WISHES = ("wish_items", "wish_prices", "wish_times")  # see tests/features/test_wishes.py
_FOLDED = [name for name in STATE.names or () if name not in ("memory", *_WISHES)]

_GAPS = st.sampled_from(
    [0, SECOND, 40 * SECOND, 10 * MINUTE, 30 * MINUTE, 31 * MINUTE, 5 * HOUR, 3 * DAY, 15 * DAY]
)
_WITHOUT_REMOVALS = [name for name in EVENT_TYPES if name != "remove_from_cart"]


@st.composite
def histories(draw: st.DrawFn, types: Sequence[str] = EVENT_TYPES, most: int = 25) -> list[Event]:
    """Return events in order of time."""
    events, time = [], 0
    for number in range(draw(st.integers(0, most))):
        time += draw(_GAPS)
        fields = {
            "item_id": draw(st.sampled_from([None, "i1", "i2", "i3"])),
            "price": draw(st.sampled_from([None, 2.5, 19.9])),
            "quantity": draw(st.sampled_from([None, 2])),
            "channel": draw(st.sampled_from([None, "web", "store"])),
        }
        events.append(event(number, time, draw(st.sampled_from(types)), **fields))
    return events


def of(events: Sequence[Event]) -> States:
    """Return the state of one customer who did all this."""
    states = empty(1)
    fold(states, np.zeros(len(events), np.int64), from_events(events, "EUR"), with_vectors=False)
    return states


def assert_same(found: States, wanted: States, names: Sequence[str]) -> None:
    for name in names:
        if name == "session_items":
            assert found[name].tolist() == wanted[name].tolist(), name
        elif np.issubdtype(found[name].dtype, np.floating):
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-9, atol=1e-9, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)


@settings(max_examples=300, deadline=None)
@given(histories(), st.data())
def test_sums_counts_and_latest_times_are_those_of_the_merged_log_however_events_interleave(
    events: list[Event], data: st.DataObject
) -> None:
    own = data.draw(st.lists(st.booleans(), min_size=len(events), max_size=len(events)))
    one = of([e for e, mine in zip(events, own, strict=True) if mine])
    two = of([e for e, mine in zip(events, own, strict=True) if not mine])
    assert_same(merge(one, two, _TTL), of(events), [*_COUNTED, *_ROUNDED, "recent_times", "item_at"])


@settings(max_examples=300, deadline=None)
@given(histories(_WITHOUT_REMOVALS), st.data())
def test_every_field_is_that_of_the_merged_log_where_one_history_lies_before_the_other(
    events: list[Event], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(events)))
    before, after = of(events[:cut]), of(events[cut:])
    # Nothing tells which of two events of the same millisecond came first.
    assume(cut in (0, len(events)) or before["last_time"][0] < after["first_time"][0])
    whole = of(events)
    goes_on = bool(after["sessions"][0] == 1 and before["events"][0] > 0)
    names = [name for name in _FOLDED if name != "log_gap" or not (goes_on and after["events"][0] > 4)]
    assert_same(merge(before, after, _TTL), whole, names)
    assert_same(merge(after, before, _TTL), whole, names)


@settings(max_examples=150, deadline=None)
@given(histories(), st.data())
def test_merging_is_commutative_and_associative_in_what_is_exact(
    events: list[Event], data: st.DataObject
) -> None:
    whose = data.draw(st.lists(st.integers(0, 2), min_size=len(events), max_size=len(events)))
    a, b, c = (of([e for e, one in zip(events, whose, strict=True) if one == k]) for k in range(3))
    names = [*_COUNTED, *_ROUNDED, "recent_times"]
    assert_same(merge(a, b, _TTL), merge(b, a, _TTL), names)
    assert_same(merge(merge(a, b, _TTL), c, _TTL), merge(a, merge(b, c, _TTL), _TTL), names)


def test_the_cart_keeps_what_was_added_after_the_purchase_whoever_bought() -> None:
    known = of([event(1, 0, "add_to_cart", price=5.0), event(4, 3 * MINUTE, "purchase", value=5.0)])
    anonymous = of(
        [event(2, MINUTE, "add_to_cart", price=7.0), event(5, 4 * MINUTE, "add_to_cart", price=11.0)]
    )
    assert merge(known, anonymous, _TTL)["cart_value"].tolist() == [11.0]


def test_sessions_that_overlap_or_follow_each_other_within_the_gap_are_one() -> None:
    known = of([event(1, 0), event(2, 20 * MINUTE)])
    near = merge(known, of([event(3, 10 * MINUTE), event(4, 45 * MINUTE)]), _TTL)
    assert (near["sessions"][0], near["session_events"][0]) == (2, 3), (
        "25 minutes after the known one's last event"
    )
    far = merge(known, of([event(3, 51 * MINUTE), event(4, 55 * MINUTE)]), _TTL)
    assert (far["sessions"][0], far["session_events"][0]) == (2, 2)
    inside = merge(known, of([event(3, 10 * MINUTE)]), _TTL)
    assert (inside["sessions"][0], inside["session_events"][0]) == (1, 3)


def test_a_state_that_was_silent_for_longer_than_states_live_is_left_out() -> None:
    old, new = of([event(1, 0, "purchase", value=9.0)]), of([event(2, 401 * DAY)])
    assert merge(old, new, _TTL)["spend"].tolist() == [0.0]
    assert merge(new, old, _TTL)["events"].tolist() == [1]


def test_a_merge_with_an_empty_state_changes_nothing() -> None:
    some = of([event(1, 0, "add_to_cart", price=5.0), event(2, SECOND)])
    assert merge(some, empty(1), _TTL).tobytes() == some.tobytes()
    assert merge(empty(1), some, _TTL).tobytes() == some.tobytes()


@pytest.mark.parametrize("known_first", [True, False])
def test_a_repetition_of_an_event_of_either_id_is_recognised_after_the_merge(known_first: bool) -> None:
    one, two = [event(1, 0)], [event(2, MINUTE)]
    merged = merge(of(one), of(two), _TTL) if known_first else merge(of(two), of(one), _TTL)
    again = from_events([*one, *two], "EUR")
    fold(merged, np.zeros(2, np.int64), again, with_vectors=False)
    assert merged["events"].tolist() == [2]

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.events import TYPE_CODES
from features.exceptions import UnreadableState
from features.sealing import sealed
from features.state import (
    CART_LIFE_MS,
    CART_LINES,
    EVENT_ID_RING,
    ITEM_RING,
    STATE,
    STATE_1,
    STATE_2,
    STATE_3,
    STATE_VERSION,
    STORED_BYTES,
    States,
    empty,
    from_bytes,
    layout_hash,
    read_states,
    to_bytes,
)
from tests.mutations import mutations

_KEPT = Path(__file__).parents[1] / "integration" / "kept" / "run.json.gz"
_ADD = TYPE_CODES["add_to_cart"]
_OLDER_SIZES = (STATE_2.itemsize, STATE_1.itemsize)


@pytest.fixture(scope="module")
def kept() -> list[bytes]:
    """The states that version 0.1.0 wrote."""
    with gzip.open(_KEPT) as file:
        stored = json.load(file)["after"]["states"]
    return [base64.b64decode(value) for value in stored.values()]


def of_version_2(count: int) -> np.ndarray:
    """Return states of version 2 with something in each field."""
    chance = np.random.default_rng(5)
    states = np.frombuffer(chance.bytes(count * STATE_2.itemsize), STATE_2).copy()
    states["version"], states["events"] = 2, np.arange(count) + 1
    states["ring_at"], states["item_at"], states["cart_lines"] = 3, 2, CART_LINES
    return states


def old(**fields: float) -> np.ndarray:
    state = np.zeros(1, STATE_1)
    state["version"], state["events"], state["last_time"] = 1, 3, 40 * CART_LIFE_MS
    for name, value in fields.items():
        state[name] = value
    return state


def test_kept_states_of_version_1_are_migrated(kept: list[bytes]) -> None:
    assert {len(value) for value in kept} == {STATE_1.itemsize} == {1104}
    before, after = np.frombuffer(b"".join(kept), STATE_1), from_bytes(kept)
    assert after.dtype == STATE
    assert (after["version"] == STATE_VERSION).all()
    for name in set(STATE_1.names or ()) - {"version", "reserved", "cart_value", "cart_quantity"}:
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    filled = after["cart_lines"] == 1
    assert 0 < filled.sum() < len(kept)
    np.testing.assert_array_equal(after["cart_value"][filled], before["cart_value"][filled])
    np.testing.assert_array_equal(after["cart_money"][:, 0], after["cart_value"])
    np.testing.assert_array_equal(after["cart_pieces"][:, 0], after["cart_quantity"])
    np.testing.assert_array_equal(after["cart_times"][filled, 0], before["type_times"][filled, _ADD])
    assert not after["cart_items"].any()


def test_states_of_both_versions_and_none_are_read_together(kept: list[bytes]) -> None:
    new = to_bytes(from_bytes(kept[1:2]))[0]
    found = from_bytes([kept[0], None, new, kept[2]])
    assert to_bytes(found) == [
        *to_bytes(from_bytes(kept[:1])),
        *to_bytes(empty(1)),
        new,
        *to_bytes(from_bytes(kept[2:3])),
    ]


@pytest.mark.parametrize(("age", "lines"), [(CART_LIFE_MS - 1, 1), (CART_LIFE_MS, 0)])
def test_a_cart_of_version_1_has_the_age_of_the_latest_add(age: int, lines: int) -> None:
    state = old(cart_value=12.5, cart_quantity=2)
    state["type_times"][0, _ADD] = state["last_time"][0] - age
    found = from_bytes([state.tobytes()])
    assert found["cart_lines"][0] == lines
    assert (found["cart_value"][0], found["cart_quantity"][0]) == (12.5 * lines, 2.0 * lines)


def test_what_is_neither_version_is_refused() -> None:
    wrong = old()
    wrong["version"] = 2
    second = of_version_2(1)
    second["version"] = 3
    newer = empty(1)
    newer["version"], newer["events"] = STATE_VERSION + 1, 1
    for value, text in (
        (b"x", "has 1 bytes"),
        (wrong.tobytes(), "has layout version 2 in the size of version 1"),
        (second.tobytes(), "has layout version 3 in the size of version 2"),
        (sealed(second.tobytes()), "has layout version 3 in the size of version 2"),
        (newer.tobytes(), "has 1752 bytes"),
        (to_bytes(newer)[0], "has layout version 5, this program reads 4, 3, 2 and 1"),
    ):
        with pytest.raises(UnreadableState, match=text) as refused:
            from_bytes([None, value, old().tobytes()])
        assert refused.value.at == 1


def test_states_of_version_2_are_read_with_and_without_a_seal_and_remember_nothing() -> None:
    before = of_version_2(3)
    raw = [state.tobytes() for state in before]
    assert {len(value) for value in raw} == {1360}
    today = to_bytes(from_bytes(raw[:1]))[0]
    assert len(today) == STORED_BYTES == STATE.itemsize + 8
    for forms in (raw, [sealed(value) for value in raw], [today, sealed(raw[1]), raw[2]]):
        found = from_bytes(forms)
        for name in set(STATE_2.names or ()) - {"version"}:
            np.testing.assert_array_equal(found[name], before[name], err_msg=name)
        assert (found["version"] == STATE_VERSION).all()
        assert not found["memory"].any()


def test_states_of_version_3_are_read_with_all_that_they_remember_and_have_no_wish_list() -> None:
    chance = np.random.default_rng(6)
    before = np.frombuffer(chance.bytes(3 * STATE_3.itemsize), STATE_3).copy()
    before["version"], before["events"] = 3, np.arange(3) + 1
    before["ring_at"], before["item_at"], before["cart_lines"] = 3, 2, CART_LINES
    stored = [sealed(state.tobytes()) for state in before]
    assert {len(value) for value in stored} == {1568}
    today = to_bytes(from_bytes(stored[:1]))[0]
    for values in (stored, [today, *stored[1:]]):
        found = from_bytes(values)
        for name in set(STATE_3.names or ()) - {"version"}:
            np.testing.assert_array_equal(found[name], before[name], err_msg=name)
        assert (found["version"] == STATE_VERSION).all()
        assert not any(found[name].any() for name in ("wish_items", "wish_prices", "wish_times"))
    _, faults = read_states([stored[0][:-1] + bytes([stored[0][-1] ^ 1]), stored[1]])
    assert list(faults) == [0]


def test_neither_what_is_remembered_nor_wish_lists_make_a_bundle_invalid() -> None:
    assert layout_hash() == "3af5f6b4d82ec613", "as it was before states had a memory"


def test_a_memory_is_stored_with_its_state() -> None:
    states = empty(2)
    states["version"], states["events"], states["memory"] = STATE_VERSION, 1, np.arange(200) % 7
    assert from_bytes(to_bytes(states)).tobytes() == states.tobytes()


@settings(max_examples=300)
def check_damage(
    read: Callable[[list[bytes]], tuple[States, dict[int, str]]],
    states: States,
    values: list[bytes],
    at: int,
    raw: bytes,
) -> None:
    """Check that one of three values that was changed is empty and named, and that the others are read."""
    found, faults = read([*values[:at], raw, *values[at + 1 :]])
    others = [other for other in range(3) if other != at]
    assert found[others].tobytes() == states[others].tobytes()
    assert faults.keys() <= {at}
    if raw == values[at]:
        assert (found.tobytes(), faults) == (states.tobytes(), {})
    elif len(raw) not in _OLDER_SIZES:  # nothing protects a state of the forms before the seal
        assert faults
        assert found[at].tobytes() == empty(1).tobytes()


@given(st.data())
def test_a_damaged_state_is_empty_and_named_and_its_neighbours_are_read(data: st.DataObject) -> None:
    states = empty(3)
    states["version"], states["events"], states["spend"] = STATE_VERSION, [1, 2, 7], [2.5, 3, 4]
    whole = to_bytes(states)
    at = data.draw(st.integers(0, 2))
    raw = data.draw(mutations(whole[at]))
    check_damage(read_states, states, whole, at, raw)


@pytest.mark.parametrize(
    ("field", "last"),
    [("ring_at", EVENT_ID_RING - 1), ("item_at", ITEM_RING - 1), ("cart_lines", CART_LINES)],
)
@pytest.mark.parametrize("events", [0, 3])
def test_a_state_that_points_beyond_itself_is_damaged_whatever_its_form(
    field: str, last: int, events: int
) -> None:
    for value, is_wrong in ((last, False), (last + 1, True), (65_535, True)):
        states = empty(1)
        states["version"], states["events"], states[field] = STATE_VERSION, events, value
        second = np.zeros(1, STATE_2)
        second["version"], second["events"], second[field] = 2, events, value
        forms = [to_bytes(states)[0], sealed(second.tobytes()), second.tobytes()]
        if field != "cart_lines":
            forms.append(old(**{field: value}).tobytes())
        for raw in forms:
            found, faults = read_states([raw])
            assert bool(faults) == is_wrong
            if is_wrong:
                assert found.tobytes() == empty(1).tobytes()

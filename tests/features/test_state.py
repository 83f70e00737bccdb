from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from features.events import TYPE_CODES
from features.exceptions import SchemaMismatch
from features.state import CART_LIFE_MS, STATE, STATE_1, STATE_VERSION, empty, from_bytes, to_bytes

_KEPT = Path(__file__).parents[1] / "integration" / "kept" / "run.json.gz"
_ADD = TYPE_CODES["add_to_cart"]


@pytest.fixture(scope="module")
def kept() -> list[bytes]:
    """The states that version 0.1.0 wrote."""
    with gzip.open(_KEPT) as file:
        stored = json.load(file)["after"]["states"]
    return [base64.b64decode(value) for value in stored.values()]


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
    assert found.tobytes() == b"".join(
        [*to_bytes(from_bytes(kept[:1])), bytes(STATE.itemsize), new, *to_bytes(from_bytes(kept[2:3]))]
    )


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
    newer = empty(1)
    newer["version"], newer["events"] = STATE_VERSION + 1, 1
    for value in (b"x", wrong.tobytes(), newer.tobytes()):
        with pytest.raises(SchemaMismatch, match="rebuild the states"):
            from_bytes([value])

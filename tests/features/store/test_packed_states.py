from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.exceptions import UnreadableState
from features.sealing import sealed
from features.state import (
    CART_LINES,
    EVENT_ID_RING,
    ITEM_RING,
    STATE,
    STATE_1,
    STATE_2,
    STATE_3,
    STATE_VERSION,
    States,
    empty,
    from_bytes,
    read_states,
    to_bytes,
)
from features.store.memory_store import MemoryStore
from features.store.packed_states import _pack, _unpack, from_packed, read_packed, to_packed
from tests.features.store.contract import claimed
from tests.features.test_state import check_damage
from tests.mutations import mutations

_HEAD_BYTES = 32


def states_of(
    seed: int, shares: Sequence[float], layout: np.dtype[np.void] = STATE, version: int = 4
) -> States:
    """Return states of random bytes, of whose words a share is not zero."""
    chance = np.random.default_rng(seed)
    words = np.frombuffer(chance.bytes(len(shares) * layout.itemsize), "<u8").reshape(
        len(shares), layout.itemsize // 8
    )
    kept = chance.random(words.shape) < np.array(shares, float)[:, None]
    states = np.where(kept, words, 0).astype("<u8").view(layout)[:, 0]
    states["version"], states["events"] = version, np.arange(len(shares)) + 1
    states["ring_at"], states["item_at"] = EVENT_ID_RING - 1, ITEM_RING - 1
    if "cart_lines" in (layout.names or ()):
        states["cart_lines"] = CART_LINES
    return states


@given(st.integers(0, 2**32), st.lists(st.sampled_from((0.0, 0.02, 0.3, 0.9, 1.0)), max_size=5))
def test_any_states_come_back_bit_for_bit(seed: int, shares: list[float]) -> None:
    states = states_of(seed, shares)
    values = to_packed(states)
    found, faults = read_packed(values)
    assert (found.tobytes(), faults) == (states.tobytes(), {})
    for value, state in zip(values, states, strict=True):
        words = np.count_nonzero(np.frombuffer(state.tobytes(), "<u8"))
        assert len(value) == _HEAD_BYTES + 8 * words + 8


@settings(max_examples=50)
@given(
    st.sampled_from([name for name in STATE.names or () if name not in {"ring_at", "item_at", "cart_lines"}]),
    st.sampled_from([np.nan, -0.0, -1, np.inf, 5e-324, 255, 1]),
)
def test_each_field_comes_back_whatever_is_in_it(name: str, value: float) -> None:
    states = empty(3)
    states["version"] = STATE_VERSION
    kind = STATE[name].base
    fits = kind.kind == "f" or (np.isfinite(value) and np.iinfo(kind).min <= value <= np.iinfo(kind).max)
    states[name][1] = value if fits else 7
    assert from_packed(to_packed(states)).tobytes() == states.tobytes()


def test_an_empty_state_takes_its_head_and_its_seal_and_nothing_is_one() -> None:
    assert list(map(len, to_packed(empty(2)))) == [_HEAD_BYTES + 8] * 2
    assert to_packed(empty(0)) == []
    assert len(from_packed([])) == 0
    assert from_packed([None, None]).tobytes() == empty(2).tobytes()


def test_states_that_lie_apart_in_memory_are_packed_like_their_copy() -> None:
    states = states_of(3, [0.3] * 6)
    assert to_packed(states[::-2]) == to_packed(states[::-2].copy()) == to_packed(states)[::-2]


def test_whatever_is_packed_and_read_nothing_is_compiled_for_it() -> None:
    from_packed(to_packed(empty(1)))
    known = [len(kernel.signatures) for kernel in (_pack, _unpack)]
    states = states_of(3, [0.3] * 6)
    for some in (states, states[:0], states[1:], states[::-2], np.frombuffer(states.tobytes(), STATE)):
        assert len(from_packed([*to_packed(some), None])) == len(some) + 1
    assert [len(kernel.signatures) for kernel in (_pack, _unpack)] == known


def test_former_forms_packed_states_and_none_are_read_together() -> None:
    shares = [0.2, 0.9]
    second, third = states_of(1, shares, STATE_2, 2), states_of(2, shares, STATE_3, 3)
    whole, today = to_bytes(states_of(4, shares)), to_packed(states_of(5, shares))
    former = [
        *(state.tobytes() for state in states_of(6, shares, STATE_1, 1)),
        *(state.tobytes() for state in second),
        *(sealed(state.tobytes()) for state in second),
        *(sealed(state.tobytes()) for state in third),
        *whole,
    ]
    alone, faults = read_packed(former)
    assert (alone.tobytes(), faults) == (from_bytes(former).tobytes(), {})
    values = [None, *former[:5], today[0], *former[5:], today[1], None]
    found, faults = read_packed(values)
    assert not faults
    wanted = [from_packed([value]).tobytes() for value in values]
    assert [state.tobytes() for state in found] == wanted
    assert len(set(wanted)) == len(former) - len(second) + len(today) + 1, "sealed and unsealed are the same"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6])
def test_with_any_bit_changed_a_packed_state_is_damaged_and_its_neighbours_are_read(share: float) -> None:
    states = states_of(8, [0.5, share, 0.1])
    before, raw, after = to_packed(states)
    changed = []
    for bit in range(8 * len(raw)):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        changed += [before, bytes(flipped), after]
    found, faults = read_packed(changed)
    assert list(faults) == list(range(1, len(changed), 3))
    assert not any(found[1::3].tobytes())
    for at, neighbour in ((0, states[0]), (2, states[2])):
        assert set(map(np.void.tobytes, found[at::3])) == {neighbour.tobytes()}


def test_a_packed_state_that_is_cut_or_longer_is_damaged() -> None:
    states = states_of(9, [0.4, 0.2])
    raw, beside = to_packed(states)
    wrong = [raw[:size] for size in range(len(raw))] + [raw + bytes(size) for size in range(1, 25)]
    found, faults = read_packed([part for one in wrong for part in (one, beside)])
    assert sorted(faults) == list(range(0, 2 * len(wrong), 2))
    assert set(map(np.void.tobytes, found[1::2])) == {states[1].tobytes()}


@pytest.mark.parametrize("added", [-3, -2, -1, 1, 2, 500])
def test_a_seal_that_fits_does_not_make_up_for_words_that_are_missing_or_too_many(added: int) -> None:
    states = states_of(10, [0.01, 0.4])
    raw, beside = to_packed(states)
    content = raw[:-8]
    wrong = sealed(content[: 8 * added] if added < 0 else content + bytes(8 * added))
    found, faults = read_packed([wrong, beside, wrong])
    assert faults == dict.fromkeys((0, 2), "is damaged: it has other words than its head tells")
    assert found.tobytes() == empty(1).tobytes() + states[1].tobytes() + empty(1).tobytes()


def test_a_head_that_tells_of_words_beyond_a_state_is_damaged_or_of_a_later_version() -> None:
    states = states_of(11, [0.4])
    [raw] = to_packed(states)
    head = int.from_bytes(raw[:8], "little")
    for place in range(16 + STATE.itemsize // 8 - 192, 64):
        more = (head | 1 << place).to_bytes(8, "little") + raw[8:-8] + bytes(8)
        assert read_packed([sealed(more)])[1] == {0: "is damaged: it has other words than its head tells"}
        later = more[:_HEAD_BYTES] + (STATE_VERSION + 1).to_bytes(2, "little") + more[_HEAD_BYTES + 2 :]
        assert read_packed([sealed(later)])[1] == {
            0: "has layout version 5, this program reads 4, 3, 2 and 1"
        }


@pytest.mark.parametrize("field", ["ring_at", "item_at", "cart_lines"])
def test_a_packed_state_that_points_beyond_itself_is_damaged(field: str) -> None:
    states = states_of(12, [0.4, 0.4])
    states[field][0] = 65_535
    found, faults = read_packed(to_packed(states))
    assert faults == {0: "is damaged: it points beyond its own rings and cart"}
    assert found.tobytes() == empty(1).tobytes() + states[1].tobytes()
    with pytest.raises(UnreadableState, match="points beyond") as refused:
        from_packed([None, *to_packed(states)])
    assert refused.value.at == 1


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_state_is_empty_and_named_and_its_neighbours_are_read(data: st.DataObject) -> None:
    states = states_of(13, data.draw(st.sampled_from(([0.0, 0.01, 0.0], [0.6, 0.75, 0.9]))))
    values = to_packed(states)
    at = data.draw(st.integers(0, 2))
    raw = data.draw(mutations(values[at]))
    check_damage(read_packed, states, values, at, raw)


@pytest.mark.parametrize("form", [STATE_1, STATE_2, STATE_3, STATE])
def test_programs_from_before_packing_refuse_a_packed_state_whatever_its_size(
    form: np.dtype[np.void],
) -> None:
    state = states_of(14, [0.0])
    words = np.frombuffer(state.tobytes(), "<u8").copy()
    for size in {form.itemsize, form.itemsize + 8}:
        wanted = (size - _HEAD_BYTES - 8) // 8
        words[2:wanted] = 1
        [raw] = to_packed(words.view(STATE))
        assert len(raw) == size
        _, faults = read_states([raw])
        assert faults[0].startswith(("has layout version 65535", f"has {size} bytes"))


def test_a_store_keeps_states_packed() -> None:
    store, rows = MemoryStore(), states_of(15, [0.1, 0.3])
    mine = claimed(store)
    store.save(3, mine, mine._replace(next_offset=1), ["ada", "grace"], rows)
    assert list(store._contents.states[3].values()) == to_packed(rows)

"""States as stores keep them: packed, without the words of eight bytes that are zero.

Most of a state is zeros: an empty cart, no wish list, types of events that never came. A stored state is its head, its
words that are not zero in their order, and the seal of both (`features.sealing`). The head is four words. The first two
bytes are a mark, and the rest has a bit for each word of a state: the last three words of the head for words 0 to 191,
and the first one, behind the mark, for the others.

No earlier form begins with the mark, since each begins with the version of its layout. Programs from before packing
take this for a state of version 65535, or of a wrong size, and refuse it.

Stores read earlier forms, too: see `features.state.read_states`. Hand-overs and files hold whole states.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_digest

from features.compiled import kernel
from features.exceptions import UnreadableState
from features.sealing import SEAL_BYTES, sealed
from features.state import (
    STATE,
    STATE_VERSION,
    UNSEALED,
    States,
    empty,
    faults_within,
    read_states,
    unknown_version,
)
from features.text_column import read_only

_MARK: Final = 0xFFFF
_MARK_BITS: Final = 16
_MARKED: Final = _MARK.to_bytes(2, "little")

_WORD: Final = np.dtype("<u8")
_BITS: Final = 64
_HEAD: Final = 4  # words
_WORDS: Final = STATE.itemsize // _WORD.itemsize

assert not STATE.itemsize % _WORD.itemsize, "a state is a whole number of words"
assert _WORDS <= _HEAD * _BITS - _MARK_BITS, "each word of a state has a bit in the head"

_ILL_FORMED: Final = "is damaged: it has other words than its head tells"


def to_packed(states: States) -> list[bytes]:
    """Return every state as a store keeps it.

    Examples
    --------
    >>> (value,) = to_packed(empty(1))
    >>> len(value), len(from_packed([value, None]))
    (40, 2)
    """
    words = read_only(np.ascontiguousarray(states).view(_WORD).reshape(len(states), _WORDS))
    room = np.empty(len(states) * (_HEAD + _WORDS) + 1, _WORD)
    ends = np.empty(len(states), np.int64)
    _pack(words, room, ends)
    last = int(ends[-1]) if len(ends) else 0
    raw, bounds = room[:last].tobytes(), (ends * _WORD.itemsize).tolist()
    return [sealed(raw[start:end]) for start, end in zip([0, *bounds], bounds, strict=False)]


def from_packed(values: Iterable[bytes | None]) -> States:
    """Return the states that a store's values hold, an empty state for each ``None``.

    Raises
    ------
    UnreadableState
        A value is no state; ``at`` says which.
    """
    states, faults = read_packed(values)
    for at, fault in faults.items():
        raise UnreadableState(f"a stored state {fault}", at)
    return states


def read_packed(values: Iterable[bytes | None]) -> tuple[States, dict[int, str]]:
    """Return the states that a store's values hold, and what is wrong with values, by position.

    An empty state stands for each ``None``, and for what cannot be read. What is not packed is of an earlier form, and
    read by `features.state.read_states`.
    """
    parts: Sequence[bytes] = [_BLANK if value is None else value for value in values]
    whole = [at for at, part in enumerate(parts) if part[:2] != _MARKED]
    if whole:
        return _of_all_forms(parts, whole)
    return _unpacked(parts)


def _of_all_forms(parts: Sequence[bytes], whole: Sequence[int]) -> tuple[States, dict[int, str]]:
    """Return states of which some are not packed, and what is wrong with them."""
    states, faults = empty(len(parts)), dict[int, str]()
    others = sorted({*range(len(parts))} - {*whole})
    for rows, read in ((whole, read_states), (others, _unpacked)):
        states[rows], wrong = read([parts[at] for at in rows])
        faults |= {rows[at]: fault for at, fault in wrong.items()}
    return states, faults


def _unpacked(parts: Sequence[bytes]) -> tuple[States, dict[int, str]]:
    """Return the states of parts that begin with the mark, and what is wrong with them."""
    states, faults = empty(len(parts)), dict[int, str]()
    if not parts:
        return states, faults
    sizes = np.fromiter(map(len, parts), np.int64, len(parts))
    if (sizes % _WORD.itemsize).any():
        faults |= dict.fromkeys(np.flatnonzero(sizes % _WORD.itemsize).tolist(), _ILL_FORMED)
        parts = [_BLANK if at in faults else part for at, part in enumerate(parts)]
        sizes[list(faults)] = len(_BLANK)
    words, ends = np.frombuffer(b"".join(parts), _WORD), np.cumsum(sizes // _WORD.itemsize)
    sound = np.empty(len(parts), np.bool_)
    _unpack(words, ends, states.view(_WORD).reshape(len(parts), _WORDS), sound)
    seals = b"".join([xxh3_64_digest(part[:-SEAL_BYTES]) for part in parts])
    if seals != words[ends - 1].tobytes():
        unsealed = np.flatnonzero(np.frombuffer(seals, _WORD) != words[ends - 1])
        faults |= dict.fromkeys(unsealed.tolist(), UNSEALED)
    for at in np.flatnonzero(~sound).tolist():
        version = int.from_bytes(parts[at][_HEAD * _WORD.itemsize : -SEAL_BYTES][:2], "little")
        later = STATE_VERSION < version < _MARK  # one of a later version may have more words
        faults.setdefault(at, unknown_version(version) if later else _ILL_FORMED)
    return states, faults_within(states, faults)


@kernel
def _pack(
    words: NDArray[np.uint64], room: NDArray[np.uint64], ends: NDArray[np.int64]
) -> None:  # pragma: no cover
    """Write head and words of each state into the room, one after the other; the room is one word larger than all."""
    at = 0
    for row in range(len(words)):
        head = at
        at += _HEAD
        for group in range(_HEAD):
            bits, first = np.uint64(0), group * _BITS
            for place in range(min(_BITS, _WORDS - first)):
                word = words[row, first + place]
                room[at] = word  # the next one takes the place of a zero
                there = word != np.uint64(0)
                bits |= np.uint64(there) << np.uint64(place)
                at += there
            if group == _HEAD - 1:
                room[head] = bits << np.uint64(_MARK_BITS) | np.uint64(_MARK)
            else:
                room[head + 1 + group] = bits
        ends[row] = at


@kernel
def _unpack(
    words: NDArray[np.uint64], ends: NDArray[np.int64], states: NDArray[np.uint64], sound: NDArray[np.bool_]
) -> None:  # pragma: no cover
    """Fill the states that have as many words as their heads tell, say which they are, and leave the others alone."""
    start = np.int64(0)
    for row in range(len(ends)):
        end = ends[row]
        sound[row] = _fits(words, start, end)
        if sound[row]:
            at = start + _HEAD
            for group in range(_HEAD):
                bits, first = _bits_of(words, start, group), group * _BITS
                for place in range(min(_BITS, _WORDS - first)):
                    there = bits >> np.uint64(place) & np.uint64(1)
                    states[row, first + place] = words[at] * there  # behind the last word is the seal
                    at += np.int64(there)
        start = end


@kernel
def _fits(words: NDArray[np.uint64], start: np.int64, end: np.int64) -> Any:  # pragma: no cover
    """Whether a packed state is as long as its head tells, and has no word that a state has not."""
    if end - start <= _HEAD:
        return False
    count = 0
    for group in range(_HEAD):
        bits = _bits_of(words, start, group)
        known = _WORDS - group * _BITS
        if known < _BITS and bits >> np.uint64(known):
            return False
        while bits:
            bits &= bits - np.uint64(1)
            count += 1
    return end - start == _HEAD + count + 1


@kernel
def _bits_of(words: NDArray[np.uint64], start: np.int64, group: int) -> Any:  # pragma: no cover
    """Return which of 64 words a packed state has."""
    if group == _HEAD - 1:
        return words[start] >> np.uint64(_MARK_BITS)
    return words[start + 1 + group]


#: An empty state as it would be stored.
_BLANK: Final = sealed(_MARK.to_bytes(_WORD.itemsize, "little") + bytes((_HEAD - 1) * _WORD.itemsize))

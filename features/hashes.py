"""Hashes of all ids of a column at once: xxh3 of their UTF-8 bytes, the same that `xxhash` gives for one.

Python would make a string, bytes and a number of every id. The kernel reads the bytes where Arrow has them, and does
what xxh3 does up to 128 bytes; longer ids are rare, and left to `xxhash`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from features.compiled import inlined, kernel

_LONGEST: Final = 128

# What xxh3 mixes its input with where no secret is given.
_SECRET: Final = np.frombuffer(
    bytes.fromhex(
        "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
        "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
        "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
        "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    ),
    np.uint64,
)


def hashes_of(texts: pa.Array | pa.ChunkedArray) -> NDArray[np.uint64]:
    """Return xxh3 of every text, 0 for an empty one and for a null.

    Examples
    --------
    >>> hashes_of(pa.array(["c1", None])).tolist() == [xxh3_64_intdigest(b"c1"), 0]
    True
    """
    chunks = texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]
    hashed = [_hashed(pc.fill_null(chunk.cast(pa.string()), "")) for chunk in chunks]
    return hashed[0] if len(hashed) == 1 else np.concatenate([np.zeros(0, np.uint64), *hashed])


def _hashed(texts: pa.Array) -> NDArray[np.uint64]:
    _, offsets, data = texts.buffers()
    hashes = np.zeros(len(texts), np.uint64)
    if not len(texts) or data is None:
        return hashes
    bounds = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    if _hash_all(np.frombuffer(data, np.uint8), bounds, hashes):
        for row in np.flatnonzero(np.diff(bounds) > _LONGEST).tolist():
            hashes[row] = xxh3_64_intdigest(texts[row].as_py().encode())
    return hashes


@kernel
def _hash_all(
    data: NDArray[np.uint8], bounds: NDArray[np.int32], hashes: NDArray[np.uint64]
) -> bool:  # pragma: no cover
    """Hash what is short enough, and say whether something is not."""
    longer = False
    for i in range(len(hashes)):
        length = bounds[i + 1] - bounds[i]
        if length > _LONGEST:
            longer = True
        elif length > 0:
            hashes[i] = hash_bytes(data, np.uint64(bounds[i]), np.uint64(length))
    return longer


@kernel
def hash_bytes(data: NDArray[np.uint8], at: np.uint64, length: np.uint64) -> Any:  # pragma: no cover
    """Return xxh3 of 1 to 128 bytes; for kernels."""
    end = at + length
    if length > np.uint64(16):
        mixed = length * np.uint64(0x9E3779B185EBCA87)
        for pair in range(np.int64(length - np.uint64(1)) // 32 + 1):  # from both ends, two words of each
            step, word = np.uint64(16 * pair), 4 * pair
            mixed += _folded(
                _word(data, at + step) ^ _SECRET[word],
                _word(data, at + step + np.uint64(8)) ^ _SECRET[word + 1],
            )
            mixed += _folded(
                _word(data, end - step - np.uint64(16)) ^ _SECRET[word + 2],
                _word(data, end - step - np.uint64(8)) ^ _SECRET[word + 3],
            )
        return _spread(mixed)
    if length > np.uint64(8):
        low = _word(data, at) ^ _SECRET[3] ^ _SECRET[4]
        high = _word(data, end - np.uint64(8)) ^ _SECRET[5] ^ _SECRET[6]
        return _spread(length + _reversed(low) + high + _folded(low, high))
    if length > np.uint64(3):
        both = _half(data, end - np.uint64(4)) + (_half(data, at) << np.uint64(32))
        mixed = both ^ _SECRET[1] ^ _SECRET[2]
        mixed ^= (mixed << np.uint64(49) | mixed >> np.uint64(15)) ^ (
            mixed << np.uint64(24) | mixed >> np.uint64(40)
        )
        mixed *= np.uint64(0x9FB21C651E98DF25)
        mixed ^= (mixed >> np.uint64(35)) + length
        mixed *= np.uint64(0x9FB21C651E98DF25)
        return mixed ^ mixed >> np.uint64(28)
    mixed = (
        np.uint64(data[at]) << np.uint64(16)
        | np.uint64(data[at + (length >> np.uint64(1))]) << np.uint64(24)
        | np.uint64(data[end - np.uint64(1)])
        | length << np.uint64(8)
    )
    mixed ^= (_SECRET[0] & np.uint64(0xFFFFFFFF)) ^ _SECRET[0] >> np.uint64(32)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xC2B2AE3D27D4EB4F)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0x165667B19E3779F9)
    return mixed ^ mixed >> np.uint64(32)


@inlined
def same_bytes(
    data: NDArray[np.uint8], at: int, length: int, other: NDArray[np.uint8], other_at: int
) -> bool:  # pragma: no cover
    """Whether so many bytes are the same in both; for kernels."""
    one, two = np.uint64(at), np.uint64(other_at)
    for k in range(np.uint64(length)):  # noqa: SIM110
        if data[one + k] != other[two + k]:
            return False
    return True


@kernel
def _spread(mixed: np.uint64) -> Any:  # pragma: no cover
    mixed ^= mixed >> np.uint64(37)
    mixed *= np.uint64(0x165667919E3779F9)
    return mixed ^ mixed >> np.uint64(32)


@kernel
def _folded(one: np.uint64, other: np.uint64) -> Any:  # pragma: no cover
    """Return the upper half of a product of 128 bits, xor its lower half."""
    mask, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    low = (one & mask) * (other & mask)
    cross = (one >> half) * (other & mask) + (low >> half)
    rest = (one & mask) * (other >> half) + (cross & mask)
    return ((one >> half) * (other >> half) + (cross >> half) + (rest >> half)) ^ (one * other)


@kernel
def _reversed(word: np.uint64) -> Any:  # pragma: no cover
    """Return a word with its bytes in reverse."""
    found = np.uint64(0)
    for _ in range(8):
        found = found << np.uint64(8) | word & np.uint64(0xFF)
        word >>= np.uint64(8)
    return found


@kernel
def _word(data: NDArray[np.uint8], at: np.uint64) -> Any:  # pragma: no cover
    return _half(data, at) | _half(data, at + np.uint64(4)) << np.uint64(32)


@kernel
def _half(data: NDArray[np.uint8], at: np.uint64) -> Any:  # pragma: no cover
    return (
        np.uint64(data[at])
        | np.uint64(data[at + np.uint64(1)]) << np.uint64(8)
        | np.uint64(data[at + np.uint64(2)]) << np.uint64(16)
        | np.uint64(data[at + np.uint64(3)]) << np.uint64(24)
    )

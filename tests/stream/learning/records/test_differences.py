"""Vectors as what differs from the row before: equal to the bit again, whatever they hold."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from features.vector import WIDTH, Vectors
from stream.learning.records.differences import count_of, differences, whole

# Few bit patterns, so that rows are alike: both zeros, one, two NaNs, and the least number.
PATTERNS = st.sampled_from((0, 0x8000_0000, 0x3F80_0000, 0x7FC0_0000, 0x7FC0_0001, 1))
records = st.lists(
    arrays.arrays(np.uint32, st.tuples(st.just(3), st.just(WIDTH)), elements=PATTERNS), min_size=1, max_size=3
)


def by_numpy(bits: np.ndarray) -> tuple[bytes, bytes]:
    """Return what the kernel is to make of a record."""
    differs = bits != np.vstack([np.zeros((1, WIDTH), np.uint32), bits[:-1]])
    return np.packbits(differs, axis=1, bitorder="little").tobytes(), bits[differs].tobytes()


@given(records)
def test_vectors_of_several_records_come_back_to_the_bit(found: list[np.ndarray]) -> None:
    made = [differences(bits.view(np.float32)) for bits in found]
    for bits, (differs, values) in zip(found, made, strict=True):
        assert (differs.tobytes(), values.tobytes()) == by_numpy(bits)
        assert count_of(differs) == len(values)
    back = whole(np.vstack([one for one, _ in made]), np.concatenate([two for _, two in made]), 3)
    assert back.tobytes() == b"".join(bits.tobytes() for bits in found)


def test_rows_that_are_alike_take_little() -> None:
    vectors: Vectors = np.ones((100, WIDTH), np.float32)
    differs, values = differences(vectors)
    assert (differs[1:].any(), len(values)) == (False, WIDTH)
    assert whole(differs, values, 100).tobytes() == vectors.tobytes()


def test_columns_that_do_not_lie_together_are_taken_too() -> None:
    vectors = np.asfortranarray(np.random.default_rng(3).random((5, WIDTH)).astype(np.float32))
    assert whole(*differences(vectors), 5).tobytes() == np.ascontiguousarray(vectors).tobytes()

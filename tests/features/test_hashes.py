from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from features.hashes import hashes_of


def _one_by_one(texts: list[str | None]) -> list[int]:
    return [xxh3_64_intdigest(text.encode()) if text else 0 for text in texts]


@pytest.mark.parametrize("alphabet", ["a", "-7b", "ü€", "🙂x"])
def test_texts_of_every_length_have_the_hash_of_xxhash(alphabet: str) -> None:
    texts = [(alphabet * 200)[start : start + length] for length in range(300) for start in (0, 1)]
    assert hashes_of(pa.array(texts)).tolist() == _one_by_one(texts)


@given(st.lists(st.none() | st.text(max_size=150), max_size=20), st.integers(0, 5), st.integers(0, 20))
def test_parts_and_chunks_have_the_hashes_of_xxhash(texts: list[str | None], start: int, length: int) -> None:
    part = pa.array(texts, pa.string()).slice(start, length)
    expected = _one_by_one(texts[start : start + length])
    assert hashes_of(part).tolist() == expected
    assert hashes_of(pa.chunked_array([part, part], pa.string())).tolist() == expected * 2


def test_a_column_without_texts_has_zeros() -> None:
    assert hashes_of(pa.nulls(3, pa.string())).tolist() == [0, 0, 0]
    assert hashes_of(pa.chunked_array([], pa.string())).dtype == np.uint64

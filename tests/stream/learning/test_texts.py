"""Texts of records are the same bytes whether they come as strings or as columns."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features.text_column import TextColumn
from stream.learning.records.texts import lengths_of, texts_from_bytes, texts_to_bytes


@given(st.lists(st.text(max_size=12), min_size=1, max_size=20))
def test_a_column_becomes_the_bytes_of_its_strings(texts: list[str]) -> None:
    rows = np.arange(len(texts))[::-1]
    column, listed = TextColumn.of(texts).take(rows), texts[::-1]
    assert lengths_of(column).tolist() == lengths_of(listed).tolist() == list(map(len, listed))
    raw = texts_to_bytes(
        np.concatenate([lengths_of(column), lengths_of(texts)]), column, TextColumn.of(texts)
    )
    assert raw == texts_to_bytes(np.concatenate([lengths_of(listed), lengths_of(texts)]), listed, texts)
    assert texts_from_bytes(memoryview(raw), 2 * len(texts)) == [*listed, *texts]

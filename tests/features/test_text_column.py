"""A column of texts is the list of these texts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.text_column import TextColumn

TEXTS = st.lists(st.text(max_size=20), max_size=20)


@given(TEXTS, st.data())
def test_is_the_list_of_its_texts(texts: list[str], data: st.DataObject) -> None:
    column = TextColumn.of(texts)
    assert list(column) == texts == [column[at] for at in range(len(column))]
    rows = data.draw(st.lists(st.sampled_from(range(len(texts))), max_size=9)) if texts else []
    assert list(column.take(np.array(rows, np.intp))) == [texts[row] for row in rows]
    part = data.draw(st.slices(len(texts)))
    assert list(column[part]) == texts[part]


def test_ends() -> None:
    with pytest.raises(IndexError):
        TextColumn.of(["ada"])[1]

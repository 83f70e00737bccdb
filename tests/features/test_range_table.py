"""Ranges of several rules in one pass: what each of them says alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.range_table import MAX_RULES, RangeTable
from features.ranges import Range
from features.vector import COLUMN_NAMES, WIDTH

NUMBERS = (0.0, 0.1, 0.5, 1.0, 3.0, 16_777_217.0, 1e300, math.inf)
VALUES = st.sampled_from((*NUMBERS[:-2], math.nan, -1.0, 0.3))
RANGES = st.builds(
    Range, st.sampled_from((-math.inf, *NUMBERS)), st.sampled_from(NUMBERS), st.booleans(), st.booleans()
)
NAMES = (*COLUMN_NAMES[:3], "intent")
RULES = st.lists(st.dictionaries(st.sampled_from(NAMES), RANGES, max_size=3), max_size=6)


@given(rules=RULES, rows=st.lists(st.tuples(*[VALUES] * 4), max_size=4))
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_a_table_says_what_each_range_says_alone(
    rules: list[dict[str, Range]], rows: list[tuple[float, ...]]
) -> None:
    vectors = np.zeros((len(rows), WIDTH), np.float32)
    values = np.array(rows, np.float64).reshape(-1, 4)
    vectors[:, :3] = values[:, :3]
    held = RangeTable.of(rules, "intent").held(vectors, values[:, 3].copy())
    for at, ranges in enumerate(rules):
        wanted = np.ones(len(rows), np.bool_)
        for name, found in ranges.items():
            column = values[:, 3] if name == "intent" else vectors[:, COLUMN_NAMES.index(name)]
            wanted &= found.holds(column)
        assert (held >> at & 1).astype(np.bool_).tolist() == wanted.tolist()
    assert not (held >> len(rules)).any()


def test_more_rules_than_a_number_has_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="63 rules are too many"):
        RangeTable.of([{}] * (MAX_RULES + 1))

"""The reference distribution of columns."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from features.exceptions import BundleError
from features.reference import ColumnReference, Reference
from features.vector import COLUMN_NAMES, WIDTH


def reference() -> Reference:
    chance = np.random.default_rng(1)
    vectors = np.zeros((1_000, WIDTH), np.float32)
    vectors[:, 0] = chance.normal(size=1_000)
    vectors[:, 1] = chance.random(1_000) < 0.25
    return Reference.of(vectors)


def test_shares_of_every_column_sum_to_one() -> None:
    for column in reference().columns.values():
        assert sum(column.shares) == pytest.approx(1.0)
        assert column.edges == sorted(set(column.edges))


def test_a_continuous_column_has_ten_bins_of_equal_share() -> None:
    assert reference().columns[COLUMN_NAMES[0]].shares == pytest.approx([0.1] * 10, abs=0.002)


def test_a_frequent_value_is_a_bin_of_its_own() -> None:
    flag = reference().columns[COLUMN_NAMES[1]]
    assert flag.edges == [0.0, 1.0]
    assert flag.shares[0] == pytest.approx(0.75, abs=0.05)


def test_it_survives_json_exactly() -> None:
    made = reference()
    assert msgspec.json.decode(msgspec.json.encode(made), type=Reference) == made


def test_a_damaged_reference_is_refused() -> None:
    with pytest.raises(BundleError, match="damaged"):
        Reference({COLUMN_NAMES[0]: ColumnReference([1.0], [1.0])})
    with pytest.raises(BundleError, match="damaged"):
        Reference({"no_such_column": ColumnReference([1.0], [0.5, 0.5])})

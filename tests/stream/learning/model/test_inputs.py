"""Rows of inputs: each is what the words say of its example, and of that alone, to the bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from features.vector import COLUMNS, SEGMENT_AT, WIDTH
from stream.learning.model.inputs import KNOTS, LOGIT_INPUTS, Inputs
from tests.bundles import random_bundle

ROWS = 1_000
ODD = (math.nan, math.inf, -math.inf, -0.0, -5.0, 1e-30, 3e12, 1e38)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return Inputs(random_bundle(tmp_path_factory.mktemp("bundle")))


@pytest.fixture(scope="module")
def examples() -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.int64]]:
    rng = np.random.default_rng(5)
    vectors = rng.lognormal(0, 4, (ROWS, WIDTH)) * rng.choice([-1, 0, 1, 1, 1], (ROWS, WIDTH))
    odd = rng.random((ROWS, WIDTH)) < 0.1
    vectors[odd] = rng.choice(ODD, odd.sum())
    logits = rng.normal(0, 8, ROWS)
    logits[::50] = math.nan
    return vectors.astype(np.float32), logits, rng.integers(0, 9, ROWS)


def test_a_row_has_the_same_inputs_in_every_batch(
    inputs: Inputs, examples: tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.int64]]
) -> None:
    whole = inputs.rows(*examples)
    for count in (1, 2, 7, 8, 255, 256, 257, 600):
        for start in (0, 3, ROWS - count):
            part = slice(start, start + count)
            np.testing.assert_array_equal(inputs.rows(*(own[part] for own in examples)), whole[part])


def test_inputs_are_bounded_and_on_their_scale(
    inputs: Inputs, examples: tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.int64]]
) -> None:
    vectors, logits, segments = examples
    found = inputs.rows(vectors, logits, segments)
    assert found.shape == (ROWS, len(inputs.names))
    known = ~np.isnan(logits)
    for k, knot in enumerate(KNOTS):
        np.testing.assert_array_equal(found[:, 1 + k], np.maximum(found[:, 0] - knot, 0.0))
    assert known.any() and (np.abs(found[:, 0]) <= 15.0).all()
    assert set(found[~known, 0]) == {-3.0}
    for at, column in enumerate(COLUMNS):
        if at == SEGMENT_AT:
            continue
        own = [_input(float(value), on_log_scale=column.transform == "log") for value in vectors[:, at]]
        np.testing.assert_allclose(found[:, len(LOGIT_INPUTS) + at], own, rtol=1e-14, err_msg=column.name)
    count = sum(name.startswith("segment_") for name in inputs.names)
    np.testing.assert_array_equal(found[:, -count:], segments[:, None] == np.arange(count))


def _input(value: float, *, on_log_scale: bool) -> float:
    """Return a column's input, in plain words."""
    if math.isnan(value):
        return math.nan
    if on_log_scale:
        return math.log(1.0 + min(value, 1e12)) if value > 0 else 0.0
    return min(max(value, -100.0), 100.0)

"""A bundle gives a row the same logit whatever comes with it: scores are repeated to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.bundle import Bundle
from features.vector import WIDTH
from tests.bundles import save_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder: Path = tmp_path_factory.mktemp("bundle")
    save_bundle(folder)
    return Bundle.load(folder)


@pytest.mark.parametrize("rows", [1, 2, 3, 15, 16, 17, 64, 65, 127, 128, 129, 145, 1023, 1024, 1025, 1100])
def test_a_row_has_the_same_logit_in_every_batch(bundle: Bundle, rows: int) -> None:
    vectors = np.random.default_rng(rows).normal(size=(1200, WIDTH)).astype(np.float32)
    whole = bundle.logits(vectors)
    assert len(np.unique(whole)) > 1100
    for start in (0, 7, 1200 - rows):
        np.testing.assert_array_equal(
            bundle.logits(vectors[start : start + rows]), whole[start : start + rows]
        )

"""What the agreement of reasons with Shapley values is measured by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.reasons import GROUPS
from tests.bundles import random_bundle

pytest.importorskip("shap", reason="shap is in the extra lab")

_EXACT = 2**16


def test_shapley_values_add_up_to_the_difference_of_the_log_odds(tmp_path: Path) -> None:
    from benchmarks.shapley import shapley_values

    bundle = random_bundle(tmp_path)
    assert bundle.explainer is not None
    reference = bundle.explainer.reference
    vector = reference.row[0].copy()
    vector[[0, 8, 30, 50, -1]] = [60.0, 7.0, 2.5, 12.0, (reference.segment + 1) % 4]
    values, exact = shapley_values(bundle, vector, _EXACT)
    log_odds = bundle.calibration.log_odds(bundle.logits(vector[None]))[0]
    assert exact
    assert values.shape == (len(GROUPS),)
    assert 0 < np.count_nonzero(values) <= 5
    assert values.sum() == pytest.approx(log_odds - reference.log_odds, abs=1e-4)
    assert abs(log_odds - reference.log_odds) > 1e-3


def test_agreement_is_of_ranks_and_of_the_strongest_reason() -> None:
    from benchmarks.shapley import agreement

    effects = np.random.default_rng(0).normal(size=(40, len(GROUPS)))
    same = agreement(effects, effects * 2.0)
    assert (same.median, same.first, same.among) == (pytest.approx(1), 1.0, 1.0)
    assert same.error > 0.1
    other = agreement(effects, -effects)
    assert other.median == pytest.approx(-1)
    assert other.first == 1.0
    shuffled = agreement(effects, np.random.default_rng(1).permuted(effects, axis=1))
    assert abs(shuffled.median) < 0.2
    assert shuffled.first < 0.3

"""Measures, thresholds and tests against scikit-learn and against what can be computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from statsmodels.stats.multitest import multipletests

from offline.corrections import holm
from offline.lab.figures import (
    corrected_t_test,
    decisions,
    f1_threshold,
    figures,
    over_folds,
)
from tests.offline.lab.paired import bootstrap_test


def drawn(rows: int = 2000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 4, rows)
    return rng.random(rows) < p, p


def test_measures_equal_those_of_scikit_learn() -> None:
    target, p = drawn()
    found = figures(target, p)
    flagged = p >= found["threshold"]
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(target, p))
    assert found["pr_auc"] == pytest.approx(metrics.average_precision_score(target, p))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(target, p))
    assert found["brier"] == pytest.approx(metrics.brier_score_loss(target, p))
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(target, p > 0.5))
    assert found["precision"] == pytest.approx(metrics.precision_score(target, flagged))
    assert found["recall"] == pytest.approx(metrics.recall_score(target, flagged))
    assert found["f1"] == pytest.approx(metrics.f1_score(target, flagged))


def test_the_threshold_is_near_the_best_one_if_probabilities_are_honest() -> None:
    target, p = drawn(20_000)
    best = max(decisions(target, p, threshold)[3] for threshold in np.linspace(0.05, 0.95, 91))
    assert decisions(target, p, f1_threshold(p))[3] > best - 0.01


def test_the_threshold_ignores_labels() -> None:
    target, p = drawn()
    assert figures(target, p)["threshold"] == figures(~target, p)["threshold"]


def test_intervals_hold_the_value() -> None:
    target, p = drawn()
    found = figures(target, p, replicates=100)
    for name in ("auc", "pr_auc", "log_loss", "brier", "accuracy", "precision", "recall", "f1"):
        low, high = found["ci"][name]
        assert low < found[name] < high


def test_intervals_are_wider_where_rows_of_a_customer_repeat_each_other() -> None:
    target, p = drawn(400)
    five, customers = np.repeat(target, 5), np.repeat(np.arange(400), 5)
    as_rows = figures(five, np.repeat(p, 5), replicates=100)
    as_customers = figures(five, np.repeat(p, 5), customers, replicates=100)
    assert np.ptp(as_customers["ci"]["auc"]) > 1.5 * np.ptp(as_rows["ci"]["auc"])
    assert np.ptp(as_customers["ci"]["recall"]) > 1.5 * np.ptp(as_rows["ci"]["recall"])


def test_the_interval_over_folds_grows_by_the_shared_training_rows() -> None:
    values = [0.90, 0.91, 0.92, 0.93, 0.94]
    plain, corrected = over_folds(values, 0.0), over_folds(values, 0.25)
    ratio = (corrected.high - corrected.low) / (plain.high - plain.low)
    assert ratio == pytest.approx(np.sqrt((1 / 5 + 0.25) / (1 / 5)))
    assert corrected.value == pytest.approx(0.92)


def test_the_corrected_t_test_finds_a_steady_lead_and_no_random_one() -> None:
    rng = np.random.default_rng(1)
    base = 0.9 + 0.01 * rng.normal(size=10)
    steady = corrected_t_test(list(base + 0.01 + 0.001 * rng.normal(size=10)), list(base), 3 / 7)
    random = corrected_t_test(list(base + 0.01 * rng.normal(size=10)), list(base), 3 / 7)
    assert steady.p < 0.01 and steady.low > 0
    assert random.p > 0.05 and random.low < 0 < random.high


def test_the_same_predictions_do_not_differ() -> None:
    target, p = drawn(500)
    found = bootstrap_test(target, p, p, replicates=50)
    assert found["auc"].value == 0 and found["auc"].p == 1.0


def test_the_bootstrap_finds_a_clear_lead() -> None:
    target, p = drawn(2000)
    worse = np.clip(p + 0.2 * np.random.default_rng(2).normal(size=len(p)), 0.01, 0.99)
    found = bootstrap_test(target, p, worse, np.arange(len(p)) // 3, replicates=100)
    assert found["auc"].low > 0 and found["auc"].p < 0.05
    assert found["log_loss"].high < 0


@settings(max_examples=15)
@given(st.lists(st.floats(0, 1), max_size=8))
def test_the_correction_is_that_of_statsmodels(p_values: list[float]) -> None:
    other = multipletests(p_values, method="holm")[1] if p_values else []
    np.testing.assert_allclose(holm(p_values), other)


def test_many_comparisons_make_a_small_p_less_surprising() -> None:
    assert holm([0.02]) == [0.02]
    assert holm([0.04, 0.01, 0.5]) == pytest.approx([0.08, 0.03, 0.5])
    assert holm([0.6, 0.9]) == [1.0, 1.0]

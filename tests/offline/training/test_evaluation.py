"""Measures agree with scikit-learn; intervals come from customers; calibration is honest."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from features.vector import COLUMN_NAMES, NEVER_S, WIDTH
from offline.training.baselines import fit_lightgbm, fit_logistic, rule_scores
from offline.training.calibration import band_thresholds, platt
from offline.training.evaluation import MEASURES, measure, measure_exact
from offline.training.scaling import CLIP, Scaling

Data = tuple[NDArray[np.int8], NDArray[np.float64], NDArray[np.int64]]


@pytest.fixture
def data(seed: int) -> Data:
    """Labels, probabilities with ties, and customers."""
    rng = np.random.default_rng(seed)
    p = np.round(rng.beta(1, 8, 3_000), 2).clip(0.01, 0.99)
    return (rng.random(3_000) < p).astype(np.int8), p, rng.integers(200, size=3_000)


def test_measures_agree_with_scikit_learn(data: Data) -> None:
    labels, p, customers = data
    found = measure(labels, p, customers, replicates=20)
    assert found["auc"] == pytest.approx(roc_auc_score(labels, p), abs=1e-12)
    assert found["pr_auc"] == pytest.approx(average_precision_score(labels, p), abs=1e-12)
    assert found["log_loss"] == pytest.approx(log_loss(labels, p), abs=1e-12)
    assert found["brier"] == pytest.approx(brier_score_loss(labels, p), abs=1e-12)
    assert found["prevalence"] == labels.mean()
    assert (found["examples"], found["customers"]) == (3_000, len(np.unique(customers)))


def test_ece_is_the_mean_gap_over_bins_of_equal_mass(data: Data) -> None:
    labels, some, customers = data
    p = (np.argsort(np.argsort(some)) + 0.5) / len(some)  # no two are equal
    order = np.argsort(-p, kind="stable")
    gaps = [abs((p[rows] - labels[rows]).sum()) for rows in np.split(order, 15)]
    found = measure(labels, p, customers, replicates=5)
    assert found["ece"] == pytest.approx(sum(gaps) / len(p), abs=1e-12)


def test_a_constant_prediction_at_the_prevalence_is_calibrated_whatever_the_order_of_rows(data: Data) -> None:
    labels, _, customers = data
    constant = np.full(len(labels), labels.mean())
    in_order = np.sort(labels)
    assert measure(in_order, constant, customers, replicates=5)["ece"] == pytest.approx(0, abs=1e-12)


def test_intervals_hold_the_measure_and_are_wider_for_few_customers(data: Data) -> None:
    labels, p, customers = data
    many = measure(labels, p, np.arange(len(p)))["ci"]["auc"]
    few = measure(labels, p, np.argsort(np.argsort(labels * 10 + p)) // 100)["ci"]["auc"]
    assert few[1] - few[0] > many[1] - many[0]
    found = measure(labels, p, customers)
    for name in ("auc", "pr_auc", "log_loss", "brier"):
        low, high = found["ci"][name]
        assert low < found[name] < high
    assert set(found["ci"]) == set(MEASURES)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """The coverage of 100 intervals of 95% for the Brier score, over fresh samples of clustered events."""
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(100):
        level = np.repeat(rng.beta(2, 6, 150), 6)  # events of one customer share their probability
        labels = (rng.random(150) < level[::6]).repeat(6).astype(np.int8)  # and their outcome
        low, high = measure(labels, level, np.repeat(np.arange(150), 6), replicates=100)["ci"]["brier"]
        truth = (2 / 8) * (6 / 8) * 8 / 9  # E p(1 - p) for beta(2, 6)
        hits += low <= truth <= high
    assert 85 <= hits <= 100


def test_one_class_leaves_rankings_unknown() -> None:
    found = measure(np.zeros(50, np.int8), np.full(50, 0.1), np.arange(50), replicates=5)
    assert (found["auc"], found["pr_auc"], found["ci"]["auc"]) == (None, None, None)
    assert found["log_loss"] == pytest.approx(-np.log(0.9))


def test_the_exact_probability_has_all_of_the_share() -> None:
    p = np.random.default_rng(2).beta(1, 20, 5_000)
    best = measure_exact(p, p)
    assert (best["share"], best["log_loss_share"], best["ece_vs_exact"]) == (1, 1, 0)
    worse = measure_exact(p, np.sqrt(p))
    assert worse["share"] == pytest.approx(1)
    assert worse["log_loss_share"] < 0.5


def test_platt_finds_slope_and_intercept() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(-3, 2, 50_000)
    labels = (rng.random(50_000) < 1 / (1 + np.exp(-(0.5 * logits - 1)))).astype(np.int8)
    fitted = platt(logits, labels)
    reference = LogisticRegression(C=np.inf).fit(logits[:, None], labels)
    assert fitted.slope == pytest.approx(reference.coef_[0, 0], abs=1e-3)
    assert fitted.intercept == pytest.approx(reference.intercept_[0], abs=1e-3)
    assert fitted.examples == 50_000
    assert fitted.probabilities(logits).mean() == pytest.approx(labels.mean(), abs=1e-6)


@pytest.mark.parametrize("logits", [[-2.0, -1.0, 1.0, 2.0], [0.0, 0.0, 0.0, 0.0], [1e6, 1e6, 3e6, 3e6]])
def test_platt_stays_finite_on_separable_constant_and_huge_logits(logits: list[float]) -> None:
    fitted = platt(np.array(logits), np.array([0, 0, 1, 1], np.int8))
    assert np.isfinite([fitted.slope, fitted.intercept]).all()
    p = fitted.probabilities(np.array(logits))
    assert p.mean() == pytest.approx(0.5, abs=1e-3)


def test_bands_hold_the_top_5_and_the_next_15_per_cent() -> None:
    p = np.random.default_rng(4).permutation(np.linspace(0, 1, 10_001))
    thresholds = band_thresholds(p)
    assert (p >= thresholds["high"]).mean() == pytest.approx(0.05, abs=1e-3)
    assert (p >= thresholds["medium"]).mean() == pytest.approx(0.20, abs=1e-3)


def test_the_rules_rank_as_they_say() -> None:
    vectors = np.zeros((3, WIDTH), np.float32)
    at = {name: COLUMN_NAMES.index(name) for name in COLUMN_NAMES}
    vectors[:, at["since_add_to_cart"]] = [60, 60, NEVER_S]
    vectors[:, at["since_begin_checkout"]] = [NEVER_S, 100, NEVER_S]
    browsing = rule_scores(vectors, browsing=True)
    assert browsing[1] > browsing[0] > browsing[2]
    vectors[:, at["purchases"]] = [1, 5, 5]
    vectors[:, at["purchase_gap_mean"]] = [NEVER_S, 86_400, 864_000]
    orders = rule_scores(vectors, browsing=False)
    assert orders[1] > orders[2] > orders[0]


def test_scaling_is_standard_and_bounded() -> None:
    rng = np.random.default_rng(6)
    vectors = rng.lognormal(3, 2, (5_000, WIDTH)).astype(np.float32)
    vectors[:, 5] = 7
    scaling = Scaling.fit(vectors)
    scaled = scaling.apply(vectors)
    free = np.delete(np.arange(WIDTH), 5)
    assert np.abs(scaled[:, free].mean(axis=0)).max() < 0.2
    assert (scaled[:, 5] == 0).all()
    assert np.abs(scaling.apply(np.full((1, WIDTH), 3e38, np.float32))).max() <= CLIP


def test_baselines_learn_what_is_there_to_learn() -> None:
    rng = np.random.default_rng(7)
    vectors = rng.lognormal(0, 1, (4_000, WIDTH)).astype(np.float32)
    labels = (np.log(vectors[:, 0]) - np.log(vectors[:, 1]) + rng.normal(size=4_000) > 1).astype(np.int8)
    scaling = Scaling.fit(vectors)
    logistic = fit_logistic(scaling.apply(vectors[:3_000]), labels[:3_000])
    steps: list[int] = []
    trees = fit_lightgbm(
        vectors[:3_000], labels[:3_000], rounds=30, on_progress=lambda done, _: steps.append(done)
    )
    assert roc_auc_score(labels[3_000:], logistic(scaling.apply(vectors[3_000:]))) > 0.85
    assert roc_auc_score(labels[3_000:], trees(vectors[3_000:])) > 0.8
    assert steps[-1] == 30

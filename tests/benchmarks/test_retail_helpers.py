"""Pure parts of the Online Retail benchmark."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.learning.retail_contenders import refitted_weekly
from benchmarks.learning.retail_data import DELAY_MS, Orders, days_so_far, local_days, midnight, period
from benchmarks.learning.retail_figures import difference
from benchmarks.learning.retail_histories import Histories, histories_at
from features.state import DAY_MS
from features.vector import WIDTH
from offline.lab.bg_nbd import fit_bg_nbd


def simulated(customers: int, days: float, rng: np.random.Generator) -> tuple[Histories, np.ndarray]:
    """Draw from BG/NBD with r 2, alpha 40, a 1, b 4; return histories, and who orders within the next 30 days."""
    repeats, recency, again = np.zeros(customers), np.zeros(customers), np.zeros(customers, bool)
    for i in range(customers):
        rate, leaving, at = rng.gamma(2.0, 1 / 40), rng.beta(1.0, 4.0), 0.0
        while True:
            at += rng.exponential(1 / rate)
            if at > days:
                again[i] = at <= days + 30
                break
            repeats[i], recency[i] = repeats[i] + 1, at
            if rng.random() < leaving:
                break
    return Histories(repeats, recency, np.full(customers, days)), again


def test_bg_nbd_recovers_what_it_was_simulated_with() -> None:
    histories, again = simulated(4_000, 300.0, np.random.default_rng(1))
    model = fit_bg_nbd(histories, penalty=0)
    assert (model.r, model.alpha) == pytest.approx((2.0, 40.0), rel=0.2)
    assert model.a / (model.a + model.b) == pytest.approx(0.2, abs=0.03)
    probabilities = model.returns(histories, 30.0)
    assert probabilities.mean() == pytest.approx(again.mean(), abs=0.02)
    assert roc_auc_score(again, probabilities) > 0.8


def test_who_was_silent_for_long_is_less_likely_to_order_and_nobody_leaves_before_a_second_order() -> None:
    model = fit_bg_nbd(simulated(1_000, 300.0, np.random.default_rng(2))[0], penalty=0)
    three = np.array([3.0, 3.0])
    recent, silent = model.returns(Histories(three, np.array([200.0, 200.0]), np.array([200.0, 400.0])), 30.0)
    assert silent < recent / 2
    (once,) = model.returns(Histories(np.zeros(1), np.zeros(1), np.zeros(1)), 30.0)
    assert once == pytest.approx(1 - (model.alpha / (model.alpha + 30)) ** model.r)


def test_orders_of_one_day_are_one_repeat() -> None:
    customers, days = np.array([7, 7, 3, 7]), np.array([10, 10, 12, 15])
    found = histories_at(customers, days, days_so_far(customers, days), 20)
    assert [column.tolist() for column in found] == [[0.0, 1.0], [0.0, 5.0], [8.0, 10.0]]


def test_days_are_those_of_london() -> None:
    before_clocks_changed, after = midnight("2011-10-30"), midnight("2011-10-31")
    assert after - before_clocks_changed == 25 * 3_600_000
    assert np.diff(local_days(np.array([after - 1, after]))).tolist() == [1]


def test_the_difference_is_that_of_the_textbook_figures_and_nothing_for_equal_models() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 600).astype(np.int8)
    customers = rng.integers(0, 150, 600)
    one = np.round(labels * 0.4 + rng.random(600), 1)  # with ties
    other = np.round(labels * 0.2 + rng.random(600), 1)
    found = difference(labels, one, other, customers, replicates=100)
    assert found["auc"]["difference"] == pytest.approx(
        roc_auc_score(labels, one) - roc_auc_score(labels, other)
    )
    assert found["pr_auc"]["difference"] == pytest.approx(
        average_precision_score(labels, one) - average_precision_score(labels, other)
    )
    assert found["auc"]["ci"][0] < found["auc"]["difference"] < found["auc"]["ci"][1]
    same = difference(labels, one, one, customers, replicates=20)
    assert same["auc"] == {"difference": 0.0, "ci": [0.0, 0.0], "positive": 0.0}


def test_a_weekly_refit_sees_no_label_before_it_is_known() -> None:
    when = period("2011-01-01", "2011-03-01", "2011-04-01")
    as_of = np.arange(midnight("2011-01-01"), when.end, DAY_MS)
    count = len(as_of)
    vectors = np.zeros((count, WIDTH), np.float32)
    vectors[:, 0] = np.arange(count)
    zeros = np.zeros(count, np.int64)
    orders = Orders(
        zeros, vectors, zeros.astype(np.uint8), as_of, zeros, zeros, zeros + 1, (zeros % 2).astype(np.int8)
    )
    newest = []

    def fit(known: np.ndarray, labels: np.ndarray):  # type: ignore[no-untyped-def]
        newest.append(as_of[int(known[-1, 0])])
        return lambda rows: np.zeros(len(rows))

    out = refitted_weekly(orders, when, fit)
    assert len(out) == orders.within(when.begin, when.end).sum()
    weeks = when.begin + 7 * DAY_MS * np.arange(len(newest))
    delays = weeks - np.array(newest)
    assert (delays >= DELAY_MS).all()
    assert (delays < DELAY_MS + DAY_MS).all()

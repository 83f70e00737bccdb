"""Bundles side by side: paired differences, and the AUC to expect."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from offline.training.paired import expected_auc, paired

CUSTOMERS = 400


def moments(seed: int) -> tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.float64]]:
    """Return labels, customers and the exact probabilities of five moments for each customer."""
    chance = np.random.default_rng(seed)
    customers = np.repeat(np.arange(CUSTOMERS), 5)
    exact = 1 / (
        1 + np.exp(-(chance.normal(-1.5, 1.0, CUSTOMERS)[customers] + chance.normal(0, 0.7, len(customers))))
    )
    return (chance.random(len(exact)) < exact).astype(np.int8), customers, exact


def blurred(exact: NDArray[np.float64], by: float) -> NDArray[np.float64]:
    """Return probabilities whose log-odds are wrong by so much."""
    noise = np.random.default_rng(9).normal(0, by, len(exact))
    return 1 / (1 + np.exp(-(np.log(exact / (1 - exact)) + noise)))


def test_a_model_is_not_told_from_itself() -> None:
    labels, customers, exact = moments(1)
    (apart,) = paired(labels, customers, [exact, exact]).differences
    assert all(one.value == one.low == one.high == 0 and not one.told for one in apart.values())


def test_a_clearly_worse_model_is_told_and_in_the_right_direction() -> None:
    labels, customers, exact = moments(1)
    (apart,) = paired(labels, customers, [exact, blurred(exact, 1.5)]).differences
    assert apart["log_loss"].told and apart["log_loss"].low > 0
    assert apart["auc"].told and apart["auc"].high < 0


def test_equally_good_models_are_told_apart_in_few_of_many_logs() -> None:
    found = 0
    for seed in range(60):
        labels, customers, exact = moments(seed)
        chance = np.random.default_rng(1000 + seed)
        one, two = (
            1 / (1 + np.exp(-(np.log(exact / (1 - exact)) + chance.normal(0, 0.5, len(exact)))))
            for _ in range(2)
        )
        (apart,) = paired(labels, customers, [one, two], replicates=100).differences
        found += apart["log_loss"].told
    assert found <= 9  # of 60; a rate of 5% has more in one of a thousand


def test_a_paired_interval_is_narrower_than_the_models_own() -> None:
    labels, customers, exact = moments(2)
    result = paired(labels, customers, [exact, blurred(exact, 0.2)])
    low, high = result.measures[1]["ci"]["auc"]
    apart = result.differences[0]["auc"]
    assert apart.high - apart.low < 0.5 * (high - low)


def test_the_expected_auc_is_that_which_comes_true_of_exact_probabilities() -> None:
    apart = []
    for seed in range(20):
        labels, customers, exact = moments(seed)
        measures = paired(labels, customers, [exact], replicates=1).measures[0]
        apart.append(measures["auc"] - measures["expected_auc"])
    assert abs(np.mean(apart)) < 0.01


def test_probabilities_that_are_too_sure_promise_more_than_comes() -> None:
    labels, customers, exact = moments(3)
    odds = 2.5 * np.log(exact / (1 - exact))
    measures = paired(labels, customers, [1 / (1 + np.exp(-odds))]).measures[0]
    assert measures["expected_auc"] > measures["ci"]["auc"][1]


def test_where_nobody_bought_there_is_no_difference_to_tell() -> None:
    _, customers, exact = moments(1)
    result = paired(np.zeros(len(exact), np.int8), customers, [exact, exact])
    assert result.measures[0]["auc"] is None
    assert set(result.differences[0]) == {"log_loss", "brier", "ece"}
    assert expected_auc(np.zeros(3)) is None

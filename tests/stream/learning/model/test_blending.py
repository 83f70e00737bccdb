"""How much each part of the blend counts, and the final calibration."""

from __future__ import annotations

import numpy as np
import pytest

from stream.learning.model.blending import FixedShare
from stream.learning.model.recalibration import Recalibration

EVEN = np.array([0.5, 0.5])


def test_without_sharing_it_is_bayes_rule() -> None:
    blend = FixedShare(EVEN, rate=1.0, share_rate=0.0)
    for losses in ([0.3, 0.9], [0.5, 0.1]):
        blend.update(np.array(losses), elapsed=1.0)
    likelihood = np.exp([-0.8, -1.0])
    assert blend.weights == pytest.approx(likelihood / likelihood.sum(), abs=1e-5)


def test_the_better_part_leads() -> None:
    blend = FixedShare(EVEN, rate=0.5, share_rate=0.01)
    for _ in range(50):
        blend.update(np.array([10.0, 11.0]), elapsed=0.1)
    assert blend.weights[0] > 0.99


def test_a_part_that_was_bad_for_long_comes_back_within_a_few_labels() -> None:
    blend = FixedShare(EVEN, rate=0.5, share_rate=0.01)
    for _ in range(10_000):
        blend.update(np.array([10.0, 20.0]), elapsed=0.1)
    needed = 0
    while blend.weights[1] < 0.9:
        blend.update(np.array([20.0, 10.0]), elapsed=0.1)
        needed += 1
    assert needed <= 5


def test_its_loss_is_hardly_above_that_of_the_best_sequence_of_parts() -> None:
    """The bound of Herbster and Warmuth: a switch costs about the logarithm of one over the share."""
    chance = np.random.default_rng(1)
    blend = FixedShare(EVEN, rate=1.0, share_rate=0.01)
    paid = best = 0.0
    for step in range(2_000):
        good = (step // 500) % 2
        p = np.full(2, 0.2)
        p[good] = 0.6
        happened = chance.random() < 0.6
        right = p if happened else 1 - p
        paid -= np.log(blend.weights @ right)
        best -= np.log(right[good])
        blend.update(-np.log(right), elapsed=1.0)
    switches = 3
    assert paid - best < (switches + 1) * np.log(1 / 0.005) + 2_000 * 0.01


def test_weights_stay_weights_whatever_the_losses() -> None:
    blend = FixedShare(EVEN, rate=1.0, share_rate=0.01, start=np.array([1.0, 0.0]))
    for losses in ([0.0, 1e6], [1e6, 0.0], [1e300, 1e300], [0.0, 0.0]):
        blend.update(np.array(losses), elapsed=0.0)
        assert blend.weights.sum() == pytest.approx(1.0)
        assert (blend.weights > 0).all()


def test_recalibration_begins_as_the_identity() -> None:
    assert Recalibration(12.0, 0.1).line == (1.0, 0.0)


def test_recalibration_finds_the_line_and_forgets_it_again() -> None:
    chance = np.random.default_rng(1)
    recalibration = Recalibration(half_life=4.0, deviation=10.0)
    for _ in range(40):
        logits = chance.normal(-2.0, 1.0, 2_000)
        labels = (chance.random(2_000) < 1 / (1 + np.exp(-(0.7 * logits + 0.5)))).astype(np.uint8)
        recalibration.update(logits, labels, np.ones(2_000), elapsed=0.5)
    assert recalibration.line == pytest.approx((0.7, 0.5), abs=0.15)
    recalibration.update(logits[:1], labels[:1], np.full(1, 1e-9), elapsed=1_000.0)
    assert recalibration.line == pytest.approx((1.0, 0.0), abs=1e-3)


def test_few_labels_hardly_move_the_calibration() -> None:
    recalibration = Recalibration(half_life=12.0, deviation=0.05)
    recalibration.update(np.full(20, -3.0), np.ones(20, np.uint8), np.ones(20), elapsed=0.1)
    assert recalibration.line == pytest.approx((1.0, 0.0), abs=0.06)

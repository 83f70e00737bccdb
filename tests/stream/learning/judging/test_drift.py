"""Detectors of drift, each for itself."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from features.reference import Reference
from features.vector import COLUMN_NAMES, WIDTH, Vectors
from stream.learning.judging.drift import LossDrift, PopulationDrift, excess_loss

SLOT = 1_000
BLOCK = 100_000


def watched(
    drift: LossDrift, means: list[float], seed: int = 1, *, each: int = 20
) -> list[tuple[int, float]]:
    """Feed one slot a mean and return the episodes that began."""
    chance = np.random.default_rng(seed)
    begun = []
    for slot, mean in enumerate(means):
        as_of = slot * SLOT + np.arange(each)
        begun += drift.update(as_of, chance.normal(mean, 0.1, each), np.ones(each))
    return begun


def test_the_excess_is_zero_on_average_where_the_probability_is_right() -> None:
    chance = np.random.default_rng(1)
    p = chance.uniform(0.01, 0.6, 200_000)
    right = np.where(chance.random(len(p)) < p, p, 1 - p)
    assert abs(excess_loss(-np.log(right), p).mean()) < 0.005
    assert excess_loss(-np.log(np.full(10, 0.05)), np.full(10, 0.95)).mean() > 1


def test_a_steady_loss_is_no_drift() -> None:
    assert watched(LossDrift(SLOT), [0.0] * 5_000) == []


def test_a_rise_is_one_episode_from_where_it_began() -> None:
    ((since, excess),) = watched(LossDrift(SLOT), [0.0] * 500 + [0.3] * 500)
    assert abs(since - 500 * SLOT) <= 3 * SLOT
    assert excess == pytest.approx(0.3, abs=0.05)


def test_another_rise_is_another_episode_only_after_the_loss_has_fallen() -> None:
    assert len(watched(LossDrift(SLOT), [0.0] * 300 + [0.2] * 300 + [0.5] * 300)) == 1
    assert len(watched(LossDrift(SLOT), [0.0] * 300 + [0.3] * 300 + [0.0] * 300 + [0.3] * 300)) == 2


def test_a_restored_detector_goes_on_alike_even_after_it_dropped_old_values() -> None:
    means = [0.0] * 4_500 + [0.25] * 200 + [0.0] * 200
    chance = np.random.default_rng(1)
    whole, parts = LossDrift(SLOT), LossDrift(SLOT)
    for slot, mean in enumerate(means):
        as_of, excess = slot * SLOT + np.arange(5), chance.normal(mean, 0.1, 5)
        assert whole.update(as_of, excess, np.ones(5)) == parts.update(as_of, excess, np.ones(5))
        assert whole.changed == parts.changed
        if slot % 500 == 0:
            again = LossDrift(SLOT)
            again.set_arrays(parts.arrays())
            parts = again
    assert len(whole.arrays()["values"]) <= 4_096


def vectors(count: int, seed: int) -> Vectors:
    return np.random.default_rng(seed).gamma(1.0, size=(count, WIDTH)).astype(np.float32)


def populated(drift: PopulationDrift, blocks: list[Vectors]) -> list[tuple[int, list[str]]]:
    begun = []
    for number, some in enumerate([*blocks, vectors(1, 0)]):
        as_of: NDArray[np.int64] = number * BLOCK + np.arange(len(some))
        for since, drifted in drift.update(as_of, some, np.ones(len(some))):
            begun.append((since, [one.name for one in drifted]))
    return begun


def detector() -> PopulationDrift:
    return PopulationDrift(Reference.of(vectors(20_000, 9)), block_ms=BLOCK, threshold=0.25)


def test_the_same_population_has_indices_near_zero() -> None:
    drift = detector()
    assert populated(drift, [vectors(5_000, 1), vectors(5_000, 2)]) == []
    assert max(drift.indices().values()) < 0.02


def test_a_column_that_drifts_begins_an_episode_of_its_own() -> None:
    blocks = [vectors(5_000, seed) for seed in range(6)]
    for number in (1, 2, 3):
        blocks[number][:, 0] *= 5
    for number in (2, 3):
        blocks[number][:, 7] += 3
    blocks[5][:, 0] *= 5
    assert populated(detector(), blocks) == [
        (1 * BLOCK, [COLUMN_NAMES[0]]),
        (2 * BLOCK, [COLUMN_NAMES[7]]),
        (5 * BLOCK, [COLUMN_NAMES[0]]),
    ]


def test_the_calendar_is_no_drift() -> None:
    block = vectors(5_000, 1)
    block[:, COLUMN_NAMES.index("weekday_sin")] = 0.5
    assert populated(detector(), [block]) == []


def test_too_few_examples_are_not_judged() -> None:
    assert populated(detector(), [vectors(500, 1) * 5]) == []


def test_without_a_reference_there_are_no_indices() -> None:
    drift = PopulationDrift(None, block_ms=BLOCK, threshold=0.25)
    assert populated(drift, [vectors(5_000, 1) * 5]) == []
    assert drift.indices() == {}

"""The AUC to expect before labels are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.bundle import Manifest
from features.events import TYPE_CODES
from offline.training.paired import expected_auc
from stream.learning.judging.prequential import Cell
from stream.scoring.expected import ExpectedAuc
from tests.bundles import random_bundle

HORIZON_MS = 1_800_000
VIEW, PURCHASE = TYPE_CODES["view_item"], TYPE_CODES["purchase"]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return random_bundle(Path(tmp_path_factory.mktemp("bundle"))).manifest


def said(count: int, spread: float, seed: int = 1) -> np.ndarray:
    return 1 / (1 + np.exp(3 - spread * np.random.default_rng(seed).normal(size=count)))


def views(count: int) -> np.ndarray:
    return np.full(count, VIEW, np.uint8)


def test_it_is_that_of_the_probabilities_and_that_of_the_outcomes_if_they_are_true(
    manifest: Manifest,
) -> None:
    chance, probability = np.random.default_rng(3), said(50_000, 1.5)
    expected = ExpectedAuc(manifest)
    assert expected.value is None
    expected.count(views(50_000), np.zeros(50_000, np.int64), probability)
    assert expected.value == pytest.approx(expected_auc(probability), abs=1e-3)
    labels = (chance.random(50_000) < probability).astype(np.uint8)
    cell = Cell.empty()
    cell.count(labels, np.ones(50_000), np.column_stack([probability] * 3))
    realised = cell.figures()["blend"]
    assert realised.expected_auc == pytest.approx(expected.value)
    assert realised.auc == pytest.approx(expected.value, abs=0.02)


def test_probabilities_that_are_not_true_promise_another_auc(manifest: Manifest) -> None:
    probability = said(50_000, 1.5)
    labels = (np.random.default_rng(3).random(50_000) < 0.05).astype(np.uint8)
    cell = Cell.empty()
    cell.count(labels, np.ones(50_000), np.column_stack([probability] * 3))
    found = cell.figures()["blend"]
    assert found.auc is not None and found.expected_auc is not None
    assert found.expected_auc - found.auc > 0.2


def test_small_rounds_count_as_one_large_one(manifest: Manifest) -> None:
    expected, alone = ExpectedAuc(manifest), ExpectedAuc(manifest)
    probability, as_of = said(3_000, 1.0), np.linspace(0, 4 * HORIZON_MS, 3_000).astype(np.int64)
    alone.count(views(3_000), as_of, probability)
    for low in range(0, 3_000, 7):
        own = slice(low, low + 7)
        expected.count(views(len(as_of[own])), as_of[own], probability[own])
        if low % 500 == 0:
            assert expected.value is not None
    assert expected.value == pytest.approx(alone.value, abs=1e-12)


def test_scores_of_more_than_two_horizons_ago_do_not_count(manifest: Manifest) -> None:
    expected, alone = ExpectedAuc(manifest), ExpectedAuc(manifest)
    old, new, newest = said(1_000, 3.0, 1), said(1_000, 1.0, 2), said(1_000, 0.5, 3)
    for at, some in enumerate((old, new, newest)):
        expected.count(views(1_000), np.full(1_000, at * HORIZON_MS), some)
        if at == 2:
            expected.count(views(1_000), np.zeros(1_000, np.int64), old)
        if at:
            alone.count(views(1_000), np.full(1_000, at * HORIZON_MS), some)
    assert (
        expected.value == alone.value == pytest.approx(expected_auc(np.concatenate([new, newest])), abs=2e-3)
    )
    expected.count(views(1_000), np.full(1_000, 9 * HORIZON_MS), newest)
    assert expected.value == pytest.approx(expected_auc(newest), abs=2e-3)


def test_only_events_that_make_examples_count(manifest: Manifest) -> None:
    expected = ExpectedAuc(manifest)
    expected.count(np.full(9, PURCHASE, np.uint8), np.zeros(9, np.int64), said(9, 1.0))
    assert expected.value is None

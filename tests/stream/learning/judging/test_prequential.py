"""Prequential figures."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from stream.learning.judging.prequential import JUDGED, Quality

HORIZON = 1_000


def drawn(count: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    chance = np.random.default_rng(seed)
    true = 1 / (1 + np.exp(-chance.normal(-3.0, 1.5, count)))
    said = [true, np.clip(true * 2, 0.0, 0.999), 1 / (1 + np.exp(-chance.normal(-3.0, 1.0, count)))]
    return np.column_stack(said), (chance.random(count) < true).astype(np.uint8)


def counted(count: int = 40_000, *, windows: int = 100) -> tuple[Quality, NDArray, NDArray]:
    quality = Quality(segments=3, bands=3, horizon_ms=HORIZON, windows=windows)
    p, labels = drawn(count, 1)
    as_of = np.arange(count)
    for start in range(0, count, 700):
        part = slice(start, start + 700)
        quality.count(
            as_of[part],
            as_of[part] % 5,
            (as_of[part] % 3).astype(np.uint8),
            labels[part],
            np.ones(len(labels[part])),
            p[part],
        )
    return quality, p, labels


def test_figures_agree_with_exact_ones() -> None:
    quality, p, labels = counted()
    for m, name in enumerate(JUDGED):
        figures = quality.total.figures()[name]
        assert figures.auc == pytest.approx(roc_auc_score(labels, p[:, m]), abs=0.001)
        assert figures.pr_auc == pytest.approx(average_precision_score(labels, p[:, m]), abs=0.01)
        assert figures.log_loss == pytest.approx(log_loss(labels, p[:, m]))
        assert figures.brier == pytest.approx(brier_score_loss(labels, p[:, m]))
        assert figures.prevalence == pytest.approx(labels.mean())


def test_the_calibration_error_is_that_of_the_probabilities() -> None:
    quality, p, labels = counted()
    figures = quality.total.figures()
    assert figures["network"].ece < 0.005
    assert figures["online"].ece == pytest.approx(p[:, 1].mean() - labels.mean(), abs=0.003)
    observed = [(b.predicted, b.observed) for b in figures["online"].reliability]
    assert observed == sorted(observed, key=lambda pair: pair[0])
    assert sum(b.weight for b in figures["online"].reliability) == len(labels)


def test_the_figures_of_windows_add_up_to_those_of_all() -> None:
    quality, _, _ = counted()
    windows = list(quality.windows().values())
    assert len(windows) == 40
    together = sum(windows[1:], windows[0])
    for name, whole in quality.total.figures().items():
        assert together.figures()[name].auc == pytest.approx(whole.auc, abs=1e-9)
        assert together.figures()[name].log_loss == pytest.approx(whole.log_loss)


def test_a_window_holds_its_own_examples() -> None:
    quality, p, labels = counted()
    window = quality.windows()[5 * HORIZON].figures()["network"]
    assert window.examples == HORIZON
    assert window.log_loss == pytest.approx(log_loss(labels[5_000:6_000], p[5_000:6_000, 0]))


def test_groups_hold_every_example_and_unknown_segments_one_of_their_own() -> None:
    quality, _, _ = counted()
    segments = [cell.figures()["blend"].examples for cell in quality.segments()]
    assert segments == [8_000, 8_000, 8_000, 16_000]
    assert sum(cell.figures()["blend"].examples for cell in quality.bands()) == 40_000


def test_old_windows_and_groups_go() -> None:
    quality, _, _ = counted(windows=6)
    assert list(quality.windows()) == [n * HORIZON for n in range(34, 40)]
    in_groups = sum(cell.figures()["blend"].examples for cell in quality.bands())
    assert 6 * HORIZON <= in_groups <= 12 * HORIZON


def test_one_class_alone_has_no_ranking() -> None:
    quality = Quality(segments=1, bands=1, horizon_ms=HORIZON, windows=2)
    none = np.zeros(10, np.uint8)
    quality.count(np.arange(10), np.zeros(10, np.int64), none, none, np.ones(10), np.full((10, 3), 0.1))
    figures = quality.total.figures()["blend"]
    assert figures.auc is None and figures.pr_auc is None
    assert figures.ece == pytest.approx(0.1)


def test_nothing_counted_has_no_figures() -> None:
    assert Quality(segments=1, bands=1, horizon_ms=HORIZON, windows=2).total.figures() == {}


def test_weights_count_as_so_many_examples() -> None:
    p, labels = drawn(2_000, 3)
    heavy, twice = (Quality(segments=1, bands=1, horizon_ms=10**9, windows=2) for _ in range(2))
    zero = np.zeros(2_000, np.int64)
    heavy.count(np.arange(2_000), zero, zero.astype(np.uint8), labels, np.full(2_000, 2.0), p)
    for _ in range(2):
        twice.count(np.arange(2_000), zero, zero.astype(np.uint8), labels, np.ones(2_000), p)
    for name, once in heavy.total.figures().items():
        other = twice.total.figures()[name]
        assert once.examples == other.examples == 4_000
        assert (once.auc, once.log_loss) == pytest.approx((other.auc, other.log_loss), rel=1e-9)
        assert (once.brier, once.ece) == pytest.approx((other.brier, other.ece), rel=1e-9)

"""Intervals of shares and regression lines, at the edges where a library answers with infinities or warnings."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from offline.lab.statistics import logistic_line, ordinary_line, wilson


def test_an_interval_without_trials_is_as_wide_as_with_one() -> None:
    assert [end.item() for end in wilson([0], [0])] == [end.item() for end in wilson([0], [1])]


def test_intervals_of_shares_end_at_0_and_1() -> None:
    low, high = wilson([0, 10], [10, 10])
    assert (low[0], high[1]) == pytest.approx((0, 1))


@pytest.mark.parametrize("seed", range(5))
def test_an_ordinary_line_is_that_of_least_squares(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(10, 10.0 ** float(rng.integers(-2, 3)), 200)
    y = rng.normal() * x + rng.normal(size=200)
    line, fit = ordinary_line(x, y), stats.linregress(x, y)
    assert line is not None
    half = stats.t.ppf(0.975, 198) * fit.stderr
    assert (line.slope, line.r2) == pytest.approx((fit.slope, fit.rvalue**2))
    assert line.slope_interval == pytest.approx((fit.slope - half, fit.slope + half))
    assert (line.low < line.y).all()
    assert (line.y < line.high).all()


def test_a_logistic_line_finds_the_slope_on_any_scale() -> None:
    rng = np.random.default_rng(0)
    scaled = rng.normal(size=20_000)
    happened = rng.random(20_000) < 1 / (1 + np.exp(0.5 - 0.8 * scaled))
    for scale in (0.001, 1, 1_000):
        line = logistic_line(5 + scale * scaled, happened)
        assert line is not None
        low, high = np.multiply(line.slope_interval, scale)
        assert low < 0.8 < high


@pytest.mark.parametrize(
    "happened", [np.r_[np.zeros(500), 1.0], np.r_[0.0, 1.0, np.zeros(498), 1.0]], ids=["divided", "one value"]
)
def test_a_logistic_line_without_an_end_is_not_drawn(happened: np.ndarray) -> None:
    assert logistic_line(np.r_[np.zeros(500), 1.0], happened > 0) is None

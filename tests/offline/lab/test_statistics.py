"""Intervals of shares and regression lines: on any scale, and where a library answers with infinities or warnings."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.proportion import proportion_confint

from offline.lab.statistics import logistic_line, ordinary_line, wilson

EQUAL = {"rel": 1e-9, "abs": 1e-9}


def test_intervals_of_shares_are_those_of_statsmodels() -> None:
    rng = np.random.default_rng(0)
    trials = rng.integers(1, 1_000, 2_000)
    successes = rng.integers(0, trials + 1)
    expected = proportion_confint(successes, trials, method="wilson")
    for found, wanted in zip(wilson(successes, trials), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


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


@pytest.mark.parametrize("seed", range(20))
def test_ordinary_lines_are_those_of_statsmodels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(4, 400))
    x = rng.normal(10 * rng.normal(), 10.0 ** float(rng.integers(-2, 3)), count)
    y = rng.normal() * x + 10.0 ** float(rng.integers(-3, 3)) * rng.normal(size=count)
    line = ordinary_line(x, y)
    assert line is not None
    fit = OLS(y, np.column_stack([np.ones(count), x])).fit()
    band = fit.get_prediction(np.column_stack([np.ones(len(line.x)), line.x])).summary_frame(alpha=0.05)
    assert line.slope == pytest.approx(fit.params[1], **EQUAL)
    assert line.slope_interval == pytest.approx(tuple(fit.conf_int(0.05)[1]), **EQUAL)
    assert line.r2 == pytest.approx(fit.rsquared, **EQUAL)
    for found, name in ((line.y, "mean"), (line.low, "mean_ci_lower"), (line.high, "mean_ci_upper")):
        np.testing.assert_allclose(found, band[name], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_logistic_lines_are_those_of_statsmodels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(100, 2_000))
    scaled = rng.normal(size=count)
    x = 5 + 10.0 ** float(rng.integers(-2, 3)) * scaled
    happened = rng.random(count) < 1 / (1 + np.exp(0.5 - rng.normal() * scaled))
    line = logistic_line(x, happened)
    assert line is not None
    centre, spread = x.mean(), x.std()
    fit = GLM(
        happened.astype(float), np.column_stack([np.ones(count), (x - centre) / spread]), family=Binomial()
    ).fit(tol=1e-13)
    assert line.slope == pytest.approx(fit.params[1] / spread, **EQUAL)
    assert line.slope_interval == pytest.approx(tuple(fit.conf_int()[1] / spread), **EQUAL)
    assert line.r2 == pytest.approx(1 - fit.deviance / fit.null_deviance, **EQUAL)
    curve = fit.predict(np.column_stack([np.ones(len(line.x)), (line.x - centre) / spread]))
    np.testing.assert_allclose(line.y, curve, rtol=1e-9, atol=1e-12)

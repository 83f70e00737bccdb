"""Lines and intervals of our own, against those of statsmodels.

They stay our own because reports keep every digit of them, and statsmodels differs in the last one.
"""

from __future__ import annotations

import numpy as np
import pytest
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

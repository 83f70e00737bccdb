"""Searches: budgets, resuming, and what they find."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from offline.lab.models import ModelError, fit, probabilities
from offline.lab.spaces import SPACES, Choices, model_with
from offline.lab.tuning import METHODS, Method, TuningError, grid_of, tune
from offline.problem import Problem


def rows(count: int = 300, seed: int = 0) -> Problem:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 3))
    happened = rng.random(count) < 1 / (1 + np.exp(1 - x[:, 0] + 0.5 * x[:, 1]))
    columns = pd.DataFrame(x, columns=["a", "b", "c"])
    return Problem("rows", columns, dict.fromkeys(columns, "numeric"), happened, "bought")


@pytest.mark.parametrize("method", METHODS)
def test_a_search_keeps_its_budget_and_finds_the_least_log_loss(method: Method) -> None:
    told: list[tuple[int, int]] = []
    found = tune(rows(), "logistic", method, trials=5, on_progress=lambda *step: told.append(step))
    assert len(found.trials) == 5
    assert told[-1] == (5, 5)
    best = found.trials.loc[found.trials["log_loss"].idxmin()]
    assert found.settings == {"C": best["C"]}
    assert 1e-3 <= best["C"] <= 1e2
    assert (found.trials["best"].diff().dropna() <= 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_search_goes_on_and_repeats_nothing(method: Method, tmp_path: Path) -> None:
    study = tmp_path / "studies" / "tuning.journal"
    first = tune(rows(), "logistic", method, trials=4, storage=study)
    again = tune(rows(), "logistic", method, trials=4, storage=study)
    assert again.resumed == 4
    pd.testing.assert_frame_equal(first.trials, again.trials)
    if method != "grid":  # a larger grid has other points
        more = tune(rows(), "logistic", method, trials=6, storage=study)
        assert more.resumed == 4 and len(more.trials) == 6
        assert more.trials["C"].nunique() == 6


def test_a_search_on_other_data_is_refused(tmp_path: Path) -> None:
    study = tmp_path / "tuning.journal"
    tune(rows(), "logistic", "random", trials=1, storage=study)
    with pytest.raises(TuningError, match="other data or folds: remove it, or name another file"):
        tune(rows(seed=1), "logistic", "random", trials=2, storage=study)


def test_minutes_end_a_search() -> None:
    found = tune(rows(), "logistic", "optuna", trials=None, minutes=0.01)
    assert 1 <= len(found.trials) < 1000


def test_a_search_without_end_is_refused() -> None:
    with pytest.raises(TuningError, match="give a number of trials or minutes"):
        tune(rows(), "logistic", "random", trials=None)


def test_what_cannot_be_tuned_is_refused() -> None:
    with pytest.raises(ModelError, match="nothing to tune in 'dummy'"):
        tune(rows(), "dummy", trials=1)


@pytest.mark.parametrize("key", list(SPACES))
def test_a_point_of_every_space_becomes_a_model(key: str) -> None:
    space = SPACES[key]
    settings = {n: p.values[0] if isinstance(p, Choices) else p.grid(2)[0] for n, p in space.items()}
    problem = rows()
    p = probabilities(fit(model_with(key, settings, problem.kinds, quick=True), problem), problem.columns)
    assert np.isfinite(p).all()


@pytest.mark.parametrize("method", ["random", "optuna"])
def test_the_defaults_are_tried_first(method: Method) -> None:
    assert tune(rows(), "logistic", method, trials=2).trials["C"].iloc[0] == 1.0


@pytest.mark.parametrize("trials", [1, 7, 30, 200])
def test_a_grid_stays_within_its_trials(trials: int) -> None:
    for space in SPACES.values():
        grid = grid_of(space, trials)
        assert int(np.prod([len(values) for values in grid.values()])) <= trials

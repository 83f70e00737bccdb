"""Searches: budgets, resuming, and what they find."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import create_trial

from offline.chapters.tuning.search import Search, grid_of, tune
from offline.chapters.tuning.section import Plan, Tuned, adopted, tune_models
from offline.chapters.tuning.section import section as tuning_section
from offline.chapters.tuning.spaces import SPACES, Choices, model_with
from offline.chapters.tuning.studies import METHODS, Method, TuningError
from offline.chapters.workspace import LabOptions, Workspace
from offline.lab.figures import Difference
from offline.lab.models import ModelError, fit, probabilities
from offline.problems.problem import Problem
from offline.report.section import Picture
from tests.data_sets import ROOT
from tests.offline.lab.problems import visits, write_csv

# A search that says after every trial how many are done, for a test that kills it.
SEARCHING = """
import sys
from pathlib import Path
from tests.offline.chapters.test_tuning import rows
from offline.chapters.tuning.search import tune

tell = lambda done, total: print(done, flush=True)
tune(rows(), "logistic", sys.argv[1], trials=400, storage=Path(sys.argv[2]), on_progress=tell)
"""


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
    more = tune(rows(), "logistic", method, trials=6, storage=study)
    assert more.resumed == 4
    assert more.trials["C"].nunique() == len(more.trials)
    if method == "grid":  # the larger grid has other points, and all of them are tried
        points = grid_of(SPACES["logistic"], 6)["C"]
        assert set(points) <= set(more.trials["C"])
    else:
        assert len(more.trials) == 6


@pytest.mark.parametrize("method", METHODS)
def test_a_search_that_was_killed_in_the_middle_goes_on_where_it_stopped(
    method: Method, tmp_path: Path
) -> None:
    study = tmp_path / "tuning.journal"
    with subprocess.Popen(
        [sys.executable, "-c", SEARCHING, method, str(study)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as killed:
        assert killed.stdout is not None
        told = [int(killed.stdout.readline()) for _ in range(5)]
        killed.kill()
    assert told == [0, 1, 2, 3, 4] and killed.returncode < 0
    steps: list[tuple[int, int]] = []
    total = 400 if method == "grid" else 40
    resumed = tune(
        rows(), "logistic", method, trials=total, minutes=0.05, storage=study,
        on_progress=lambda *step: steps.append(step),
    )  # fmt: skip
    assert resumed.resumed >= 4
    assert steps[0] == (resumed.resumed, total)
    assert len(resumed.trials) > resumed.resumed
    assert resumed.trials["C"].nunique() == len(resumed.trials)
    straight = tune(rows(), "logistic", method, trials=total, minutes=0.05)
    common = min(len(resumed.trials), len(straight.trials))
    assert resumed.trials["C"][:common].tolist() == straight.trials["C"][:common].tolist()


@pytest.mark.parametrize("method", METHODS)
def test_a_file_of_an_earlier_version_is_continued(method: Method, tmp_path: Path) -> None:
    """Their trials of grid and random searches were not proposed by Optuna; a killed one of Optuna's was left open."""
    study = tmp_path / "tuning.journal"
    tune(rows(), "logistic", method, trials=1, storage=study)
    kept = optuna.load_study(
        study_name=f"logistic by {method}", storage=JournalStorage(JournalFileBackend(str(study)))
    )
    kept.ask()
    about = {"settings": {"C": 0.5}, "auc": 0.5, "seconds": 0.1}
    space = {"C": FloatDistribution(1e-3, 1e2, log=True)}
    kept.add_trial(create_trial(value=0.6, params={"C": 0.5}, distributions=space, user_attrs=about))
    found = tune(rows(), "logistic", method, trials=4, storage=study)
    assert found.resumed == 2
    assert len(found.trials) >= 4
    assert found.trials["C"][1] == 0.5
    assert found.trials["C"].nunique() == len(found.trials)


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
    with pytest.raises(ModelError, match="model 'dummy' cannot be tuned"):
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


def test_random_search_and_optuna_draw_different_points() -> None:
    found = [set(tune(rows(), "logistic", method, trials=5).trials["C"]) for method in ("random", "optuna")]
    assert found[0] & found[1] == {1.0}  # the defaults


def test_the_section_shows_every_search_and_its_history(tmp_path: Path) -> None:
    path = write_csv(tmp_path, visits(800).to_csv(index=False))
    workspace = Workspace(path, tmp_path, LabOptions(quick=True))
    section = tune_models(workspace, Plan(models=("lightgbm",), trials=4))
    assert set(section.figures["lightgbm"]["searches"]) == set(METHODS)
    found = section.figures["lightgbm"]
    assert workspace.handover.settings == {"lightgbm": found["adopted"]}
    assert found["adopted"] == found["settings" if found["verdict"] == "gain" else "defaults"]
    history, settings = (part for part in section.parts if isinstance(part, Picture))
    assert len(history.figure.data) == 2 * len(METHODS)
    assert len(settings.figure.data) == len(SPACES["lightgbm"]) * len(METHODS)
    again = tune_models(workspace, Plan(models=("lightgbm",), trials=4))
    assert all(s["resumed"] == len(s["trials"]) for s in again.figures["lightgbm"]["searches"].values())


def test_a_study_whose_last_line_was_torn_goes_on_without_it(tmp_path: Path) -> None:
    study = tmp_path / "tuning.journal"
    tune(rows(), "logistic", "random", trials=3, storage=study)
    whole = study.read_bytes()
    for torn in (b'{"op_code": 4, "wor', b"\n", b"\xff\x00"):
        study.write_bytes(whole + torn)
        assert tune(rows(), "logistic", "random", trials=3, storage=study).resumed == 3
    study.write_bytes(b"no study\n" + whole)
    with pytest.raises(TuningError, match=r"tuning\.journal: line 1 is none of a study"):
        tune(rows(), "logistic", "random", trials=3, storage=study)


@pytest.mark.parametrize(
    ("gap", "said"),
    [
        (Difference(0.02, 0.01, 0.03, 0.001), "so tuning pays"),
        (Difference(0.002, 0.001, 0.003, 0.001), "the smallest gain worth it, so keep the defaults"),
        (Difference(0.02, -0.01, 0.05, 0.2), "may be chance, so keep the defaults"),
        (Difference(-0.02, -0.03, -0.01, 0.001), "the defaults are better there"),
    ],
)
def test_settings_are_taken_only_if_they_are_worth_it(gap: Difference, said: str) -> None:
    trials = pd.DataFrame({"trial": [1], "log_loss": [0.4], "auc": [0.8], "seconds": [0.1],
                           "state": ["complete"], "best": [0.4], "C": [3.0]})  # fmt: skip
    search = Search("logistic", "random", trials, {"C": 3.0}, 0)
    measured = dict.fromkeys(("auc", "pr_auc", "brier", "log_loss"), 0.5)
    gaps = dict.fromkeys(measured, gap)
    tuned = {"logistic": Tuned([search], {"C": 1.0}, measured, measured, gaps)}
    assert adopted(tuned, "logistic") == ({"C": 3.0} if said == "so tuning pays" else {"C": 1.0})
    assert said in tuning_section(tuned, "a test").summary[0]

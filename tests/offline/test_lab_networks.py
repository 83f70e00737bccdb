"""Networks: inputs, architectures, stopping, and boundaries that are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from offline.lab.models import fit, network, probabilities
from offline.lab.networks import NetworkClassifier, NetworkInputs
from offline.lab.networks.architectures import Architecture
from offline.lab.networks.boundary import BoundaryError, boundary, picture
from offline.lab.networks.demonstration import DURATION, PAGES, best_auc, demonstration, true_probability
from offline.lab.networks.experiments import REFERENCE, experiments, study
from offline.lab.networks.section import demonstrated, telling
from offline.lab.networks.training import Training
from offline.tables.holdout import hold_out

SHORT = Training(epochs=6, patience=3, batch=128, learning_rate=1e-2)


def test_numbers_become_normal_scores_with_many_zeros_in_the_middle_of_what_they_cover() -> None:
    values = np.concatenate([np.zeros(500), np.arange(1, 501)])
    inputs = NetworkInputs({"x": "numeric"}).fit(pd.DataFrame({"x": values}))
    scores = inputs.transform(pd.DataFrame({"x": [0.0, 250.0, 1e9, np.nan]}))[:, 0]
    assert scores[0] == pytest.approx(-0.674, abs=0.01)  # the quantile 0.25
    assert scores[1] == pytest.approx(0.674, abs=0.01)
    assert scores[2] < 3.2
    assert scores[3] == 0.0


def test_rare_and_new_categories_share_the_code_0() -> None:
    column = pd.Series(["a"] * 30 + ["b"] * 20 + ["c"] * 2)
    inputs = NetworkInputs({"x": "categorical"}).fit(pd.DataFrame({"x": column}))
    codes = inputs.transform(pd.DataFrame({"x": ["a", "b", "c", "new", None]}))[:, 0]
    assert codes.tolist() == [1, 2, 0, 0, 0]


def test_missing_numbers_are_marked() -> None:
    inputs = NetworkInputs({"x": "numeric", "y": "numeric"})
    inputs.fit(pd.DataFrame({"x": [1.0, np.nan, 3.0], "y": [1.0, 2.0, 3.0]}))
    assert inputs.names_ == ["x", "y", "x missing"]
    assert inputs.transform(pd.DataFrame({"x": [np.nan], "y": [2.0]}))[0].tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture(hidden=(16, 16)),
        Architecture(body="residual", hidden=(16, 16)),
        Architecture(embedding="piecewise", hidden=(16,)),
        Architecture(embedding="periodic", hidden=(16,)),
        Architecture(members=4, hidden=(16, 16)),
        Architecture(members=4, hidden=(16, 16), body="residual", batch_norm=True, activation="tanh"),
    ],
)
def test_every_architecture_learns_a_bent_boundary(architecture: Architecture) -> None:
    visits = demonstration(1500)
    training = Training(epochs=25, patience=25, batch=128, learning_rate=1e-2)
    model = fit(network(visits.kinds, architecture, training), visits)
    p = probabilities(model, visits.columns)
    exact = true_probability(visits.columns[DURATION].to_numpy(), visits.columns[PAGES].to_numpy())
    assert np.corrcoef(p, exact)[0, 1] > 0.85
    assert abs(p.mean() - visits.prevalence) < 0.05


def test_members_share_their_weights() -> None:
    visits = demonstration(400)
    matrix = NetworkInputs(dict(visits.kinds)).fit_transform(visits.columns)

    def weights(members: int) -> int:
        architecture = Architecture(members=members, hidden=(32, 32))
        one = Training(epochs=1, patience=1)
        return int(NetworkClassifier(0, architecture, one).fit(matrix, visits.target).parameters_)

    assert weights(8) < 3 * weights(1)


def test_training_stops_early_and_keeps_the_best_epoch() -> None:
    visits = demonstration(300)
    training = Training(epochs=60, patience=3, batch=32, learning_rate=3e-2)
    fitted = fit(network(visits.kinds, Architecture(hidden=(64, 64), dropout=0.0), training), visits)
    curve = fitted[-1].curves_[0]
    assert len(curve.loss) < 60
    assert curve.best == int(np.argmin(curve.validation_loss)) == len(curve.loss) - 1 - 3
    assert len(curve.validation_accuracy) == len(curve.accuracy) == len(curve.loss)


def test_without_patience_all_epochs_are_trained() -> None:
    visits = demonstration(300)
    training = Training(epochs=9, patience=0, batch=64)
    fitted = fit(network(visits.kinds, Architecture(hidden=(8,)), training), visits)
    assert len(fitted[-1].curves_[0].loss) == 9 and fitted[-1].curves_[0].best == 8


def test_every_fold_has_a_network_and_their_mean_is_the_prediction() -> None:
    visits = demonstration(400)
    fitted = fit(network(visits.kinds, Architecture(hidden=(8,)), SHORT, folds=3), visits)
    assert len(fitted[-1].curves_) == 3
    told: list[tuple[int, int]] = []
    model = network(visits.kinds, Architecture(hidden=(8,)), SHORT, folds=3)
    fit(model, visits, on_progress=lambda *step: told.append(step))
    assert told[-1] == (18, 18)


def test_a_network_finds_the_boundary_that_a_line_cannot() -> None:
    shown = demonstrated()
    assert shown.network > shown.best - 0.02
    assert shown.logistic < shown.best - 0.1


def test_the_demonstration_has_the_boundary_it_promises() -> None:
    assert true_probability(np.array([10.0]), np.array([12.0]))[0] > 0.99
    assert true_probability(np.array([0.3, 100.0, 10.0]), np.array([12.0, 12.0, 1.0])).max() < 0.01
    visits = demonstration(20_000)
    exact = true_probability(visits.columns[DURATION].to_numpy(), visits.columns[PAGES].to_numpy())
    assert abs(exact.mean() - visits.prevalence) < 0.01
    assert 0.9 < best_auc(visits) < 1


def test_a_boundary_separates_what_the_truth_separates() -> None:
    visits = demonstration()
    found = boundary(visits, [DURATION, PAGES], exact=true_probability)
    linear, bent, truth = (surface.probabilities > 0.5 for surface in found.surfaces)
    assert (bent == truth).mean() > (linear == truth).mean()
    assert len(picture(visits, found, "demonstration").figure.data) == 12


def test_a_boundary_needs_two_numeric_columns() -> None:
    visits = demonstration(100)
    with pytest.raises(BoundaryError, match="'colour' is no numeric column: choose two of"):
        boundary(visits, [DURATION, "colour"])
    with pytest.raises(BoundaryError, match="two different columns"):
        boundary(visits, [DURATION, DURATION])


def test_experiments_are_judged_against_logistic_regression_on_the_same_rows() -> None:
    visits = demonstration(800)
    train, test, _ = hold_out(visits)
    tried = [e for e in experiments(quick=True) if e.name in (REFERENCE, "no dropout")]
    found = study(visits, train, test, tried)
    assert [outcome.experiment.name for outcome in found.outcomes] == [REFERENCE, "no dropout"]
    for outcome in found.outcomes:
        gap = outcome.figures["auc"] - found.logistic["auc"]
        assert outcome.against["auc"].value == pytest.approx(gap)


def test_the_most_telling_columns_are_found() -> None:
    assert set(telling(demonstration())) == {DURATION, PAGES}

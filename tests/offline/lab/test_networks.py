"""Networks: inputs, architectures, stopping, and boundaries that are known."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from offline.chapters.networks.boundary import BoundaryError, boundary, picture
from offline.chapters.networks.demonstration import DURATION, PAGES, demonstration, true_probability
from offline.chapters.networks.experiments import RECOMMENDED, REFERENCE, Experiment, experiments, study
from offline.chapters.networks.section import demonstrated, study_networks, telling
from offline.chapters.workspace import LabOptions, Workspace
from offline.lab.models import fit, network, probabilities
from offline.lab.networks import NetworkClassifier, NetworkInputs
from offline.lab.networks.architectures import Architecture
from offline.lab.networks.training import Training
from offline.problems.holdout import hold_out
from offline.problems.problem import Kind, Problem
from offline.report.axes import Axis
from tests.offline.lab.problems import visits, write_csv

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
    assert shown.logistic_accuracy < shown.network_accuracy <= shown.best_accuracy + 0.01


def test_the_demonstration_has_the_boundary_it_promises() -> None:
    assert true_probability(np.array([10.0]), np.array([12.0]))[0] > 0.99
    assert true_probability(np.array([0.3, 100.0, 10.0]), np.array([12.0, 12.0, 1.0])).max() < 0.01
    visits = demonstration(20_000)
    exact = true_probability(visits.columns[DURATION].to_numpy(), visits.columns[PAGES].to_numpy())
    assert abs(exact.mean() - visits.prevalence) < 0.01
    assert 0.9 < roc_auc_score(visits.target, exact) < 1


def test_a_boundary_separates_what_the_truth_separates() -> None:
    visits = demonstration()
    found = boundary(visits, [DURATION, PAGES], exact=true_probability)
    linear, bent, truth = (surface.probabilities > 0.5 for surface in found.surfaces)
    assert (bent == truth).mean() > (linear == truth).mean()
    assert len(picture(visits, found, "demonstration").figure.data) == 12


def test_a_boundary_needs_two_columns_that_are_there() -> None:
    visits = demonstration(100)
    with pytest.raises(BoundaryError, match="no column 'colour': choose two of"):
        boundary(visits, [DURATION, "colour"])
    with pytest.raises(BoundaryError, match="two different columns"):
        boundary(visits, [DURATION, DURATION])


def mixed(rows: int = 600) -> Problem:
    """Return rows with a column of every kind; positive are the members who came in May."""
    rng = np.random.default_rng(0)
    columns = pd.DataFrame(
        {
            "pages": rng.poisson(3, rows).astype(float),
            "spent": np.where(rng.random(rows) < 0.3, 0.0, rng.lognormal(3, 1.5, rows)),
            "month": pd.Categorical(rng.choice(["May", "Feb", "Nov"], rows)),
            "member": rng.random(rows) < 0.5,
        }
    )
    kinds: dict[str, Kind] = {
        "pages": "numeric",
        "spent": "numeric",
        "month": "categorical",
        "member": "boolean",
    }
    happened = (columns["month"] == "May").to_numpy() & columns["member"].to_numpy()
    return Problem("mixed", columns, kinds, happened ^ (rng.random(rows) < 0.05), "bought")


@pytest.mark.parametrize("names", list(itertools.combinations(["pages", "spent", "month", "member"], 2)))
def test_a_boundary_is_drawn_on_any_two_columns(names: tuple[str, str]) -> None:
    problem = mixed()
    found = boundary(problem, names, quick=True)
    drawn = picture(problem, found, "boundary").figure
    assert len(drawn.data) == 2 * 4
    for surface in found.surfaces:
        assert surface.probabilities.shape == (len(found.y.at), len(found.x.at))
    dots = sum(len(trace.x) for trace in drawn.data if trace.type == "scatter") // 2
    assert dots == 400


def test_a_boundary_on_categories_follows_them_in_their_natural_order() -> None:
    found = boundary(mixed(), ["month", "member"], quick=True)
    assert found.x.ticks[1] == ["Feb", "May", "Nov"]
    assert found.y.ticks[1] == ["no", "yes"]
    bent = found.surfaces[1].probabilities
    may, member = np.abs(found.x.at - 1) < 0.5, found.y.at > 0.5
    assert bent[np.ix_(member, may)].min() > 0.5 > bent[np.ix_(~member, may)].max()


def test_skewed_columns_with_zeros_are_spread_and_their_labels_are_where_the_values_are() -> None:
    problem = mixed()
    axis = Axis.of(problem.columns["spent"], "numeric", log=False)
    assert axis.scale == "log1p"
    assert axis.ends[0] == axis.at[0] == 0
    places, labels = axis.ticks
    values = pd.Series([float(label.replace("k", "e3")) for label in labels])
    assert axis.place(values, np.random.default_rng(0)) == pytest.approx(places)
    assert np.interp(places, axis.at, axis.values) == pytest.approx(values, rel=0.05)


def test_experiments_are_judged_against_logistic_regression_on_the_same_rows() -> None:
    visits = demonstration(800)
    train, test, _ = hold_out(visits)
    tried = [e for e in experiments(quick=True) if e.name in (REFERENCE, "no dropout")]
    found = study(visits, train, test, tried)
    assert [outcome.experiment.name for outcome in found.outcomes] == [REFERENCE, "no dropout"]
    for outcome in found.outcomes:
        gap = outcome.figures["auc"] - found.logistic["auc"]
        assert outcome.against["auc"].value == pytest.approx(gap)


def test_a_taught_network_is_judged_like_the_others() -> None:
    visits = demonstration(500)
    train, test, _ = hold_out(visits)
    taught = Experiment(RECOMMENDED, "taught", Architecture(hidden=(8,)), SHORT, folds=2, taught=True)
    (outcome,) = study(visits, train, test, [taught]).outcomes
    assert outcome.parameters > 0
    assert len(outcome.curve.validation_loss) == len(outcome.curve.loss) > 0
    assert 0.5 < outcome.figures["auc"] < 1


def test_the_most_telling_columns_are_found() -> None:
    assert set(telling(demonstration())) == {DURATION, PAGES}


def test_the_experiments_try_every_kind_of_network() -> None:
    tried = experiments()
    shapes = [e.architecture for e in tried]
    assert {shape.body for shape in shapes} == {"plain", "residual"}
    assert {shape.embedding for shape in shapes} == {"none", "piecewise", "periodic"}
    assert {shape.members for shape in shapes} >= {1, 8}
    assert len({shape.activation for shape in shapes}) >= 4
    assert len({shape.dropout for shape in shapes}) >= 3
    assert any(shape.batch_norm for shape in shapes)
    assert len({e.training.weight_decay for e in tried}) >= 3
    assert tried[-1].group == RECOMMENDED and tried[-1].taught
    assert any(e.training.patience == 0 for e in tried) and any(e.training.patience > 0 for e in tried)


def test_the_section_has_every_part_and_writes_the_demonstration(tmp_path: Path) -> None:
    path = write_csv(tmp_path, visits(900).to_csv(index=False))
    section = study_networks(Workspace(path, tmp_path, LabOptions(quick=True)), ["channel", "pages"])
    titles = " ".join(part.title for part in section.parts)
    for part in (
        "Experiments",
        "Log-loss by epoch",
        "Accuracy by epoch",
        "logistic regression",
        "boundary on channel",
        "Demonstration",
    ):
        assert part in titles
    assert len(section.figures["experiments"]) >= 6
    written = pd.read_csv(tmp_path / "demonstration.csv")
    assert list(written) == [DURATION, PAGES, "purchase", "true_probability"]
    exact = true_probability(written[DURATION].to_numpy(), written[PAGES].to_numpy())
    assert written["true_probability"].to_numpy() == pytest.approx(exact, abs=1e-4)

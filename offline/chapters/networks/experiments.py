"""An experiment table of networks: one thing changed at a time, all on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offline.lab.figures import Difference, figures_drawn, paired_differences
from offline.lab.models import (
    BEST_ARCHITECTURE,
    BEST_FOLDS,
    BEST_TRAINING,
    MODELS,
    distilled,
    fit,
    network,
    probabilities,
)
from offline.lab.networks import DistilledNetwork
from offline.lab.networks.architectures import Architecture
from offline.lab.networks.training import Curve, Training
from offline.problems.problem import Problem
from offline.progress import OnProgress

#: What every experiment changes one thing of.
PLAIN: Final = Architecture(hidden=(128, 128), dropout=0.1)
TRAINED: Final = Training(epochs=40, patience=8, batch=512, learning_rate=5e-3)
REFERENCE: Final = "plain, relu"
#: Group of the network that is recommended.
RECOMMENDED: Final = "recommended"


class Experiment(NamedTuple):
    """A network to try.

    Attributes
    ----------
    group
        What is changed: architecture, activation, regularisation, or all of it (recommended).
    taught
        Whether it learns from trees' probabilities too (`offline.lab.networks.DistilledNetwork`).
    """

    group: str
    name: str
    architecture: Architecture
    training: Training = TRAINED
    folds: int = 1
    taught: bool = False


class Outcome(NamedTuple):
    """What came of an experiment: figures on the test, the difference to logistic regression, and the curve."""

    experiment: Experiment
    figures: dict[str, Any]
    against: dict[str, Difference]
    curve: Curve
    parameters: int


class Study(NamedTuple):
    """All outcomes, and logistic regression's figures on the same test."""

    outcomes: list[Outcome]
    logistic: dict[str, Any]
    epochs: int


def experiments(*, quick: bool = False) -> list[Experiment]:
    """Return the experiments; with ``quick``, one of each kind and few epochs."""

    def ed(**changes: Any) -> Architecture:
        return replace(PLAIN, **changes)

    found = [
        Experiment("architecture", REFERENCE, PLAIN),
        Experiment("architecture", "residual", ed(body="residual", hidden=(128, 128, 128))),
        Experiment("architecture", "piecewise-linear embeddings", ed(embedding="piecewise")),
        Experiment("architecture", "periodic embeddings", ed(embedding="periodic")),
        Experiment("architecture", "8 members sharing weights", ed(members=8)),
        Experiment("architecture", "one small layer", ed(hidden=(16,))),
        Experiment("activation", "tanh", ed(activation="tanh")),
        Experiment("activation", "silu", ed(activation="silu")),
        Experiment("activation", "gelu", ed(activation="gelu")),
        Experiment("regularisation", "no dropout", ed(dropout=0.0)),
        Experiment("regularisation", "dropout 0.4", ed(dropout=0.4)),
        Experiment("regularisation", "no weight decay", PLAIN, replace(TRAINED, weight_decay=0.0)),
        # AdamW multiplies its decay by the learning rate: less than this does nothing in some hundred steps.
        Experiment("regularisation", "weight decay 1", PLAIN, replace(TRAINED, weight_decay=1.0)),
        Experiment("regularisation", "no early stopping", PLAIN, replace(TRAINED, patience=0)),
        Experiment("regularisation", "batch normalisation", ed(batch_norm=True)),
        Experiment(
            RECOMMENDED, f"{BEST_ARCHITECTURE.members} members, mean of {BEST_FOLDS} folds",
            BEST_ARCHITECTURE, BEST_TRAINING, BEST_FOLDS,
        ),
        Experiment(
            RECOMMENDED, f"{BEST_ARCHITECTURE.members} members, taught by trees",
            BEST_ARCHITECTURE, BEST_TRAINING, BEST_FOLDS, taught=True,
        ),
    ]  # fmt: skip
    if not quick:
        return found
    kept = {
        REFERENCE,
        "residual",
        "piecewise-linear embeddings",
        "8 members sharing weights",
        "tanh",
        "no dropout",
    }
    return [
        e._replace(training=replace(e.training, epochs=8, patience=min(e.training.patience, 4)))
        for e in found
        if e.name in kept
    ]


def study(
    problem: Problem,
    train: NDArray[np.intp],
    test: NDArray[np.intp],
    tried: Sequence[Experiment],
    *,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Study:
    """Train every network on the same rows and judge it on the same test, beside logistic regression."""
    rows, columns = problem.take(train), problem.columns.iloc[test]
    target = problem.target[test]
    groups = None if problem.groups is None else problem.groups[test]
    linear = probabilities(fit(MODELS["logistic"].make(problem.kinds, seed, False), rows), columns)
    logistic, logistic_drawn = figures_drawn(target, linear, groups, seed=seed)
    outcomes = []
    for at, experiment in enumerate(tried):
        model = network(
            problem.kinds, experiment.architecture, experiment.training, folds=experiment.folds, seed=seed
        )
        if experiment.taught:
            model = distilled([model], problem.kinds, seed)
        fitted = fit(model, rows, _part(on_progress, at, len(tried)))
        trained = fitted.students_[0] if isinstance(fitted, DistilledNetwork) else fitted[-1]
        predicted = probabilities(fitted, columns)
        own, drawn = figures_drawn(target, predicted, groups, seed=seed)
        outcomes.append(
            Outcome(
                experiment,
                own,
                paired_differences(own, drawn, logistic, logistic_drawn),
                trained.curves_[0],
                trained.parameters_,
            )
        )
    return Study(
        outcomes,
        logistic,
        max(experiment.training.epochs for experiment in tried),
    )


def _part(on_progress: OnProgress | None, at: int, of: int) -> OnProgress | None:
    if on_progress is None:
        return None
    return lambda done, total: on_progress(1000 * at + 1000 * done // max(total, 1), 1000 * of)

"""The network and what it is compared with: the same examples to train on, the same slices to be judged on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.bundle import Calibration
from features.events import PURCHASE, TYPE_CODES
from features.vector import Vectors
from offline.examples.examples import Examples
from offline.progress import Progress, silent
from offline.training.baselines import BROWSING_RULE, ORDERS_RULE, fit_lightgbm, fit_logistic, rule_scores
from offline.training.budget import choose_settings
from offline.training.calibration import platt
from offline.training.evaluation import measure, measure_exact
from offline.training.network import Network, NetworkSettings, fit_network
from offline.training.scaling import Scaling
from offline.training.side_targets import side_targets

#: Logits of vectors, before calibration.
Scorer = Callable[[Vectors], NDArray[np.float64]]


class Models(NamedTuple):
    """Trained models: the network, the settings it was trained with, and every model's scorer by name."""

    network: Network
    settings: NetworkSettings
    scorers: dict[str, Scorer]
    rule: str


class EvaluatedModel(NamedTuple):
    """A model's calibration, its probabilities on the calibration and the test slice, and its measures."""

    calibration: Calibration
    reference: NDArray[np.float64]
    tested: NDArray[np.float64]
    metrics: dict[str, Any]


def fit_models(
    examples: Examples,
    rows: NDArray[np.int64],
    horizon_ms: int,
    settings: NetworkSettings | None = None,
    *,
    epochs: float | None = None,
    baselines: bool = True,
    seed: int = 0,
    progress: Progress = silent,
) -> Models:
    """Train the network, and the baselines if wanted, on the given examples.

    Parameters
    ----------
    examples
        With the segment column filled.
    rows
        The training slice.
    settings
        Of the network; by default what fits the number of examples (`offline.training.budget`).
    epochs
        Replaces the epochs of the settings.
    """
    vectors, labels = examples.vectors[rows], examples.labels[rows]
    scaling = Scaling.fit(vectors)
    scaled = scaling.apply(vectors)
    targets = np.column_stack([labels.astype(np.uint8), side_targets(examples, rows, horizon_ms)])
    if settings is None:
        with progress("Choosing the network's size and epochs") as on_progress:
            settings = choose_settings(
                scaled,
                targets,
                examples.customers[rows],
                scaling,
                epochs=epochs,
                seed=seed,
                on_progress=on_progress,
            )
    elif epochs is not None:
        settings = settings._replace(epochs=epochs)
    with progress("Training the network") as on_progress:
        network = fit_network(scaled, targets, scaling, settings, on_progress=on_progress)
    browsing = TYPE_CODES[examples.types[0]] != PURCHASE
    scorers: dict[str, Scorer] = {}
    if baselines:
        scorers["rule"] = lambda some: rule_scores(some, browsing=browsing)
        with progress("Training logistic regression"):
            logistic = fit_logistic(scaled, labels)
            scorers["logistic"] = lambda some: logistic(scaling.apply(some))
        with progress("Training LightGBM") as on_progress:
            scorers["lightgbm"] = fit_lightgbm(vectors, labels, seed=seed, on_progress=on_progress)
    scorers["network"] = network.logits
    return Models(network, settings, scorers, BROWSING_RULE if browsing else ORDERS_RULE)


def judge_models(
    models: Models,
    calibration: tuple[Examples, NDArray[np.int64]],
    test: tuple[Examples, NDArray[np.int64]],
    *,
    seen: NDArray[np.int64] | None = None,
    exact: NDArray[np.float64] | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, EvaluatedModel]:
    """Calibrate every model on one slice and measure it on another.

    Parameters
    ----------
    calibration, test
        Examples and the rows among them.
    seen
        Numbers of the customers in training; where given, measures on the others are added as ``unseen``.
    exact
        On simulated logs the exact probability of each test example; adds the share of the best possible.
    """
    examples, rows = test
    labels, customers = examples.labels[rows], examples.customers[rows]
    reference, vectors = calibration[0].vectors[calibration[1]], examples.vectors[rows]
    new = np.zeros(len(rows), np.bool_) if seen is None else ~np.isin(customers, seen)

    def measures(probabilities: NDArray[np.float64]) -> dict[str, Any]:
        found = measure(labels, probabilities, customers, seed=seed)
        if new.any():
            found["unseen"] = measure(labels[new], probabilities[new], customers[new], seed=seed)
        return found if exact is None else found | measure_exact(exact, probabilities)

    judged: dict[str, EvaluatedModel] = {}
    total = len(models.scorers)
    with progress("Evaluating") as on_progress:
        for done, (name, scorer) in enumerate(models.scorers.items()):
            logits = scorer(reference)
            fitted = platt(logits, calibration[0].labels[calibration[1]])
            tested = fitted.probabilities(scorer(vectors))
            metrics = measures(tested)
            if name == "rule":
                metrics["rule"] = models.rule
            judged[name] = EvaluatedModel(fitted, fitted.probabilities(logits), tested, metrics)
            on_progress(done + 1, total)
        if exact is not None:
            none = np.zeros(0)
            judged["best_possible"] = EvaluatedModel(
                judged["network"].calibration, none, exact, measures(exact)
            )
    return judged

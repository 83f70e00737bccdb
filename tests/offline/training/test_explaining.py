"""The rescale rule as a graph: exact for linear networks, and it adds up for every network that is trained."""

from __future__ import annotations

import numpy as np
import pytest

from features.blocks import BlockedGraph
from features.bundle import Calibration
from features.explainer import TOLERANCE
from features.vector import NEVER_S, WIDTH, Vectors
from offline.exceptions import TrainingError
from offline.training.explaining import Member, choose_reference, export_reasons, reasons_graph
from offline.training.network import NetworkSettings, averaged, export, fit_network
from offline.training.scaling import Scaling

PLAIN = Scaling(np.zeros(WIDTH, np.float32), np.ones(WIDTH, np.float32))
LINEAR = np.zeros(WIDTH, np.bool_)
CALIBRATION = Calibration(slope=0.8, intercept=-0.3, examples=1)


def vectors_of(seed: int, rows: int) -> Vectors:
    rng = np.random.default_rng(seed)
    found = np.abs(rng.normal(size=(rows, WIDTH))) * 10 ** rng.uniform(-1, 6, size=(rows, WIDTH))
    return found.astype(np.float32)


def test_a_linear_networks_effects_are_weights_times_differences() -> None:
    rng = np.random.default_rng(1)
    weights = rng.integers(-8, 8, size=(WIDTH, 1)).astype(np.float32)
    member = Member([(weights, np.ones(1, np.float32))], "relu")
    vectors = rng.integers(-50, 50, size=(40, WIDTH)).astype(np.float32)
    graph = reasons_graph([member], PLAIN, vectors[:1], slope=0.5, clip=1e3, on_log_scale=LINEAR)
    found = BlockedGraph(graph, "graph", WIDTH).values(vectors)
    np.testing.assert_array_equal(found, 0.5 * weights[:, 0] * (vectors - vectors[0]))


def test_one_units_secant_is_shared_by_its_inputs() -> None:
    """By hand: relu(a + b - 2) from (0, 0) to (3, 1) rises by 2 on a run of 4, so a has 1.5 and b 0.5."""
    weights = np.zeros((WIDTH, 1), np.float32)
    weights[:2] = 1
    layers = [(weights, np.array([-2], np.float32)), (np.ones((1, 1), np.float32), np.zeros(1, np.float32))]
    vectors = np.zeros((1, WIDTH), np.float32)
    vectors[0, :2] = 3, 1
    graph = reasons_graph([Member(layers, "relu")], PLAIN, np.zeros_like(vectors), on_log_scale=LINEAR)
    found = BlockedGraph(graph, "graph", WIDTH).values(vectors)[0]
    assert found[:3].tolist() == [1.5, 0.5, 0.0]


@pytest.mark.parametrize(
    ("settings", "members"),
    [
        (NetworkSettings(hidden=(24, 12), epochs=4, batch=128, learning_rate=1e-2), 1),
        (NetworkSettings(hidden=(32,), activation="tanh", epochs=4, batch=128, learning_rate=1e-2), 2),
    ],
)
def test_effects_of_a_trained_network_sum_to_its_log_odds(settings: NetworkSettings, members: int) -> None:
    vectors = vectors_of(5, 1_500)
    scaling = Scaling.fit(vectors)
    scaled = scaling.apply(vectors)
    targets = (scaled[:, [0, 3]] + scaled[:, [1, 4]] > 0.5).astype(np.uint8)
    trained = [fit_network(scaled, targets, scaling, settings._replace(seed=n)) for n in range(members)]
    network = trained[0] if members == 1 else averaged(trained)
    customer = choose_reference(network, CALIBRATION, vectors)
    # Beside strangers, some who are almost the reference customer: secants there have hardly a run.
    close = customer.row * (1 + 1e-3 * np.random.default_rng(0).normal(size=(200, WIDTH)))
    asked = np.concatenate([vectors_of(6, 1_000), close.astype(np.float32), customer.row])
    effects = BlockedGraph(export_reasons(network, CALIBRATION, customer), "graph", WIDTH).values(asked)
    logits = BlockedGraph(export(network, vectors[:100]), "network", 1).values(asked)[:, 0]
    log_odds = CALIBRATION.log_odds(logits)
    assert abs(log_odds[-1] - customer.log_odds) < TOLERANCE
    np.testing.assert_allclose(effects.sum(axis=1), log_odds - log_odds[-1], atol=TOLERANCE, rtol=0)
    assert np.abs(log_odds - log_odds[-1]).max() > 1


def test_the_reference_customer_is_about_average_and_nobodys_exact_numbers() -> None:
    vectors = vectors_of(5, 1_500)
    vectors[:, 6] = NEVER_S
    scaling = Scaling.fit(vectors)
    targets = (scaling.apply(vectors)[:, [0]] > 0.5).astype(np.uint8)
    network = fit_network(scaling.apply(vectors), targets, scaling, NetworkSettings(hidden=(8,), batch=64))
    customer = choose_reference(network, CALIBRATION, vectors)
    log_odds = CALIBRATION.log_odds(network.logits(vectors))
    share_below = (log_odds < customer.log_odds).mean()
    assert abs(share_below - (log_odds < log_odds.mean()).mean()) < 0.05
    assert not (vectors == customer.row).all(axis=1).any()
    assert customer.row[0, 6] == np.float32(NEVER_S)


def test_an_activation_without_a_rule_is_refused() -> None:
    layers = [(np.ones((WIDTH, 1), np.float32), np.zeros(1, np.float32))] * 2
    with pytest.raises(TrainingError, match="no rule for the activation 'gelu': use one of silu, tanh, relu"):
        reasons_graph([Member(layers, "gelu")], PLAIN, np.zeros((1, WIDTH), np.float32))

"""The network: deterministic, learns, and is the same in ONNX as in Keras."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from features.onnx_runtime import ort
from features.vector import COLUMNS, WIDTH, Vectors
from offline.exceptions import TrainingError
from offline.training import budget
from offline.training.budget import choose_settings
from offline.training.network import PARITY, Network, NetworkSettings, export, fit_network
from offline.training.scaling import Scaling

SMALL = NetworkSettings(hidden=(16,), epochs=20, batch=128, learning_rate=1e-2, l2=1e-2)


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    rng = np.random.default_rng(1)
    drawn = rng.lognormal(3, 2, (6_000, WIDTH)).astype(np.float32)
    linear = [i for i, column in enumerate(COLUMNS) if column.transform == "linear"]
    drawn[:, linear] = rng.uniform(-1, 1, (6_000, len(linear)))
    return drawn


@pytest.fixture(scope="module")
def targets(vectors: Vectors) -> NDArray[np.uint8]:
    """The label depends on two columns and on no line through them; the side target on one."""
    a, b = np.log1p(vectors[:, 0]), np.log1p(vectors[:, 1])
    return np.column_stack([(a > 3) != (b > 3), a > 4]).astype(np.uint8)


@pytest.fixture(scope="module")
def network(vectors: Vectors, targets: NDArray[np.uint8]) -> Network:
    scaling = Scaling.fit(vectors[:5_000])
    return fit_network(scaling.apply(vectors[:5_000]), targets[:5_000], scaling, SMALL)


def test_the_network_learns_what_no_line_can(
    network: Network, vectors: Vectors, targets: NDArray[np.uint8]
) -> None:
    assert roc_auc_score(targets[5_000:, 0], network.logits(vectors[5_000:])) > 0.9


def test_onnx_answers_as_keras_does_for_plain_huge_and_infinite_values(
    network: Network, vectors: Vectors
) -> None:
    sample = np.concatenate(
        [
            vectors[:500],
            np.zeros((1, WIDTH), np.float32),
            np.full((1, WIDTH), 3e38, np.float32),
            np.full((1, WIDTH), np.inf, np.float32),
            np.full((1, WIDTH), -5, np.float32),
        ]
    )
    session = ort.InferenceSession(export(network, sample), providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    assert (entry.type, entry.shape[1]) == ("tensor(float)", WIDTH)
    (logits,) = session.run(None, {entry.name: sample})
    assert logits.shape == (len(sample), 1)
    assert np.isfinite(logits).all()
    assert np.abs(logits[:, 0] - network.logits(sample)).max() < PARITY


def test_equal_seeds_give_equal_bytes_and_other_seeds_other_ones(
    network: Network, vectors: Vectors, targets: NDArray[np.uint8]
) -> None:
    scaled = network.scaling.apply(vectors[:5_000])
    again = fit_network(scaled, targets[:5_000], network.scaling, SMALL)
    other = fit_network(scaled, targets[:5_000], network.scaling, SMALL._replace(seed=1))
    assert again.to_onnx() == network.to_onnx()
    assert other.to_onnx() != network.to_onnx()


def test_what_else_a_process_has_built_does_not_show_in_the_bytes(
    network: Network, vectors: Vectors, targets: NDArray[np.uint8]
) -> None:
    """Keras counts layers, and the converter sorts by their names: the 10th comes before the 9th."""
    scaled = network.scaling.apply(vectors[:500])
    tiny = SMALL._replace(hidden=(4, 4), epochs=1)
    exported = {fit_network(scaled, targets[:500], network.scaling, tiny).to_onnx() for _ in range(4)}
    assert len(exported) == 1


def test_an_export_that_answers_differently_is_refused(
    network: Network, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = network.to_onnx()
    other = Network(network._core, Scaling(network.scaling.center + 1, network.scaling.scale))
    monkeypatch.setattr(other, "to_onnx", lambda: exported)
    with pytest.raises(TrainingError, match="differs from Keras"):
        export(other, vectors[:10])


def test_progress_counts_every_step(vectors: Vectors, targets: NDArray[np.uint8]) -> None:
    scaling = Scaling.fit(vectors)
    seen: list[tuple[int, int]] = []
    fit_network(
        scaling.apply(vectors),
        targets,
        scaling,
        SMALL._replace(epochs=1.5),
        on_progress=lambda done, total: seen.append((done, total)),
    )
    steps = int(6_000 * 1.5 / 128)
    assert seen[-1] == (steps, steps)


def test_with_few_examples_size_and_epochs_are_chosen_on_held_out_customers(
    vectors: Vectors, targets: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "_SIZES", ((16,),))
    monkeypatch.setattr(budget, "_EPOCHS", (0.1, 6.0))
    scaling = Scaling.fit(vectors)
    scaled = scaling.apply(vectors)
    customers = np.arange(len(vectors)) // 3
    chosen = choose_settings(scaled, targets, customers, scaling)
    assert (chosen.hidden, chosen.epochs) == ((16,), 6.0)
    monkeypatch.setattr(budget, "PLENTY", 1_000)
    assert choose_settings(scaled, targets, customers, scaling) == NetworkSettings()


def test_noise_is_not_fitted_for_long(vectors: Vectors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "_SIZES", ((64,),))
    monkeypatch.setattr(budget, "_EPOCHS", (1.0, 30.0))
    noise = np.random.default_rng(2).integers(2, size=(2_000, 1)).astype(np.uint8)
    scaling = Scaling.fit(vectors)
    chosen = choose_settings(scaling.apply(vectors[:2_000]), noise, np.arange(2_000), scaling)
    assert chosen.epochs == 1.0

"""Small logs of orders: the network is trained again on everything."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from features.bundle import Bundle
from features.log import conform, read_log, write_log
from features.state import DAY_MS
from features.vector import WIDTH
from offline.examples.examples import Context, Examples, build_examples
from offline.training.network import NetworkSettings, averaged, fit_network
from offline.training.refitting import MEMBERS, parts_of, refit, settings_for, worth_refitting
from offline.training.scaling import Scaling
from offline.training.train import TrainingSettings, train

SMALL = NetworkSettings((8,), epochs=4, batch=64)
START = 1_704_067_200_000  # 2024-01-01


def orders(customers: int = 300, browsing: bool = False) -> pa.Table:
    """Return a log in which every second customer orders about every 20 days, the others once or after half a year."""
    rng = np.random.default_rng(4)
    rows = []
    for customer in range(customers):
        mean = 20 if customer % 2 else 160
        at = rng.uniform(0, 100)
        while at < 365:
            rows.append((START + int(at * DAY_MS), f"c{customer}"))
            at += rng.gamma(4, mean / 4)
    rows.sort()
    return pa.table(
        {
            "event_id": [f"o{i}" for i in range(len(rows))],
            "type": ["view_item" if browsing and i % 2 else "purchase" for i in range(len(rows))],
            "customer_id": [c for _, c in rows],
            "event_time": pa.array([t for t, _ in rows], pa.timestamp("ms", tz="UTC")),
            "value": rng.lognormal(3, 1, len(rows)),
            "currency": ["GBP"] * len(rows),
        }
    )


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("orders") / "orders.parquet"
    write_log(path, orders(), metadata={"source": "orders"})
    return path


@pytest.fixture(scope="module")
def bundle(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    settings = TrainingSettings(horizon_ms=30 * DAY_MS, currency="GBP", network=SMALL, baselines=False)
    return train(log, tmp_path_factory.mktemp("bundle"), settings)


@pytest.fixture(scope="module")
def examples(log: Path, bundle: Bundle) -> Examples:
    found = build_examples(read_log(log), Context(30 * DAY_MS, "next-day", currency="GBP"))
    bundle.segmenter.assign(found.vectors)
    return found


def test_the_bundle_of_a_small_log_of_orders_is_trained_on_every_known_label(
    bundle: Bundle, examples: Examples
) -> None:
    rows = np.flatnonzero(examples.usable)
    assert f"all {len(rows)} examples" in bundle.manifest.split["trained_again"]
    latest = rows[np.argsort(examples.as_of[rows], kind="stable")][-(len(rows) // 3) :]
    assert bundle.calibration.examples == len(latest)
    probability = bundle.score(examples.vectors[latest]).probability
    assert probability.mean() == pytest.approx(examples.labels[latest].mean(), abs=0.05)


def test_training_again_twice_gives_the_same_network(bundle: Bundle, examples: Examples) -> None:
    again = refit(examples, 30 * DAY_MS, SMALL)
    assert again is not None
    assert again.calibration == bundle.calibration
    np.testing.assert_allclose(
        again.network.logits(examples.vectors[:50]), bundle.logits(examples.vectors[:50]), atol=1e-4
    )


def test_the_mean_of_networks_has_the_mean_of_their_logits() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.gamma(1.0, 2.0, (400, WIDTH)).astype(np.float32)
    targets = (vectors[:, :1] > 2).astype(np.uint8)
    scaling = Scaling.fit(vectors)
    members = [
        fit_network(scaling.apply(vectors), targets, scaling, SMALL._replace(seed=seed)) for seed in (0, 1, 2)
    ]
    mean = np.mean([member.logits(vectors) for member in members], axis=0)
    np.testing.assert_allclose(averaged(members).logits(vectors), mean, atol=1e-5)


def test_a_customer_is_in_one_part_only_and_parts_are_of_one_size() -> None:
    customers = np.random.default_rng(2).integers(0, 103, 1_000)
    parts = parts_of(customers, MEMBERS, 0)
    of_customer = {(c, p) for c, p in zip(customers.tolist(), parts.tolist(), strict=True)}
    assert len(of_customer) == 103
    sizes = np.bincount([p for _, p in of_customer])
    assert sizes.max() - sizes.min() <= 1


def test_logs_with_browsing_are_left_alone() -> None:
    examples = build_examples(conform(orders(browsing=True)), Context(30 * DAY_MS, "next-day"))
    assert not worth_refitting(examples)
    assert settings_for(examples, np.arange(5_000)) is None

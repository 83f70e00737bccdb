"""`intent train`, from a log to a bundle that scores."""

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from features.bundle import MANIFEST, Bundle
from features.log import write_log
from features.traffic import DEFAULT_BOTS
from features.vector import schema_hash
from offline.examples.examples import Context, build_examples
from offline.exceptions import TrainingError
from offline.simulator.shop import ShopParameters
from offline.simulator.simulation import Simulation, simulate
from offline.training.needs import needs
from offline.training.network import NetworkSettings
from offline.training.splitting import split_by_time
from offline.training.train import TrainingSettings, context_of, latest_vectors, train
from stream.cli import create_app

NOW = dt.datetime(2025, 3, 1, 12, tzinfo=dt.UTC)
QUICK = TrainingSettings(
    network=NetworkSettings(hidden=(16,), epochs=3, batch=128, learning_rate=1e-2), seed=3
)
MODELS = {"rule", "logistic", "lightgbm", "network", "best_possible"}


def write(path: Path, log: pa.Table) -> Path:
    write_log(path, log, metadata=Simulation.of(log).metadata())
    return path


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = simulate(ShopParameters.default(), customers=3_000, days=4, seed=21)
    return write(tmp_path_factory.mktemp("log") / "log.parquet", table)


@pytest.fixture(scope="module")
def folder(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    train(log, folder, QUICK, now=NOW)
    return folder


def test_the_bundle_holds_six_files_and_loads(folder: Path) -> None:
    assert {p.name for p in folder.iterdir()} == {
        "network.onnx",
        "segmenter.json",
        "calibration.json",
        "manifest.json",
        "reference.json",
        "reasons.onnx",
    }
    manifest = Bundle.load(folder).manifest
    assert manifest.features_version == schema_hash()
    assert (manifest.horizon_seconds, manifest.label_start) == (1800, "0")
    assert (manifest.timezone, manifest.currency) == ("UTC", "EUR")
    assert manifest.bots == list(DEFAULT_BOTS)
    assert manifest.created_at == "2025-03-01T12:00:00+00:00"
    assert "purchase" not in manifest.example_types
    assert manifest.data.source == "simulator"


def test_the_bundle_scores_a_test_slice_as_the_manifest_says(log: Path, folder: Path) -> None:
    """The metrics can be had again from nothing but the bundle and the log."""
    from features.log import read_log
    from offline.training.evaluation import measure

    bundle = Bundle.load(folder)
    context = Context(1_800_000, "0")
    examples = build_examples(read_log(log), context)
    rows = split_by_time(examples, context.horizon_ms).slices(examples).test
    said = bundle.score(examples.vectors[rows])
    found = measure(examples.labels[rows], said.probability, examples.customers[rows], replicates=1)
    written = bundle.manifest.metrics["network"]
    assert found["examples"] == written["examples"]
    assert found["auc"] == pytest.approx(written["auc"], abs=1e-4)
    assert found["log_loss"] == pytest.approx(written["log_loss"], abs=1e-5)


def test_every_model_is_measured_on_the_same_events(folder: Path) -> None:
    metrics = Bundle.load(folder).manifest.metrics
    assert set(metrics) == MODELS
    assert len({(m["examples"], m["prevalence"]) for m in metrics.values()}) == 1
    for name, found in metrics.items():
        low, high = found["ci"]["auc"]
        assert low < found["auc"] < high, name
        assert found["unseen"]["examples"] < found["examples"]
        assert (found["share"] == 1) == (name == "best_possible")
        assert found["log_loss_share"] <= 1
    assert "cart" in metrics["rule"]["rule"]
    assert metrics["network"]["share"] > 0.5


def test_bands_come_from_the_calibration_slice(log: Path, folder: Path) -> None:
    from features.log import read_log

    bundle = Bundle.load(folder)
    examples = build_examples(read_log(log), Context(1_800_000, "0"))
    rows = split_by_time(examples, 1_800_000).slices(examples).calibration
    said = bundle.score(examples.vectors[rows])
    assert (said.band == 2).mean() == pytest.approx(0.05, abs=0.01)
    assert (said.band == 1).mean() == pytest.approx(0.15, abs=0.02)
    assert said.probability.mean() == pytest.approx(examples.labels[rows].mean(), abs=0.002)


def test_training_twice_gives_the_same_bundle(log: Path, folder: Path, tmp_path: Path) -> None:
    train(log, tmp_path, QUICK._replace(baselines=False), now=NOW)
    for name in ("network.onnx", "reasons.onnx", "segmenter.json", "calibration.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    one, two = Bundle.load(folder).manifest, Bundle.load(tmp_path).manifest
    assert one.version == two.version
    assert set(two.metrics) == {"network", "best_possible"}


def test_segments_are_learned_from_the_training_period_only(log: Path) -> None:
    from features.log import read_log

    examples = build_examples(read_log(log), Context(1_800_000, "0"))
    split = split_by_time(examples, 1_800_000)
    early = examples.as_of < split.calibration - split.horizon_ms
    vectors = latest_vectors(examples, split)
    assert len(vectors) == len(np.unique(examples.customers[early])) < examples.customers.max()
    customer = examples.customers[0]
    last = np.flatnonzero(early & (examples.customers == customer))[-1]
    assert (vectors == examples.vectors[last]).all(axis=1).any()


def test_orders_weeks_apart_are_predicted_from_purchases(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    start = 1_704_067_200_000  # 2024-01-01
    # Regular customers order about every 20 days, the others once or after half a year.
    rows = []
    for customer in range(400):
        mean = 20 if customer % 2 else 160
        at = rng.uniform(0, 100)
        while at < 365:
            rows.append((start + int(at * 86_400_000), f"c{customer}"))
            at += rng.gamma(4, mean / 4)
    rows.sort()
    times = pa.array([t for t, _ in rows], pa.timestamp("ms", tz="UTC"))
    table = pa.table(
        {
            "event_id": [f"o{i}" for i in range(len(rows))],
            "type": ["purchase"] * len(rows),
            "customer_id": [c for _, c in rows],
            "event_time": times,
            "value": rng.lognormal(3, 1, len(rows)),
            "currency": ["GBP"] * len(rows),
        }
    )
    write_log(tmp_path / "orders.parquet", table, metadata={"timezone": "Europe/London", "source": "orders"})
    settings = QUICK._replace(horizon_ms=30 * 86_400_000, network=NetworkSettings((8,), epochs=20, batch=64))
    bundle = train(tmp_path / "orders.parquet", tmp_path / "bundle", settings)
    manifest = bundle.manifest
    assert manifest.example_types == ["purchase"]
    assert (manifest.label_start, manifest.timezone, manifest.currency) == (
        "next-day",
        "Europe/London",
        "GBP",
    )
    assert set(manifest.metrics) == MODELS - {"best_possible"}
    assert manifest.metrics["network"]["auc"] > 0.7
    assert manifest.metrics["rule"]["rule"].startswith("the more purchases")
    # An average of several networks, whose layers Keras would number on from those of the first training.
    again = train(tmp_path / "orders.parquet", tmp_path / "again", settings)
    assert again.manifest.version == manifest.version


def test_settings_come_before_the_log_and_the_log_before_defaults() -> None:
    currencies = pa.table({"currency": pa.array(["USD", "GBP", "GBP", None])})
    asked = TrainingSettings(timezone="Asia/Tokyo", currency="JPY")
    assert context_of(currencies, {"currency": "EUR"}, asked)[2:4] == ("Asia/Tokyo", "JPY")
    assert context_of(currencies, {"currency": "EUR", "timezone": "Europe/Paris"}, TrainingSettings())[
        2:4
    ] == (
        "Europe/Paris",
        "EUR",
    )
    assert context_of(currencies, {}, TrainingSettings())[2:4] == ("UTC", "GBP")
    nothing = pa.table({"currency": pa.array([None], pa.string())})
    assert context_of(nothing, {}, TrainingSettings())[2:4] == ("UTC", "EUR")


def test_what_no_folding_can_mend_is_told_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def folded(*args: object, **options: object) -> None:
        raise AssertionError("nothing is to be folded")

    monkeypatch.setattr("offline.training.train.build_examples", folded)
    table = simulate(ShopParameters.default(), customers=200, days=2, seed=1)
    for number, (part, horizon_ms, told) in enumerate(
        [
            (
                table.slice(0, 20),
                None,
                rf"the log has 20 events, \d+ of them purchases; {needs()}: use a longer log",
            ),
            (
                table,
                24 * 3_600_000,
                r"the log is too short: its events span 2 d, a horizon of 1 d .* needs 3 d:",
            ),
        ]
    ):
        path = write(tmp_path / f"{number}.parquet", part)
        (tmp_path / "bundle").mkdir(exist_ok=True)
        (tmp_path / "bundle" / MANIFEST).write_text("{}")
        notes: list[str] = []
        with pytest.raises(TrainingError, match=told):
            train(path, tmp_path / "bundle", QUICK._replace(horizon_ms=horizon_ms), on_note=notes.append)
        assert not [note for note in notes if "replaced" in note], "the bundle stays"


def test_a_log_without_purchases_says_so(tmp_path: Path) -> None:
    table = simulate(ShopParameters.default(), customers=200, days=2, seed=1)
    import pyarrow.compute as pc

    path = write(tmp_path / "log.parquet", table.filter(pc.not_equal(table["type"], "purchase")))
    with pytest.raises(TrainingError, match=r"events, 0 of them purchases; training, calibration and"):
        train(path, tmp_path / "bundle", QUICK)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("package", ["sklearn", "tensorflow"])
def test_without_the_extra_the_command_ends_with_one_line(package: str, log: Path, tmp_path: Path) -> None:
    script = f"import sys; sys.modules[{package!r}] = None; from stream.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", script, "train", str(log), "-o", str(tmp_path / "b")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "pip install -c constraints.txt -e '.[train]'" in ended.stderr


def test_the_command_prints_the_manifest_as_json(log: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        create_app(),
        ["train", str(log), "-o", str(tmp_path / "b"), "--epochs", "0.2", "--no-baselines", "--json"],
    )
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    manifest = msgspec.json.decode((tmp_path / "b" / "manifest.json").read_bytes())
    assert printed == {"bundle": str(tmp_path / "b")} | manifest
    assert printed["split"]["network"]["epochs"] == 0.2


def test_the_command_shows_models_and_segments(log: Path, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / MANIFEST).write_text("{}")
    result = CliRunner().invoke(
        create_app(), ["train", str(log), "-o", str(tmp_path / "b"), "--epochs", "0.2", "--no-baselines"]
    )
    assert result.exit_code == 0, result.output
    assert "b holds a bundle already: it will be replaced" in " ".join(result.stderr.split())
    for text in ("network", "best possible", "AUC", "prevalence", "Segments", "visits"):
        assert text in result.stdout

"""`intent examples` ends as people expect it to, whatever happens to it, and `intent train` takes what it wrote."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from features.bundle import Bundle
from offline.examples.buckets import BuildSettings, build_folder
from offline.examples.buckets.sizes import TRAINED_ROW_BYTES
from offline.examples.examples import Asked
from offline.exceptions import TrainingError
from offline.training.network import NetworkSettings
from offline.training.train import TrainingSettings, train
from stream.cli import create_app
from tests.offline.examples.bucket_logs import MINUTE, clean, write

pytest.importorskip("distributed")
MEMORY = 10**9
TRAINING_BASE = 10**9
SETTINGS = TrainingSettings(
    network=NetworkSettings(hidden=(8,), epochs=1, batch=256, learning_rate=1e-2), baselines=False
)


def intent(*arguments: str) -> subprocess.Popen[str]:
    """Start the command line as a process."""
    return subprocess.Popen(
        [sys.executable, "-c", "from stream.cli import main; main()", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("log") / "log.parquet", clean(3_000, seed=21), simulated=True)


@pytest.fixture(scope="module")
def folder(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    build_folder(log, folder, BuildSettings(buckets=4, workers=1, memory=MEMORY))
    return folder


@pytest.fixture(scope="module")
def bundle(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    train(log, folder, SETTINGS)
    return folder


def test_the_command_prints_its_manifest(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "examples"
    process = intent("examples", str(log), "-o", str(out), "--workers", "1", "--memory", "1GB", "--json")
    printed, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    manifest = json.loads(printed)
    assert manifest == {"folder": str(out)} | json.loads((out / "examples.json").read_bytes())
    assert manifest["rows"] == pq.ParquetFile(log).metadata.num_rows
    assert manifest["buckets"] == 1


def test_an_unreachable_scheduler_ends_with_one_line(log: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    began = time.monotonic()
    process = intent("examples", str(log), "-o", str(tmp_path / "e"), "--scheduler", address)
    printed, errors = process.communicate(timeout=60)
    assert (process.returncode, printed, errors.count("\n")) == (1, "", 1)
    assert f"no Dask scheduler answers at {address}" in errors
    assert time.monotonic() - began < 30
    assert not (tmp_path / "e").exists()


@pytest.mark.parametrize("address", ["nonsense", "http:/x", "host:port"])
def test_what_is_no_address_is_refused_at_once(address: str, log: Path, tmp_path: Path) -> None:
    arguments = ["examples", str(log), "-o", str(tmp_path / "e"), "--scheduler", address]
    result = CliRunner().invoke(create_app(), arguments)
    assert "is no address of a Dask scheduler" in str(result.exception)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_build_leaves_nothing(number: signal.Signals, log: Path, tmp_path: Path) -> None:
    out = tmp_path / "examples"
    process = intent("examples", str(log), "-o", str(out), "--workers", "1", "--buckets", "5000")
    try:
        deadline = time.monotonic() + 120
        while not list(out.glob(".spill-*/piece-*.arrow")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        for _ in range(2 if number == signal.SIGTERM else 1):  # as GNU timeout does: to it, and to its group
            process.send_signal(number)
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert not out.exists()


def test_a_folder_trains_the_bundle_that_its_log_trains(folder: Path, bundle: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    train(folder, tmp_path / "b", SETTINGS, on_note=notes.append)
    for name in ("network.onnx", "segmenter.json", "calibration.json", "reference.json"):
        assert (tmp_path / "b" / name).read_bytes() == (bundle / name).read_bytes(), name
    ours, theirs = (json.loads((path / "manifest.json").read_bytes()) for path in (tmp_path / "b", bundle))
    assert ours | {"created_at": ""} == theirs | {"created_at": ""}
    assert "best_possible" in ours["metrics"]
    assert not notes


def test_with_little_memory_a_part_of_the_customers_is_used_and_said(folder: Path, tmp_path: Path) -> None:
    rows = json.loads((folder / "examples.json").read_bytes())["rows"]
    memory = TRAINING_BASE + rows * TRAINED_ROW_BYTES // 2
    notes: list[str] = []
    bundle = train(folder, tmp_path / "b", SETTINGS._replace(memory=memory), on_note=notes.append)
    said = bundle.manifest.split["sampled"]
    assert said.startswith("50.00% of the customers, chosen by the hash of their id: ")
    assert notes == [f"Training on {said}."]
    used = bundle.manifest.metrics["network"]["customers"]
    everyone = train(folder, tmp_path / "all", SETTINGS).manifest.metrics["network"]["customers"]
    assert 0.4 < used / everyone < 0.6


def test_a_log_too_big_for_memory_is_built_bucket_by_bucket(log: Path, folder: Path, tmp_path: Path) -> None:
    memory = TRAINING_BASE + pq.ParquetFile(log).metadata.num_rows * TRAINED_ROW_BYTES // 2
    direct = train(log, tmp_path / "direct", SETTINGS._replace(memory=memory))
    train(folder, tmp_path / "folder", SETTINGS._replace(memory=memory))
    assert "sampled" in direct.manifest.split
    for name in ("network.onnx", "segmenter.json", "calibration.json"):
        assert (tmp_path / "direct" / name).read_bytes() == (tmp_path / "folder" / name).read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"direct", "folder"}


def test_a_folder_built_for_another_horizon_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"built with horizon_ms 1800000, --horizon asks for 3600000"):
        train(folder, tmp_path / "b", SETTINGS._replace(horizon_ms=60 * MINUTE))
    with pytest.raises(TrainingError, match=r"built with currency EUR, INTENT_CURRENCY asks for USD"):
        train(folder, tmp_path / "b", SETTINGS._replace(currency="USD"))


def test_the_command_takes_the_horizon_of_the_folder(log: Path, tmp_path: Path) -> None:
    asked = Asked(10 * MINUTE)
    build_folder(log, tmp_path / "e", BuildSettings(asked, buckets=2, workers=1, memory=MEMORY))
    arguments = ["train", str(tmp_path / "e"), "-o", str(tmp_path / "b"), "--epochs", "0.2", "--no-baselines"]
    result = CliRunner().invoke(create_app(), arguments)
    assert result.exit_code == 0, result.output
    assert Bundle.load(tmp_path / "b").manifest.horizon_seconds == 600
    assert np.isfinite(Bundle.load(tmp_path / "b").manifest.metrics["network"]["auc"])

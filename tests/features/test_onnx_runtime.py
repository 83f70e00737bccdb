"""No thread of this program sends anything to anybody: ONNX Runtime's telemetry is off wherever it is loaded."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.document_blocks import ROOT


def test_loading_it_starts_no_telemetry_and_makes_no_id(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", "import features.blocks"],
        env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name]


@pytest.mark.parametrize("room", ["features", "offline", "stream", "benchmarks", "tests"])
def test_nobody_loads_it_in_another_way(room: str) -> None:
    found = [
        str(path.relative_to(ROOT))
        for path in (ROOT / room).rglob("*.py")
        if re.search(r"^\s*(import|from) onnxruntime", path.read_text(), re.MULTILINE)
    ]
    assert found == (["features/onnx_runtime.py"] if room == "features" else [])

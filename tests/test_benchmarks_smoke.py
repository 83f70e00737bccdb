"""The benchmark runs, and its peers do the same job."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream.messages.score import decode_score

peers = pytest.mark.skipif(
    None in map(find_spec, ("bytewax", "confluent_kafka", "quixstreams")),
    reason="the peers are in the dependency group bench",
)

ROOT = Path(__file__).resolve().parent.parent


@peers
def test_a_peer_writes_what_readers_of_scores_read(tmp_path: Path) -> None:
    from benchmarks.peers.job import Network, fold
    from benchmarks.workload import simulated, write_bundle

    write_bundle(tmp_path)
    records, network = simulated(500, 50), Network(tmp_path)
    states: dict[bytes, dict[str, float]] = {}
    for key, value in zip(records.keys, records.values, strict=True):
        event = msgspec.json.decode(value)
        state = states.setdefault(key, {})
        fold(state, event)
        score = decode_score(msgspec.json.encode(network.score(state, event)))
        assert (score.event_id, score.customer_id) == (event["event_id"], key.decode())
    assert sum(state["events"] for state in states.values()) == len(records)


def measured(*names: str) -> dict[str, Any]:
    command = [
        sys.executable, "-m", "benchmarks", "--json", "--events", "6000", "--customers", "300",
        "--only", ",".join(names), "--seconds", "3", "--rounds", "1",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.integration
@pytest.mark.slow
def test_the_benchmark_compares_the_worker_with_plain_work_and_with_more_to_do() -> None:
    found = measured("ours", "plain", "steps", "scores", "traced", "acts", "reasons")
    assert found["events"] == dict.fromkeys(("ours", "plain", "scores", "traced", "acts", "reasons"), 6000)
    assert min(found["ours"], found["plain"], *found["ratios"].values()) > 0
    assert min(found["steps_us"].values()) > 0
    assert found["faust"] is None
    assert found["burdens"].keys() == {
        "traced by scores",
        "acts by scores",
        "reasons by acts",
        "reasons by scores",
    }
    assert min(ratio for burden in found["burdens"].values() for ratio in burden.values()) > 0


@peers
@pytest.mark.integration
@pytest.mark.slow
def test_the_benchmark_compares_the_worker_with_a_peer() -> None:
    found = measured("ours", "bytewax")
    assert min(found["ours"], found["bytewax"], *found["ratios"].values()) > 0

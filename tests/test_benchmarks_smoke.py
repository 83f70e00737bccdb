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

from benchmarks.peers import jvm
from benchmarks.peers.checking import Check, Expected
from benchmarks.peers.job import Task
from benchmarks.workload import simulated, write_bundle
from stream.messages.score import decode_score

peers = pytest.mark.skipif(
    None in map(find_spec, ("bytewax", "confluent_kafka", "quixstreams")),
    reason="the peers are in the dependency group bench",
)

ROOT = Path(__file__).resolve().parent.parent


@peers
def test_a_peer_writes_what_readers_of_scores_read(tmp_path: Path) -> None:
    from benchmarks.peers.job import Network, fold

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


def test_a_check_finds_wrong_missing_and_repeated_scores(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    task = Task("", "", "", "", tmp_path, tmp_path, "")
    expected = Expected.of(task, simulated(6000, 300))
    scores = [
        {"event_id": event, "purchase_intent": intent} for event, intent in expected.probabilities.items()
    ]

    def check(scores: list[dict[str, Any]], *, complete: bool = True) -> Check:
        return expected.check(map(msgspec.json.encode, scores), complete=complete)

    known = len(scores)
    assert known > 10
    assert check(scores) == (known, 0)
    assert check([*scores[1:], {**scores[0], "purchase_intent": 0.123}]) == (known, 1)
    assert check([*scores, scores[0]]) == (known, 1)
    assert check(scores[3:]) == (known, 3)
    assert check(scores[3:], complete=False) == (known - 3, 0)


def test_without_java_its_peers_are_skipped_with_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.__main__ import _to_be_had

    monkeypatch.setenv("PATH", "")
    assert _to_be_had(["ours", "streams", "flink", "steps"]) == ["ours", "steps"]
    said = capsys.readouterr().err.strip()
    assert said.startswith("Skipping streams, flink: java and javac and mvn not found")
    assert "\n" not in said


def measured(*names: str) -> dict[str, Any]:
    command = [
        sys.executable, "-m", "benchmarks", "--json", "--events", "6000", "--customers", "300",
        "--only", ",".join(names), "--seconds", "3", "--rounds", "1",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.timeout(660)
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
@pytest.mark.timeout(660)
def test_the_benchmark_compares_the_worker_with_a_peer() -> None:
    found = measured("ours", "bytewax")
    assert min(found["ours"], found["bytewax"], *found["ratios"].values()) > 0


@pytest.mark.skipif(
    not jvm.built(), reason="the peers in Java are not built: python -m benchmarks --only java does it"
)
@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.timeout(660)
def test_the_peers_in_java_score_each_event_once_and_as_the_others_do() -> None:
    names = ("java", "streams", "streams-rocksdb", "flink")
    found = measured(*names)
    assert found["events"] == dict.fromkeys(names, 6000)
    for name in names:
        assert found["checks"][name]["compared"] > 100
        assert found["checks"][name]["wrong"] == 0
        assert found["work_us"][name]["own"] > 0

"""The benchmark of scale: sessions dealt out to others, silences as they are counted, and each of its parts."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from benchmarks.scale.restarts import Scores
from benchmarks.workload import simulated

ROOT = Path(__file__).resolve().parent.parent.parent


def test_who_emits_sessions_changes_nothing_else() -> None:
    few, many = (simulated(2000, 70, among=number) for number in (10, 10_000))

    def without_customer(value: bytes) -> dict[str, Any]:
        event: dict[str, Any] = msgspec.json.decode(value)
        del event["customer_id"]
        return event

    assert list(map(without_customer, few.values)) == list(map(without_customer, many.values))
    assert len(set(few.keys)) == 10
    times: dict[bytes, list[int]] = {}
    for key, value in zip(many.keys, many.values, strict=True):
        times.setdefault(key, []).append(msgspec.json.decode(value)["event_time"])
    visits = sum(
        1 + sum(after - before > 1_800_000 for before, after in pairwise(own)) for own in times.values()
    )
    assert visits < len(many) / 2  # events of a session stay together


def test_a_partition_is_silent_from_a_score_or_from_the_first_event_that_waits() -> None:
    scores = Scores(
        np.array([0, 1, 0, 1, 0, 1]),
        np.array([100.0, 100, 200, 5000, 3200, 5010]),  # appended
        np.array([90.0, 90, 195, 4900, 250, 4000]),  # sent
    )
    # Partition 0 had something to score all the time; nobody had emitted anything for partition 1 before 4900.
    assert scores.silences(150, np.inf) == {0: (2950.0, 3200.0), 1: (100.0, 5000.0)}
    assert scores.silences(150, 4000) == {0: (2950.0, 3200.0)}
    assert scores.latencies(150, np.inf).tolist() == [5.0, 100.0, 2950.0, 1010.0]
    assert scores.caught_up({0, 1}, 150) == 5010
    assert scores.caught_up({0}, 150) == 3200


def measured(*options: str) -> dict[str, Any]:
    command = [
        sys.executable, "-m", "benchmarks.scale", "--json", "--events", "4000", "--customers", "100", "1000",
        "--rounds", "1", "--rate", "300", "--seconds", "2", *options,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.timeout(660)
def test_the_benchmark_measures_two_workers_and_learning() -> None:
    found = measured("--only", "workers,learning")
    ways = [way for part in found.values() for way in part.values()]
    assert [way["events"] for way in ways] == [4000] * 4
    assert min(way["work_us"] for way in ways) > 0
    assert "learner" in found["learning"]["on"]["servers_us"]


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.timeout(660)
def test_the_benchmark_restarts_workers() -> None:
    found = measured("--only", "rolling", "--ways", "names-new-first")["rolling"]["names-new-first"]
    assert len(found) == 3
    assert min(one["silence"] for one in found) > 0

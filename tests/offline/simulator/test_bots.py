"""Machines in simulated logs: known, repeatable, and nothing without them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

from features.log import read_log, validate
from offline.simulator.bots import KINDS, kind_of, machines, with_bots
from offline.simulator.shop import ParameterError, ShopParameters
from offline.simulator.simulation import Simulation, simulate
from stream.cli import create_app


@pytest.fixture(scope="module")
def people() -> pa.Table:
    return simulate(ShopParameters.default(), customers=300, days=3, seed=4)


def test_without_machines_a_log_is_the_log_itself(people: pa.Table) -> None:
    assert with_bots(people, 0.0) is people
    assert with_bots(people, 0.001) is people, "a third of a machine is none"


def test_people_stay_as_they_are_and_machines_are_known(people: pa.Table) -> None:
    log = with_bots(people, 0.05, seed=9)
    validate(log)
    names = log["customer_id"].to_pylist()
    of_people = np.array([kind_of(name) is None for name in names])
    assert (
        log.filter(pa.array(of_people))
        .replace_schema_metadata(None)
        .equals(people.replace_schema_metadata(None))
    )
    kinds = Counter(kind_of(name) for name in set(names))
    assert {kind: kinds[kind] for kind in KINDS} == dict.fromkeys(KINDS, 5)
    assert len(set(log["event_id"].to_pylist())) == len(log)
    times = log["event_time"].cast(pa.int64()).to_numpy()
    assert (np.diff(times) >= 0).all()
    assert times.max() < Simulation.of(people).end
    assert log.equals(with_bots(people, 0.05, seed=9))
    assert not log.equals(with_bots(people, 0.05, seed=10))


def test_a_log_with_machines_claims_no_exact_probability(people: pa.Table) -> None:
    log = with_bots(people, 0.05)
    with pytest.raises(ParameterError, match="no intent.simulator metadata"):
        Simulation.of(log)
    assert log.schema.metadata[b"intent.bots"] == b"15 machines, seed 0"


def test_machines_do_what_their_kind_says(people: pa.Table) -> None:
    long = Simulation(ShopParameters.default(), 300, 60, 4, Simulation.of(people).start)
    for machine in machines(long, 30, 2):
        gaps = np.diff(machine.times) / 1000
        usual = np.median(gaps)
        if machine.kind == "fast_scraper":
            assert 0.4 < usual < 5
        elif machine.kind == "slow_scraper":
            assert 9 < usual < 200
            assert gaps.max() < 1_800, "it never pauses for a session's end"
        else:
            assert machine.types == ("view_item", "add_to_cart")
            assert 0.8 < usual < 12
    assert pc.sum(pc.equal(with_bots(people, 0.05)["type"], "add_to_cart")).as_py() > 500


def test_the_command_adds_machines_and_knows_no_exact_probability_then(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    common = ["simulate", "--customers", "100", "--days", "2", "-o", str(path), "--bots", "0.1"]
    told = CliRunner().invoke(create_app(), [*common, "--json"])
    log = read_log(path)
    assert json.loads(told.stdout)["bots"] == 10
    assert len({name for name in log["customer_id"].to_pylist() if kind_of(name)}) == 10
    assert json.loads(told.stdout)["events"] == len(log)
    refused = CliRunner().invoke(create_app(), [*common, "--oracle", str(tmp_path / "exact.parquet")])
    assert refused.exit_code == 2
    assert "of bots no exact probability is known" in refused.stderr


def test_a_share_that_is_none_is_refused(people: pa.Table) -> None:
    with pytest.raises(ParameterError, match="between 0 and 1, not 1.5"):
        with_bots(people, 1.5)

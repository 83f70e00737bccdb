"""A primary that hangs instead of dying, of a cluster and under sentinels: who waits, who follows, what is lost."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import httpx
import pyarrow as pa
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from features.log import write_log
from features.partition import partitions_of
from features.store.offer_store import OfferStore
from stream.cli import create_app
from stream.logs.replay import replay
from stream.settings import Settings
from tests.bundles import save_bundle
from tests.integration.outcome import (
    assert_repeats_agree,
    assert_same_actions,
    assert_same_states,
    expected,
    read_topic,
    scores_by_event,
    with_policy,
)
from tests.integration.shop_logs import simulated
from tests.integration.workers import Fleet, Worker, environment, service, until
from tests.redis_servers import Cluster, Watched, frozen, role


def command(settings: Settings, *arguments: str) -> str:
    told = CliRunner(env=environment(settings)).invoke(create_app(), list(arguments), catch_exceptions=False)
    assert told.exit_code == 0, told.output
    return told.stdout


def faults(worker: Worker) -> list[str]:
    """Return what a worker has logged of faults, without the moments."""
    return [line for line in worker.lines() if "WARNING" in line or "ERROR" in line or "Traceback" in line]


def assert_commands_work(settings: Settings, log: pa.Table, folder: Path, seed: int) -> None:
    """All commands about customers do what they say."""
    customer, bundle = log["customer_id"][0].as_py(), str(settings.bundle)
    write_log(folder / "log.parquet", simulated(1_500, 7, seed))  # of the same customers, who come back in it
    command(
        settings, "recommend", str(folder / "log.parquet"), "--quick", "--write", "--bundle", bundle,
        "-o", str(folder / "report"),
    )  # fmt: skip
    partition = int(partitions_of([customer.encode()], settings.partitions)[0])
    with closing(OfferStore(settings.redis_url, settings.redis_prefix)) as offers:
        assert offers.policy() is not None
        assert offers.items(partition, [customer]) != [None]
    known = json.loads(command(settings, "customer", "show", customer, "--bundle", bundle, "--json"))
    assert known["state"]["events"] == log["customer_id"].to_pylist().count(customer)
    held = json.loads(command(settings, "customer", "export", customer))
    assert {"state"} <= {name for one in held["redis"] for name in one}
    assert json.loads(command(settings, "customer", "erase", customer, "--wait", "--json"))["erased"] is True
    assert json.loads(command(settings, "customer", "export", customer))["redis"] == []


def assert_nothing_lost_or_doubled(settings: Settings, log: pa.Table) -> None:
    """States, actions and scores are those of the log's scoring in one process."""
    assert_same_states(settings, expected(settings, log))
    assert_same_actions(settings, log)
    assert_repeats_agree(scores_by_event(read_topic(settings, settings.scores_topic)))


def test_a_worker_follows_the_replica_of_a_frozen_primary_of_a_cluster(
    topics: Settings, tmp_path: Path, seed: int
) -> None:
    save_bundle(topics.bundle)
    log = simulated(1_500, 1, seed)
    half = len(log) // 2
    with Cluster(tmp_path / "redis", replicas=True) as servers:
        settings = with_policy(topics.model_copy(update={"redis": SecretStr(servers.url)}))
        primary = servers.nodes[servers.home(f"{{{settings.redis_prefix}.0}}")[0]]
        with Fleet(settings, tmp_path / "logs") as fleet:
            worker = fleet.ready()
            replay(settings, log.slice(0, half))
            until(lambda: fleet.saved() > half // 4, "some are saved")
            with frozen(primary):
                replay(settings, log.slice(half))
                fleet.finish(worker)
            until(lambda: role(primary) == "slave", "the one that hung has become a replica")
            assert_nothing_lost_or_doubled(settings, log)
            assert_commands_work(settings, log, tmp_path, seed)
            assert worker.stop()[0] == 0
            print(*faults(worker), sep="\n")


def test_workers_and_the_service_follow_the_sentinels_away_from_a_frozen_primary(
    topics: Settings, tmp_path: Path, seed: int
) -> None:
    save_bundle(topics.bundle)
    log = simulated(1_500, 1, seed)
    half = len(log) // 2
    path = f"/v1/customers/{log['customer_id'][0].as_py()}"
    with Watched(tmp_path / "redis") as servers:
        settings = with_policy(topics.model_copy(update={"redis": SecretStr(servers.url)}))
        with Fleet(settings, tmp_path / "logs") as fleet:
            worker, answers = fleet.ready(), service(fleet, settings)
            replay(settings, log.slice(0, half))
            until(lambda: fleet.saved() > half // 4, "some are saved")
            with frozen(servers.primary), frozen(servers.replica):  # none of which the sentinels can choose
                until(lambda: answers.status("/readyz") == httpx.codes.SERVICE_UNAVAILABLE, "it is not ready")
                assert "Redis" in answers.get("/readyz").json()["reason"]
                assert answers.status(path) == httpx.codes.SERVICE_UNAVAILABLE
                replay(settings, log.slice(half, half // 2))
            fleet.finish(worker)
            until(lambda: answers.status(path) == httpx.codes.OK, "look-ups are answered again")
            with frozen(servers.primary):
                replay(settings, log.slice(half + half // 2))
                fleet.finish(worker)
                until(lambda: answers.status(path) == httpx.codes.OK, "it asks the new primary")
                assert answers.status("/readyz") == httpx.codes.OK
            until(lambda: role(servers.primary) == "slave", "the one that hung has become a replica")
            assert_nothing_lost_or_doubled(settings, log)
            assert_commands_work(settings, log, tmp_path, seed)
            assert answers.get(path).status_code == httpx.codes.NOT_FOUND
            assert worker.stop()[0] == 0
            print(*faults(worker), sep="\n")

"""A primary that hangs instead of dying, or that nobody can replace: who waits, who goes on, and what is said."""

from __future__ import annotations

import itertools
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
import redis
from pydantic import SecretStr
from typer.testing import CliRunner

from features.exceptions import StoreUnavailable
from features.log import write_log
from features.partition import partitions_of
from features.store.customer_store import Save
from features.store.offer_store import OfferStore
from features.store.redis_store import RedisStore
from stream.checkup.redis_checks import redis_checks
from stream.cli import create_app
from stream.logs.replay import replay
from stream.settings import Settings
from tests.bundles import save_bundle
from tests.features.store.contract import claimed, states
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
from tests.redis_servers import Cluster, Watched, frozen, in_the_end, role


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
            assert "Traceback" not in "".join(worker.lines())


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
                until(lambda: answers.status("/readyz") == httpx.codes.OK, "it is ready again")
            until(lambda: role(servers.primary) == "slave", "the one that hung has become a replica")
            assert_nothing_lost_or_doubled(settings, log)
            assert_commands_work(settings, log, tmp_path, seed)
            assert answers.get(path).status_code == httpx.codes.NOT_FOUND
            assert worker.stop()[0] == 0
            assert "Traceback" not in "".join(worker.lines())


def test_a_node_that_hangs_is_waited_for_once_and_not_by_each_partition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("features.store.redis_client._ANSWER_SECONDS", 1.0)
    in_vain = []
    read = redis.Connection.read_response

    def counted(self: redis.Connection, *arguments: Any, **options: Any) -> Any:
        try:
            return read(self, *arguments, **options)
        except redis.TimeoutError:
            in_vain.append(self.port)
            raise

    with Cluster(tmp_path) as servers, closing(RedisStore(servers.url)) as store:
        mine = {partition: claimed(store, partition) for partition in range(12)}
        there = {partition for partition in mine if servers.home(f"{{intent.{partition}}}")[0] == 0}
        assert len(there) > 2
        saves = [
            Save(p, found, found._replace(next_offset=9), ["ada"], states(5)) for p, found in mine.items()
        ]
        monkeypatch.setattr(redis.Connection, "read_response", counted)
        with frozen(servers.nodes[0]):
            faults = dict(zip(mine, store.save_many(saves), strict=True))
        assert in_vain == [servers.nodes[0].port] * 2, (
            "by one exchange, and by a look for where the parts are now"
        )
        assert there <= {
            partition for partition, fault in faults.items() if isinstance(fault, StoreUnavailable)
        }
        assert f"Timeout reading from socket, 127.0.0.1:{servers.nodes[0].port}" in str(faults[min(there)])
        for save in saves:  # what was asked of it in vain has not been written by it since
            kept = in_the_end(lambda p=save.partition: store.record(p))
            assert kept.next_offset == (0 if faults[save.partition] else 9)


def test_a_part_of_a_cluster_without_a_primary_waits_is_named_and_loses_nothing(
    topics: Settings, tmp_path: Path, seed: int
) -> None:
    save_bundle(topics.bundle)
    log = simulated(1_500, 1, seed)
    half = len(log) // 2
    options = {"cluster_require_full_coverage": "no", "appendonly": "yes"}
    with Cluster(tmp_path / "redis", **options) as servers:

        def homes(prefix: str) -> list[int]:
            return [servers.home(f"{{{prefix}.{partition}}}")[0] for partition in range(3)]

        prefix = next(f"apart{n}" for n in itertools.count() if sorted(homes(f"apart{n}")) == [0, 1, 2])
        gone = servers.nodes[2]
        here = [partition for partition, home in enumerate(homes(prefix)) if home != 2]
        settings = with_policy(
            topics.model_copy(update={"redis": SecretStr(servers.url), "redis_prefix": prefix})
        )
        with Fleet(settings, tmp_path / "logs") as fleet, closing(RedisStore(servers.url, prefix)) as store:
            worker = fleet.ready()
            replay(settings, log.slice(0, half))
            until(lambda: fleet.saved() > half // 4, "some are saved")
            gone.kill()
            replay(settings, log.slice(half))
            ends = fleet.ends(settings.events_topic)
            until(lambda: all(store.record(p).next_offset == ends[p] for p in here), "the others go on")
            slots = f"5,462 of 16,384 slots have no primary that answers: 127.0.0.1:{gone.port} is gone"
            until(lambda: found_by_doctor(settings) == slots, "the cluster knows that it is gone")
            waits = f"partition {homes(prefix).index(2)}: Redis at 127.0.0.1:"
            until(
                lambda: worker.get("/readyz").json().get("reason", "").startswith(waits), "the worker says so"
            )
            for server in servers.nodes[:2]:
                with redis.Redis.from_url(server.url) as client:
                    client.config_set("cluster-require-full-coverage", "yes")
                    client.execute_command(
                        "CLUSTER SETSLOT 0 STABLE"
                    )  # Redis looks at its state again at a change
            until(
                lambda: "no primary that answers: `intent doctor` says which" in refusal(store, here[0]),
                "all wait",
            )
            gone.start()
            fleet.finish(worker)
            in_the_end(lambda: assert_nothing_lost_or_doubled(settings, log))
            assert worker.stop()[0] == 0
            told_of = [line for line in faults(worker) if "stream.ownership.owner" in line]
            assert len([line for line in told_of if "trouble with Redis for" not in line]) == 1
            assert sum("Redis answers again" in line for line in worker.lines()) <= 1, "only when all do"
            assert "Traceback" not in "".join(worker.lines())


def found_by_doctor(settings: Settings) -> str:
    """Return what `intent doctor` says of a cluster; nothing where it got no answer."""
    return next((one.text for one in redis_checks(settings) if one.subject == "redis' cluster"), "")


def refusal(store: RedisStore, partition: int) -> str:
    """Return why a record cannot be read; nothing where it can."""
    try:
        store.record(partition)
    except StoreUnavailable as error:
        return str(error)
    return ""

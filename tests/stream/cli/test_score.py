from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from features.log import ERASED, read_log, write_log
from features.offers import OfferPolicy
from features.state import STATE, from_bytes
from features.store.offer_store import OfferStore
from stream.cli import create_app
from stream.services.embedded import RedisServer
from tests.bundles import save_bundle
from tests.stream.logs.logs import random_log


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return save_bundle(tmp_path / "bundle")


def run(*arguments: object) -> str:
    result = CliRunner().invoke(
        create_app(), [str(argument) for argument in arguments], catch_exceptions=False
    )
    assert result.exit_code == 0
    return result.stdout


def test_every_event_of_a_log_is_scored_repeated_or_refused(tmp_path: Path, bundle: Path, seed: int) -> None:
    log = tmp_path / "log.parquet"
    table = random_log(500, seed)
    rows = np.r_[np.arange(500), 499]  # a producer's retry
    write_log(log, table.take(rows))
    told = run("score", log, "--bundle", bundle, "-o", tmp_path / "out" / "scores.parquet", "--json")
    summary = json.loads(told)
    assert summary["events"] == 501
    assert summary["scored"] + summary["duplicates"] + summary["dead_letters"] == 501
    assert summary["duplicates"] == 1
    assert summary["customers"] == 20
    scores = pq.read_table(tmp_path / "out" / "scores.parquet")
    assert len(scores) == summary["scored"]
    assert scores["event_id"].to_pylist() == table["event_id"].to_pylist()


LEFT = "version: 1\nrules: [{name: left, trigger: cart_abandoned, after: 20s, action: remind}]"


def test_what_is_in_a_cart_is_named_by_the_offers_in_redis(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    log, table = tmp_path / "log.parquet", random_log(600, seed)
    write_log(log, table)
    (tmp_path / "policy.yaml").write_text(LEFT)
    items = sorted(set(table["item_id"].drop_null().to_pylist()))
    offers = OfferPolicy(version="p1", bundle="b", partitions=3, created_at="", offers=[], popular=[])
    server = RedisServer(tmp_path / "redis")
    server.start()
    try:
        with closing(OfferStore(server.url)) as store:
            store.write(offers, [], catalogue=items)
        monkeypatch.setenv("INTENT_REDIS", server.url)
        monkeypatch.setenv("INTENT_POLICY", str(tmp_path / "policy.yaml"))
        monkeypatch.setenv("INTENT_LATENESS", "4s")
        told = []
        for options in ((), ("--offers",)):
            actions = tmp_path / "actions.parquet"
            run(
                "score", log, "--bundle", bundle, "-o", tmp_path / "s.parquet", "--actions", actions, *options
            )
            told.append(pq.read_table(actions)["items"].to_pylist())
    finally:
        server.stop()
    assert not any(told[0])
    assert set().union(*told[1]) <= set(items)
    assert any(told[1])


def test_offers_without_actions_are_a_misuse(tmp_path: Path, bundle: Path, seed: int) -> None:
    write_log(tmp_path / "log.parquet", random_log(10, seed))
    arguments = ["score", str(tmp_path / "log.parquet"), "-o", str(tmp_path / "s.parquet"), "--offers"]
    found = CliRunner().invoke(create_app(), arguments)
    assert found.exit_code == 2
    assert "--actions" in found.stderr


def test_states_do_not_depend_on_the_number_of_partitions(tmp_path: Path, bundle: Path, seed: int) -> None:
    log = tmp_path / "log.parquet"
    write_log(log, random_log(400, seed))
    found = []
    for partitions in (1, 7):
        states = tmp_path / f"states-{partitions}.parquet"
        options = ("--partitions", partitions, "--states", states)
        run("score", log, "--bundle", bundle, "-o", tmp_path / "scores.parquet", *options)
        table = pq.read_table(states)
        found.append(dict(zip(table["customer_id"].to_pylist(), table["state"].to_pylist(), strict=True)))
    assert found[0] == found[1]
    assert from_bytes(found[0].values()).dtype == STATE
    assert from_bytes(found[0].values())["events"].sum() == 400


def test_a_log_with_erased_rows_counts_only_events(tmp_path: Path, bundle: Path) -> None:
    log = tmp_path / "log.parquet"
    table = random_log(50, 1)
    kinds = [ERASED if at < 10 else kind for at, kind in enumerate(table["type"].to_pylist())]
    write_log(log, table.set_column(table.column_names.index("type"), "type", [kinds]))
    summary = json.loads(run("score", log, "--bundle", bundle, "-o", tmp_path / "s.parquet", "--json"))
    assert summary["events"] == 40 == summary["scored"]
    assert len(read_log(log)) == 50


def test_shuffled_rows_are_scored_in_order_of_arrival_and_late_ones_are_told(
    tmp_path: Path, bundle: Path
) -> None:
    log, shuffled = tmp_path / "log.parquet", tmp_path / "shuffled.parquet"
    table = random_log(300, 1)
    write_log(log, table)
    write_log(shuffled, table.take(np.random.default_rng(1).permutation(300)))
    found = []
    for path in (log, shuffled):
        run("score", path, "--bundle", bundle, "-o", tmp_path / "s.parquet", "--states", tmp_path / "states")
        states = pq.read_table(tmp_path / "states")
        found.append(dict(zip(states["customer_id"].to_pylist(), states["state"].to_pylist(), strict=True)))
    assert found[0] == found[1]
    loaded = pa.array([1_900_000_000_000] * 300).cast(table.schema.field("arrived_at").type)
    table = table.set_column(table.column_names.index("arrived_at"), "arrived_at", loaded)
    days = table["event_time"].cast(pa.int64()).to_numpy() + np.arange(300) * 86_400_000
    table = table.set_column(
        table.column_names.index("event_time"), "event_time", pa.array(days).cast(loaded.type)
    )
    write_log(log, table.take(np.arange(300)[::-1]))
    arguments = ["score", str(log), "--bundle", str(bundle), "-o", str(tmp_path / "s.parquet")]
    arguments += ["--partitions", "1"]
    result = CliRunner().invoke(create_app(), arguments)
    assert result.exit_code == 0
    assert "299 of 300 events are left out, as the worker does" in " ".join(result.stderr.split())

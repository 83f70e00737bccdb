"""An archived log with logins: scored as the worker scored the topic, hand-over by hand-over."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from features.identity import decode_identity
from features.log import read_log, write_log
from features.state import DAY_MS, to_bytes
from features.store.customer_store import LoadRequest
from features.store.memory_store import MemoryStore
from stream.logs.archive import FirstPass, take_events
from stream.logs.rows import encode_rows
from stream.scoring.engine import Engine
from stream.scoring.restoring import restore
from stream.scoring.score_log import score_log
from tests.bundles import random_bundle
from tests.stream.scoring.identity_bench import (
    Shop,
    archived,
    assert_counted_alike,
    happening,
    login,
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder: Path = tmp_path_factory.mktemp("bundle")
    return Engine(random_bundle(folder), lateness_ms=DAY_MS, ttl_ms=400 * DAY_MS, holdout=0.0)


@pytest.fixture
def shop(engine: Engine) -> Shop:
    chance, shop = Random(7), Shop(engine)
    for number in range(60):
        who = chance.choice(("a1", "a2", "b1", "ada", "grace"))
        if who[0] in "ab" and who != "ada" and chance.random() < 0.3:
            shop.emit(
                login(
                    number, who, {"a1": "ada", "a2": "a1", "b1": chance.choice(("ada", "grace"))}[who], number
                )
            )
        else:
            kind = chance.choice(("view_item", "add_to_cart", "purchase"))
            shop.emit(happening(number, who, number, kind, price=float(number), item_id=f"i{number % 4}"))
        if chance.random() < 0.2:
            shop.run(chance, most=4)
    shop.run(chance, most=4)
    return shop


def test_the_log_gives_the_states_and_scores_of_the_stream_bit_for_bit(shop: Shop, engine: Engine) -> None:
    table = archived(shop)
    assert set(table["type"].to_pylist()) >= {"identify", "merge"}
    scored = score_log(table, engine)
    wanted = {customer: to_bytes(state)[0] for customer, state in shop.states.items()}
    assert dict(zip(scored.customers, to_bytes(scored.states), strict=True)) == wanted
    names = ("event_id", "customer_id", "purchase_intent", "merged")
    found = [tuple(row[name] for name in names) for row in scored.scores.to_pylist()]
    told = {tuple(getattr(one, name) for name in names) for one in shop.scores}
    assert sorted(found, key=str) == sorted(told, key=str)


def test_a_restored_partition_goes_on_with_its_links(shop: Shop, engine: Engine) -> None:
    store = MemoryStore()
    restore(archived(shop), engine, store, partitions=shop.partitions)
    for number in range(shop.partitions):
        record, own = store.record(number), [one for one in shop.links if shop.home(one) == number]
        if record is None:  # nobody came
            assert not own
            continue
        (found,) = store.load_many([LoadRequest(number, [], record, links_of=own)])
        assert list(found.links) == [shop.links[one] for one in own]
        assert {partition: (offset, n) for partition, offset, n in record.taken} == shop.taken(number)


def test_whoever_reads_a_log_without_identities_finds_each_event_once_under_its_own_id(
    shop: Shop, tmp_path: Path
) -> None:
    path = tmp_path / "log.parquet"
    write_log(path, archived(shop), metadata={"source": "kafka"})
    plain, whole = read_log(path), read_log(path, identities=True)
    ids = plain["event_id"].to_pylist()
    assert len(set(ids)) == len(ids) < len(whole)
    assert set(plain["type"].to_pylist()) == {"view_item", "add_to_cart", "purchase"}


def test_a_replay_sends_logins_as_they_were_and_leaves_hand_overs_to_the_workers(shop: Shop) -> None:
    table = archived(shop)
    own = table.filter(pa.compute.equal(table["type"], "identify"))
    records = encode_rows(own, shop.partitions)
    sent = sorted(
        (key, decode_identity(value).event_id)
        for key, value in zip(records.keys, records.values, strict=True)
    )
    assert sent == sorted(
        (record.key, decode_identity(record.value).event_id)
        for log in shop.logs
        for record in log
        if b'"type":"identify"' in record.value
    )


def test_nothing_of_an_erased_customer_is_left_under_any_id(shop: Shop, engine: Engine) -> None:
    shop.append(shop.home("ada"), "ada", None)
    shop.run()
    taken = FirstPass(partitions=shop.partitions)
    for number, log in enumerate(shop.logs):
        take_events(taken, number, log, None)
    erased = set().union(*(own.keys() for own in taken.erased.values()))
    assert erased >= {"ada", "a1", "a2"}


@pytest.mark.parametrize("seed", range(10))
def test_a_shops_own_log_is_merged_in_place(engine: Engine, seed: int) -> None:
    chance = Random(seed)
    ids = ("a1", "a2", "b1", "ada", "grace")
    links = {
        one: chance.choice([other for other in ids if other != one]) for one in ids if chance.random() < 0.6
    }
    story: list[dict[str, Any]] = []
    for number in range(50):
        who = chance.choice(ids)
        if who in links and chance.random() < 0.3:
            story.append(login(number, who, links[who], number))
        else:
            kind = chance.choice(("view_item", "add_to_cart", "purchase"))
            story.append(happening(number, who, number, kind, price=float(number), item_id=f"i{number % 4}"))
    shop = Shop(engine, partitions=1)
    for fields in story:
        shop.emit(fields)
    before = [list(log) for log in shop.logs]
    shop.run()
    taken = FirstPass(partitions=1)
    own = take_events(taken, 0, before[0], None)
    scored = score_log(own.replace_schema_metadata(None), engine, partitions=3)
    found = {one: scored.states[at : at + 1] for at, one in enumerate(scored.customers)}
    assert found.keys() == shop.states.keys()
    for one, state in shop.states.items():
        assert_counted_alike(found[one], state)

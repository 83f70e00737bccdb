"""An archived log with logins: scored as the worker scored the topic, hand-over by hand-over."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from features.identity import Identify, decode_identity, identity_text
from features.log import conform, read_log, write_log
from features.logins import Holders
from features.state import DAY_MS, to_bytes
from features.store.customer_store import LoadRequest
from features.store.memory_store import MemoryStore
from stream.logs.archive import FirstPass, take_events
from stream.logs.rows import encode_rows
from stream.scoring.engine import Engine
from stream.scoring.in_place import merged_in_place
from stream.scoring.restoring import restore
from stream.scoring.score_log import score_log
from tests.bundles import random_bundle
from tests.stream.records import NOW
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
    return Engine(random_bundle(folder), lateness_ms=DAY_MS, ttl_ms=400 * DAY_MS, holdout=0.5)


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
    names = ("event_id", "customer_id", "purchase_intent", "merged", "holdout")
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


def test_a_log_with_logins_is_scored_alike_in_however_many_partitions(shop: Shop, engine: Engine) -> None:
    table = archived(shop)
    table = table.take(pa.compute.sort_indices(table["offset"]))  # as if one partition lagged behind another
    wanted = {customer: to_bytes(state)[0] for customer, state in shop.states.items()}
    scores = {(one.event_id, one.customer_id, one.merged) for one in shop.scores}
    for partitions in (1, 2, 7):
        scored = score_log(table, engine, partitions=partitions)
        assert dict(zip(scored.customers, to_bytes(scored.states), strict=True)) == wanted
        rows = scored.scores.select(["event_id", "customer_id", "merged"]).to_pylist()
        assert {tuple(row.values()) for row in rows} == scores


def walked(customer: str, links: dict[str, str]) -> str:
    """Return who has what is known of an id, link by link."""
    path = [customer]
    while (following := links.get(path[-1])) is not None:
        if following in path:
            return min(path[path.index(following) :])
        path.append(following)
    return path[-1]


@pytest.mark.parametrize("seed", range(30))
def test_who_holds_a_state_is_found_whatever_is_linked_and_unlinked(seed: int) -> None:
    chance, holders = Random(seed), Holders()
    ids, left = [f"i{number}" for number in range(12)], list[str]()
    for _ in range(60):
        one = chance.choice(ids)
        if one in holders.links:
            holders.unlink(one)
            left.append(one)
        elif one not in left:
            holders.link(one, chance.choice([other for other in ids if other != one]))
        for asked in chance.sample(ids, 4):
            assert holders.of(asked) == walked(asked, holders.links), f"{asked} in {holders.links}"


class Counted(dict[str, Any]):
    """A dictionary that counts how often it is asked, and bears it so many times."""

    def __init__(self, most: float) -> None:
        super().__init__()
        self._left = most

    def __contains__(self, key: object) -> bool:
        self._left -= 1
        assert self._left > 0, "asked too often"
        return super().__contains__(key)


@pytest.mark.parametrize("order", ["forwards", "backwards", "shuffled"])
def test_a_chain_of_20000_ids_takes_about_as_long_as_it_is(order: str) -> None:
    count = 20_000
    numbers = Random(1).sample(range(count), count) if order == "shuffled" else list(range(count))
    if order == "backwards":
        numbers.reverse()
    holders, most = Holders(), 3 * count * math.log2(count)
    holders.links, holders.families._parents = Counted(most), Counted(most)
    for number in numbers:
        holders.link(f"a{number}", f"a{number + 1}")
        holders.of(f"a{number}")
    for number in range(count):
        assert holders.of(f"a{number}") == f"a{count}"
    assert len({holders.families.of(f"a{number}") for number in range(count)}) == 1


def test_whoever_is_at_the_beginning_of_a_chain_of_20000_logins_counts_for_its_end() -> None:
    count = 20_000
    said = [
        Identify(event_id=f"l{n}", anonymous_id=f"a{n}", customer_id=f"a{n + 1}", event_time=NOW)
        for n in range(count)
    ]
    columns = {
        "event_id": [one.event_id for one in said] + ["last"],
        "type": ["identify"] * count + ["search"],
        "customer_id": [one.anonymous_id for one in said] + ["a0"],
        "event_time": pa.array([NOW] * (count + 1), pa.timestamp("ms", tz="UTC")),
        "identity": [identity_text(one) for one in said] + [None],
    }
    merged = merged_in_place(conform(pa.table(columns)))
    assert merged.table["customer_id"][-1].as_py() == f"a{count}"
    assert len(set(merged.family)) == 1

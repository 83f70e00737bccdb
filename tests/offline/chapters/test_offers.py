"""Offers in Redis: what offline jobs write is what the stream reads, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import redis

from features.columns import from_events
from features.exceptions import SchemaMismatch, StoreUnavailable
from features.fold import fold
from features.offers import MOST_ITEMS, CustomerItems, Offer, OfferPolicy
from features.partition import partitions_of
from features.state import empty
from features.store.keys import items_keys, policy_key, state_keys
from features.store.offer_store import OfferStore, Written
from offline.chapters.recommendation import offers
from offline.chapters.recommendation.interactions import Interactions
from offline.chapters.recommendation.writing import write_offers
from offline.chapters.workspace import Workspace
from stream.services.embedded import RedisServer
from tests.bundles import random_bundle
from tests.features.histories import event
from tests.offline.chapters.test_recommendation import tastes

POLICY = OfferPolicy(
    version="1f",
    bundle="b-1",
    partitions=3,
    created_at="2025-01-01T00:00:00+00:00",
    offers=[
        Offer(segment=0, segment_name="New", band="high", offer="assist", text="Help", items=["a", "ü"]),
        Offer(segment=0, segment_name="New", band="low", offer="news", text="News", items=[]),
    ],
    popular=["p"],
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    started = RedisServer(tmp_path_factory.mktemp("redis"))
    started.start()
    yield started
    started.stop()


@pytest.fixture
def store(server: RedisServer) -> Iterator[OfferStore]:
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    made = OfferStore(server.url, "shop")
    yield made
    made.close()


def know(server: RedisServer, customers: list[str]) -> None:
    """Give customers a state."""
    of = partitions_of([customer.encode() for customer in customers], POLICY.partitions).tolist()
    with redis.Redis.from_url(server.url) as client:
        client.mset(
            {state_keys("shop", at, [name])[0]: b"state" for name, at in zip(customers, of, strict=True)}
        )


def test_a_policy_and_items_survive_their_stored_form() -> None:
    assert OfferPolicy.from_bytes(POLICY.to_bytes()) == POLICY
    items = CustomerItems("1f", ["a", "ü"], ["b"])
    assert CustomerItems.from_bytes(items.to_bytes()) == items


def test_what_another_program_wrote_is_refused_with_what_to_do() -> None:
    for raw in (b"{}", b"no json", POLICY.to_bytes().replace(b'"schema":1', b'"schema":9')):
        with pytest.raises(SchemaMismatch, match="intent recommend"):
            OfferPolicy.from_bytes(raw)
    for raw in (b"[1,2]", CustomerItems("1f", ["a"] * (MOST_ITEMS + 1)).to_bytes()):
        with pytest.raises(SchemaMismatch, match="intent recommend"):
            CustomerItems.from_bytes(raw)


def test_a_policy_for_another_bundle_or_topic_is_refused() -> None:
    POLICY.check(bundle="b-1", partitions=3)
    with pytest.raises(SchemaMismatch, match="made for bundle b-1, this is b-2"):
        POLICY.check(bundle="b-2", partitions=3)
    with pytest.raises(SchemaMismatch, match="written for 3 partitions, the topic has 12"):
        POLICY.check(bundle="b-1", partitions=12)


def test_items_carry_the_hash_tag_of_the_customers_state() -> None:
    (state_key,) = state_keys("shop", 2, ["c-17"])
    (items_key,) = items_keys("shop", 2, ["c-17"])
    assert items_key.split(b"}")[0] == state_key.split(b"}")[0]
    assert items_key != state_key


def test_the_owner_of_a_partition_reads_what_was_written_for_its_customers(
    store: OfferStore, server: RedisServer
) -> None:
    names = [f"c-{at}" for at in range(2_500)]
    made = [(name, CustomerItems("1f", [f"i{at}"])) for at, name in enumerate(names)]
    know(server, names)
    assert store.write(POLICY, made) == Written(2_500, 0)
    of = partitions_of([name.encode() for name in names], 3)
    for partition in range(3):
        own = [name for name, at in zip(names, of, strict=True) if at == partition]
        assert [found.items for found in store.items(partition, own) if found] == [
            [f"i{name[2:]}"] for name in own
        ]
    assert store.items(int(of[0]), ["nobody"]) == [None]
    assert store.policy() == POLICY
    assert POLICY.offer(0, "high") == POLICY.offers[0]
    assert POLICY.offer(5, "high") is None


def test_nothing_is_written_for_customers_without_a_state(store: OfferStore, server: RedisServer) -> None:
    know(server, ["ada"])
    own = [(name, CustomerItems("1f", ["a"])) for name in ("ada", "eve")]
    assert store.write(POLICY, own) == Written(1, 1)
    with redis.Redis.from_url(server.url) as client:
        assert [key.split(b":o:")[1] for key in client.scan_iter("*:o:*")] == [b"ada"]


def test_everything_that_is_written_expires(store: OfferStore, server: RedisServer) -> None:
    know(server, ["c-1"])
    store.write(POLICY, [("c-1", CustomerItems("1f", ["a"]))], ttl_seconds=1_000)
    with redis.Redis.from_url(server.url) as client:
        keys = [key for key in client.scan_iter("*") if b":c:" not in key]
        assert policy_key("shop").encode() in keys
        assert len(keys) == 2
        assert all(0 < client.ttl(key) <= 1_000 for key in keys)


def test_the_catalogue_names_items_by_the_hashes_in_carts(store: OfferStore) -> None:
    store.write(POLICY, [], catalogue=["a", "ü"], ttl_seconds=1_000)
    events = [event(at, at, "add_to_cart", item_id=item) for at, item in enumerate(["ü", "a", "b"])]
    states = empty(1)
    fold(states, np.zeros(3, np.int64), from_events(events, "EUR"))
    names = store.item_names(POLICY)
    assert [names.get(line) for line in states["cart_items"][0].tolist()[:3]] == ["ü", "a", None]
    assert store.item_names(msgspec.structs.replace(POLICY, version="another")) == {}


def test_the_catalogue_holds_the_most_frequent_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offers, "MOST_CATALOGUED", 2)
    rows = np.zeros(6, np.int64)
    known = Interactions(
        ["ada"], ["a", "b", "c"], rows, np.array([2, 1, 2, 0, 1, 2]), rows, rows + 1.0, rows > 0
    )
    assert offers.catalogue_of(known) == ["c", "b"]


def test_a_redis_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(StoreUnavailable, match="INTENT_REDIS"):
        OfferStore("redis://127.0.0.1:1/0").policy()


def test_offers_for_a_bundle_reach_redis(store: OfferStore, server: RedisServer, tmp_path: Path) -> None:
    from features.log import write_log

    write_log(tmp_path / "log.parquet", tastes())
    bundle = random_bundle(tmp_path / "bundle")
    know(server, [f"c{at}" for at in range(100)])
    written = write_offers(
        Workspace(tmp_path / "log.parquet", tmp_path), tmp_path / "bundle", store, partitions=3
    )
    assert (written.customers, written.without_state) == (100, 20)
    assert written.policy.bundle == bundle.manifest.version
    policy = store.policy()
    assert policy is not None
    assert {o.segment for o in policy.offers} == {s.id for s in bundle.segmenter.segments}
    partition = int(partitions_of([b"c7"], 3)[0])
    (items,) = store.items(partition, ["c7"])
    assert items is not None
    assert len(items.items) == 10

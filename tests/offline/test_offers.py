"""Offers in Redis: what offline jobs write is what the stream reads, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from features.exceptions import SchemaMismatch, StoreUnavailable
from features.offers import CustomerItems, Offer, OfferPolicy, OfferStore, items_keys, policy_key
from features.partition import partitions_of
from features.redis_store import RedisStore
from offline.recommendation.writing import write_offers
from offline.report.workspace import Workspace
from stream.embedded import RedisServer
from tests.bundles import random_bundle
from tests.offline.test_recommendation import tastes

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


def test_a_policy_and_items_survive_their_stored_form() -> None:
    assert OfferPolicy.from_bytes(POLICY.to_bytes()) == POLICY
    items = CustomerItems("1f", ["a", "ü"], ["b"])
    assert CustomerItems.from_bytes(items.to_bytes()) == items


def test_what_another_program_wrote_is_refused_with_what_to_do() -> None:
    for raw in (b"{}", b"no json", POLICY.to_bytes().replace(b'"schema":1', b'"schema":9')):
        with pytest.raises(SchemaMismatch, match="intent recommend"):
            OfferPolicy.from_bytes(raw)
    with pytest.raises(SchemaMismatch, match="intent recommend"):
        CustomerItems.from_bytes(b"[1,2]")


def test_a_policy_for_another_bundle_or_topic_is_refused() -> None:
    POLICY.check(bundle="b-1", partitions=3)
    with pytest.raises(SchemaMismatch, match="made for bundle b-1, this is b-2"):
        POLICY.check(bundle="b-2", partitions=3)
    with pytest.raises(SchemaMismatch, match="written for 3 partitions, the topic has 12"):
        POLICY.check(bundle="b-1", partitions=12)


def test_items_carry_the_hash_tag_of_the_customers_state(server: RedisServer) -> None:
    states = RedisStore(server.url, "shop")
    (state_key,) = states._keys(2, ["c-17"])
    (items_key,) = items_keys("shop", 2, ["c-17"])
    states.close()
    assert items_key.split(b"}")[0] == state_key.split(b"}")[0]
    assert items_key != state_key


def test_the_owner_of_a_partition_reads_what_was_written_for_its_customers(store: OfferStore) -> None:
    names = [f"c-{at}" for at in range(2_500)]
    made = [(name, CustomerItems("1f", [f"i{at}"])) for at, name in enumerate(names)]
    assert store.write(POLICY, made) == 2_500
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


def test_everything_that_is_written_expires(store: OfferStore, server: RedisServer) -> None:
    store.write(POLICY, [("c-1", CustomerItems("1f", ["a"]))], ttl_seconds=1_000)
    with redis.Redis.from_url(server.url) as client:
        keys = list(client.scan_iter("*"))
        assert policy_key("shop").encode() in keys
        assert len(keys) == 2
        assert all(0 < client.ttl(key) <= 1_000 for key in keys)


def test_a_redis_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(StoreUnavailable, match="INTENT_REDIS"):
        OfferStore("redis://127.0.0.1:1/0").policy()


def test_offers_for_a_bundle_reach_redis(store: OfferStore, tmp_path: Path) -> None:
    from features.log import write_log

    write_log(tmp_path / "log.parquet", tastes())
    bundle = random_bundle(tmp_path / "bundle")
    written = write_offers(
        Workspace(tmp_path / "log.parquet", tmp_path), tmp_path / "bundle", store, partitions=3
    )
    assert written.customers == 120
    assert written.policy.bundle == bundle.manifest.version
    policy = store.policy()
    assert policy is not None
    assert {o.segment for o in policy.offers} == {s.id for s in bundle.segmenter.segments}
    partition = int(partitions_of([b"c7"], 3)[0])
    (items,) = store.items(partition, ["c7"])
    assert items is not None
    assert len(items.items) == 10

"""Recommendations: whose items a score shows, and which policy is followed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import redis

from features.bundle import BANDS, Bundle
from features.columns import from_events
from features.offers import CustomerItems, Offer, OfferPolicy
from features.state import DAY_MS, empty
from features.store.keys import policy_key
from features.store.offer_store import OfferStore
from stream.messages.score import Recommendation
from stream.scoring.engine import Engine, Scored, slots_of
from stream.scoring.recommending import NewestRecommender, Recommender
from stream.services.embedded import RedisServer
from tests.bundles import SEGMENTS, random_bundle
from tests.features.histories import MINUTE, SECOND, event

PARTITIONS = 3
OWN = CustomerItems("p1", ["mine", "yours"], ["yours"])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder: Path = tmp_path_factory.mktemp("bundle")
    return random_bundle(folder)


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


def policy(made_for: Bundle, version: str = "p1", **changes: object) -> OfferPolicy:
    """Return a policy with an offer for every segment and band; the lowest segment's have no items."""
    offers = [
        Offer(
            segment=at,
            segment_name=name,
            band=band,
            offer=f"{name}_{band}",
            text=f"For {name}",
            items=[f"s{at}"] if at else [],
        )
        for at, name in enumerate(SEGMENTS)
        for band in BANDS
    ]
    made = OfferPolicy(
        version=version,
        bundle=made_for.manifest.version,
        partitions=PARTITIONS,
        created_at="2025-01-01T00:00:00+00:00",
        offers=offers,
        popular=["everybody's"],
    )
    return msgspec.structs.replace(made, **changes)


def scored(bundle: Bundle, *, holdout: float = 0.0) -> tuple[Scored, np.ndarray]:
    """Return the scores of three events, the last one of another customer."""
    events = [event(1, 0), event(2, SECOND), event(3, 2 * SECOND, customer="Bärbel")]
    columns = from_events(events, "EUR")
    customers, slots = slots_of(list(columns.customers))
    engine = Engine(bundle, lateness_ms=15 * MINUTE, ttl_ms=400 * DAY_MS, holdout=holdout)
    return engine.score(columns, customers, slots, empty(2)), slots


def test_a_customers_own_items_come_before_those_of_the_segment_and_these_before_the_popular(
    bundle: Bundle,
) -> None:
    recommender = Recommender(policy(bundle), len(SEGMENTS))
    assert recommender.one(2, 1, OWN) == Recommendation(
        offer="buyers_medium",
        text="For buyers",
        items=["mine", "yours"],
        source="customer",
        policy_version="p1",
        new_items=["yours"],
    )
    assert recommender.one(2, 2, None) == Recommendation("buyers_high", "For buyers", ["s2"], "segment", "p1")
    assert recommender.one(0, 0, None) == Recommendation(
        "visitors_low", "For visitors", ["everybody's"], "popular", "p1"
    )


def test_every_score_of_a_customer_recommends_by_its_own_segment_and_band(bundle: Bundle) -> None:
    said, slots = scored(bundle)
    found = Recommender(policy(bundle), len(SEGMENTS)).recommend(said, slots, [OWN.to_bytes(), None])
    assert found.unreadable == 0
    assert [one and one.source == "customer" for one in found.each] == [True, True, False]
    assert [one and one.offer for one in found.each] == [
        f"{SEGMENTS[segment]}_{BANDS[band]}" for segment, band in zip(said.segment, said.band, strict=True)
    ]


def test_the_holdout_is_offered_nothing(bundle: Bundle) -> None:
    said, slots = scored(bundle, holdout=1.0)
    found = Recommender(policy(bundle), len(SEGMENTS)).recommend(said, slots, [OWN.to_bytes(), None])
    assert found.each == [None, None, None]


def test_a_segment_without_an_offer_gets_none(bundle: Bundle) -> None:
    said, slots = scored(bundle)
    found = Recommender(policy(bundle, offers=[]), len(SEGMENTS)).recommend(
        said, slots, [OWN.to_bytes(), None]
    )
    assert found.each == [None, None, None]


def test_items_that_cannot_be_read_count_as_none(bundle: Bundle) -> None:
    said, slots = scored(bundle)
    found = Recommender(policy(bundle), len(SEGMENTS)).recommend(said, slots, [b"[7]", OWN.to_bytes()])
    assert found.unreadable == 1
    assert [one and one.source == "customer" for one in found.each] == [False, False, True]


def test_the_newest_policy_is_followed_until_it_expires(
    bundle: Bundle, store: OfferStore, server: RedisServer
) -> None:
    newest = NewestRecommender(store, bundle, PARTITIONS)

    def followed() -> str | None:
        asyncio.run(newest.look())
        return newest.current and newest.current.policy.version

    assert followed() is None
    store.write(policy(bundle), [])
    assert followed() == "p1"
    same = newest.current
    assert followed() == "p1"
    assert newest.current is same
    store.write(policy(bundle, "p2"), [])
    assert followed() == "p2"
    with redis.Redis.from_url(server.url) as client:
        client.delete(policy_key("shop"))
    assert followed() is None
    assert newest.refusal == ""


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"bundle": "another"}, "made for bundle another, this is random-6: run `intent recommend`"),
        ({"partitions": 12}, "written for 12 partitions, the topic has 3"),
        ({"schema": 9}, "layout 9"),
    ],
)
def test_a_policy_that_does_not_fit_is_told_once_and_left_alone(
    changes: dict[str, object],
    told: str,
    bundle: Bundle,
    store: OfferStore,
    caplog: pytest.LogCaptureFixture,
) -> None:
    newest = NewestRecommender(store, bundle, PARTITIONS)
    store.write(policy(bundle), [])
    asyncio.run(newest.look())
    store.write(policy(bundle, "p2", **changes), [])
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            asyncio.run(newest.look())
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("scores carry no recommendations: ")
    assert told in line
    assert newest.current is None
    assert told in newest.refusal
    store.write(policy(bundle, "p3"), [])
    asyncio.run(newest.look())
    assert newest.current is not None
    assert newest.refusal == ""


def test_while_redis_is_away_the_policy_stays(
    bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer(tmp_path)
    server.start()
    store = OfferStore(server.url, "shop")
    newest = NewestRecommender(store, bundle, PARTITIONS)
    store.write(policy(bundle), [])
    asyncio.run(newest.look())
    server.stop()
    asyncio.run(newest.look())
    store.close()
    assert newest.current is not None
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]

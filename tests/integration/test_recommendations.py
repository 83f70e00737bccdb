"""Recommendations from the log to the score: `intent recommend --write`, Redis, a worker that runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import redis
from kafka import KafkaProducer
from typer.testing import CliRunner

from features.bundle import BANDS, Bundle
from features.events import Event, encode
from features.log import write_log
from features.offers import CustomerItems, Offer, OfferPolicy
from features.partition import partitions_of
from features.store.keys import items_keys
from features.store.offer_store import OfferStore, Written
from stream.cli import create_app
from stream.logs.replay import replay
from stream.settings import Settings
from tests.bundles import SEGMENTS, save_bundle
from tests.integration.letters import NOON
from tests.integration.outcome import read_topic, scores_by_event
from tests.integration.shop_logs import simulated
from tests.integration.topics import environment
from tests.integration.workers import Fleet, Worker, until

CUSTOMERS = 1_500


@pytest.fixture
def fleet(topics: Settings, tmp_path: Path) -> Iterator[Fleet]:
    save_bundle(topics.bundle)
    settings = topics.model_copy(update={"learning": False, "holdout": 0.0})
    with Fleet(settings, tmp_path / "logs") as fleet:
        yield fleet


@pytest.fixture
def log(seed: int) -> pa.Table:
    return simulated(CUSTOMERS, 7, seed)


def command(settings: Settings, *arguments: str) -> Any:
    told = CliRunner(env=environment(settings) | {"INTENT_HOLDOUT": "0"}).invoke(
        create_app(), list(arguments), catch_exceptions=False
    )
    assert told.exit_code == 0, told.output
    return told.stdout


def recommend(settings: Settings, log: pa.Table, folder: Path) -> OfferPolicy:
    """Run the command, and return the policy that it has written."""
    write_log(folder / "log.parquet", log)
    command(
        settings, "recommend", str(folder / "log.parquet"), "--quick", "--write",
        "--bundle", str(settings.bundle), "-o", str(folder / "report"),
    )  # fmt: skip
    with closing(OfferStore(settings.redis_url, settings.redis_prefix)) as store:
        policy = store.policy()
    assert policy is not None
    return policy


def emit(settings: Settings, *events: Event) -> None:
    producer = KafkaProducer(bootstrap_servers=settings.kafka)
    for event in events:
        producer.send(
            settings.events_topic,
            key=event.customer_id.encode(),
            value=encode(event),
            headers=[("arrived_at", b"%d" % event.event_time)],
        )
    producer.close()


def view(number: int, customer: str, log: pa.Table | None = None) -> Event:
    """Return an event, a minute after the log's last one."""
    last: int = NOON if log is None else pc.max(log["event_time"].cast(pa.int64())).as_py()
    return Event(event_id=f"after-{number}", customer_id=customer, type="view_item", event_time=last + 60_000)


def scores(fleet: Fleet, worker: Worker) -> dict[str, dict[str, Any]]:
    """Return the score of every event, once all are scored."""
    fleet.finish(worker)
    found = scores_by_event(read_topic(fleet.settings, fleet.settings.scores_topic))
    return {event: published[0] for event, published in found.items()}


def stored_items(settings: Settings, customer: str) -> CustomerItems | None:
    partition = int(partitions_of([customer.encode()], settings.partitions)[0])
    with redis.Redis.from_url(settings.redis_url) as client:
        raw = client.get(items_keys(settings.redis_prefix, partition, [customer])[0])
    return None if raw is None else CustomerItems.from_bytes(raw)


def test_items_and_offers_reach_the_scores_and_an_erasure_takes_them_back(
    fleet: Fleet, log: pa.Table, tmp_path: Path
) -> None:
    settings = fleet.settings
    worker = fleet.ready()
    replay(settings, log)
    before = scores(fleet, worker)
    assert len(before) == len(log)
    assert not any("recommendation" in score for score in before.values())
    assert worker.metrics()["intent_offers"] == 0

    policy = recommend(settings, log, tmp_path)
    until(lambda: worker.metrics()["intent_offers"] == len(policy.offers), "the worker follows the policy")
    known = next(name for name in log["customer_id"].unique().to_pylist() if stored_items(settings, name))
    own = stored_items(settings, known)
    assert own is not None
    assert own.items
    emit(settings, view(1, known, log), view(2, "newcomer", log))
    after = scores(fleet, worker)
    personal, general = (after[f"after-{number}"] for number in (1, 2))
    assert personal["recommendation"]["items"] == own.items
    assert personal["recommendation"]["source"] == "customer"
    for score in (personal, general):
        offer = policy.offer(score["segment"]["id"], score["band"])
        assert offer is not None
        told = score["recommendation"]
        assert (told["offer"], told["text"], told["policy_version"]) == (
            offer.offer,
            offer.text,
            policy.version,
        )
    assert general["recommendation"]["source"] == "segment"
    assert worker.metrics()['intent_recommended_total{source="customer"}'] == 1
    shown = json.loads(
        command(settings, "customer", "show", known, "--bundle", str(settings.bundle), "--json")
    )
    assert shown["recommendation"] == personal["recommendation"]

    command(settings, "customer", "erase", known, "--wait")
    assert stored_items(settings, known) is None
    with closing(OfferStore(settings.redis_url, settings.redis_prefix)) as store:
        assert store.write(policy, [(known, own)]) == Written(0, 1)
    assert stored_items(settings, known) is None, "a job that runs later does not bring them back"
    emit(settings, view(3, known, log))
    assert scores(fleet, worker)["after-3"]["recommendation"]["source"] == "segment"
    assert worker.stop()[0] == 0


@pytest.fixture
def policy(fleet: Fleet) -> Iterator[OfferPolicy]:
    """Return a policy that has been written for the bundle of the settings."""
    settings = fleet.settings
    version = Bundle.load(settings.bundle).manifest.version
    offers = [
        Offer(segment=at, segment_name=name, band=band, offer="news", text="News", items=["a"])
        for at, name in enumerate(SEGMENTS)
        for band in BANDS
    ]
    made = OfferPolicy(
        version="p1", bundle=version, partitions=settings.partitions, created_at="", offers=offers, popular=[]
    )
    with closing(OfferStore(settings.redis_url, settings.redis_prefix)) as store:
        store.write(made, [])
        yield made


def test_a_worker_that_starts_after_the_policy_was_written_recommends_from_the_first_event_on(
    fleet: Fleet, policy: OfferPolicy
) -> None:
    worker = fleet.ready()
    emit(fleet.settings, view(1, "ada"))
    [told] = [score["recommendation"] for score in scores(fleet, worker).values()]
    assert (told["items"], told["source"], told["policy_version"]) == (["a"], "segment", policy.version)


def test_offers_for_another_bundle_are_one_warning_and_scores_come_without(
    fleet: Fleet, policy: OfferPolicy, tmp_path: Path
) -> None:
    save_bundle(tmp_path / "other", seed=7)
    worker = fleet.ready(settings=fleet.settings.model_copy(update={"bundle": tmp_path / "other"}))
    emit(fleet.settings, view(1, "ada"))
    assert "recommendation" not in scores(fleet, worker)["after-1"]
    metrics = worker.metrics()
    assert (metrics["intent_offers"], metrics["intent_offers_refused"]) == (0, 1)
    assert worker.stop()[0] == 0
    [line] = [line for line in worker.lines() if "recommendations" in line]
    assert f"the offers were made for bundle {policy.bundle}, this is random-7" in line


@pytest.mark.usefixtures("policy")
def test_a_worker_that_is_told_so_recommends_nothing(fleet: Fleet) -> None:
    worker = fleet.ready(settings=fleet.settings.model_copy(update={"recommendations": False}))
    emit(fleet.settings, view(1, "ada"))
    assert "recommendation" not in scores(fleet, worker)["after-1"]
    assert "intent_offers" not in worker.metrics()
    assert worker.stop()[0] == 0

"""A topic that a shop has already, in its own form: events in, scores out, and what the archive makes of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from features.items import read_item_names
from features.log import read_log
from stream.clients.emit import EventEmitter
from stream.formats.contract import NATIVE
from stream.kafka.topics import create_topics
from stream.logs.archive import archive
from stream.logs.replay import replay
from stream.logs.resend import resend
from stream.messages.dead_letter import parse
from stream.scoring.score_log import score_log
from stream.settings import Settings
from tests.bundles import save_bundle
from tests.integration.outcome import (
    assert_same_scores,
    assert_same_states,
    engine_for,
    read_topic,
    scores_by_event,
    stored_states,
)
from tests.integration.settling import settled
from tests.integration.topics import Record, held, write
from tests.integration.workers import Fleet

NOW = int(time.time() * 1000)


@pytest.fixture
def shop(settings: Settings, tmp_path: Path) -> Iterator[Fleet]:
    """Workers on a topic of the shop's own name, in Segment's form."""
    own = settings.model_copy(update={"topic": f"{settings.topic_prefix}segment-calls", "format": "segment"})
    create_topics(own)
    save_bundle(own.bundle)
    with Fleet(own, tmp_path) as fleet:
        yield fleet


def call(number: int, event: str = "Product Viewed", **more: Any) -> dict[str, Any]:
    return {
        "type": "track",
        "messageId": f"m-{number}",
        "event": event,
        "userId": "anna",
        "anonymousId": "a-1",
        "timestamp": NOW + number,
        "properties": {"product_id": f"sku-{number}", "name": f"Mug {number}", "price": "19.90"},
    } | more


def written(key: str, value: Any) -> Record:
    return Record(key.encode(), value if isinstance(value, bytes) else json.dumps(value).encode())


def test_a_shop_s_own_topic_is_scored_and_its_archive_folds_the_same(shop: Fleet, tmp_path: Path) -> None:
    settings = shop.settings
    worker = shop.ready()
    bad = json.dumps(call(90) | {"messageId": None}).encode()
    write(
        settings,
        settings.events_topic,
        [
            written("anna", call(1)),
            written("a-1", call(2, userId=None)),
            written("anna", {"type": "page", "messageId": "p-1"}),
            written("anna", call(3, "Order Completed", properties={"order_id": "o-1", "total": 27.5})),
            written("anna", bad),
            written("anna", call(3, "Order Completed", properties={"order_id": "o-1", "total": 27.5})),
        ],
    )
    with EventEmitter(settings) as emitter:  # writes our own form into it, and says so
        emitter.emit(event_id="own-1", type="search", customer_id="anna", event_time=NOW + 4)
    assert [NATIVE] in [list(record.headers) for record in held(settings, settings.events_topic)]
    shop.finish(worker)

    scores = scores_by_event(read_topic(settings, settings.scores_topic))
    assert {event: found[0]["customer_id"] for event, found in scores.items()} == {
        "m-1": "anna", "m-2": "a-1", "purchase.o-1": "anna", "own-1": "anna"
    }  # fmt: skip
    metrics = worker.metrics()
    assert metrics['intent_without_counterpart_total{name="page"}'] == 1
    assert (metrics["intent_ignored_total"], metrics["intent_duplicates_total"]) == (1, 1)
    [letter] = [parse(record) for record in held(settings, settings.dead_letters_topic)]
    assert letter is not None
    assert (letter.key, letter.value, letter.reason) == (b"anna", bad, "missing_field")
    assert letter.detail == "the event has no event_id (segment: messageId)"

    report = archive(settings, tmp_path / "log.parquet")
    assert (report.without_counterpart, report.refused) == ({"page": 1}, {"missing_field": 1})
    assert read_item_names(tmp_path / "log.parquet") == {"sku-1": "Mug 1", "sku-2": "Mug 2"}
    scored = score_log(read_log(tmp_path / "log.parquet"), engine_for(settings))
    assert_same_states(settings, scored)
    assert_same_scores(scores, scored)

    assert replay(settings, tmp_path / "log.parquet").events == report.events
    assert resend(settings).sent == {"missing_field": 1}
    assert len(held(settings, settings.events_topic)) == 8 + report.events, "the transaction has ended"
    shop.finish(worker)
    metrics = worker.metrics()
    assert metrics["intent_duplicates_total"] == 1 + report.events, "a replayed log is in our own form"
    assert metrics['intent_dead_letters_total{reason="missing_field"}'] == 2, (
        "a letter is sent in the shop's form"
    )
    assert worker.stop()[0] == 0


def test_calls_of_a_topic_keyed_by_the_anonymous_id_tell_logins(shop: Fleet) -> None:
    settings = shop.settings
    worker = shop.ready()
    identify = {
        "type": "identify",
        "messageId": "i-1",
        "userId": "grace",
        "anonymousId": "a-2",
        "timestamp": NOW,
    }
    write(
        settings,
        settings.events_topic,
        [
            written("a-1", call(1, userId=None)),
            written("a-1", call(2)),
            written("a-2", call(3, userId=None, anonymousId="a-2")),
            written("a-2", identify),
            written("a-1", call(4)),
        ],
    )
    settled(shop, worker)
    assert set(stored_states(settings)) == {"anna", "grace"}, "both logins are followed"
    scores = scores_by_event(read_topic(settings, settings.scores_topic))
    assert {event: found[0]["customer_id"] for event, found in scores.items()} == {
        "m-1": "a-1", "m-3": "a-2", "identify.m-2": "anna", "identify.i-1": "grace", "m-2": "anna", "m-4": "anna",
    }  # fmt: skip
    assert not held(settings, settings.dead_letters_topic)

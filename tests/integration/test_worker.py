"""`intent worker`: what it says about itself, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
from kafka import KafkaProducer
from pydantic import SecretStr

from features.events import Event, encode
from features.state import from_bytes
from stream.logs.replay import replay
from stream.running.ending import END_SECONDS
from stream.services.embedded import RedisServer
from stream.settings import Settings
from tests.bundles import save_bundle
from tests.integration.outcome import (
    assert_repeats_agree,
    assert_same_scores,
    assert_same_states,
    expected,
    read_topic,
    scores_by_event,
    stored_states,
)
from tests.integration.shop_logs import simulated
from tests.integration.workers import SLACK_SECONDS, Fleet, until

NOW = 1_709_510_400_000  # 2024-03-04 00:00 UTC


def emit(settings: Settings, *events: Event) -> None:
    """Produce events; they arrive when they happen."""
    producer = KafkaProducer(bootstrap_servers=settings.kafka)
    for event in events:
        assert isinstance(event.event_time, int)
        producer.send(
            settings.events_topic,
            key=event.customer_id.encode(),
            value=encode(event),
            headers=[("arrived_at", b"%d" % event.event_time)],
        )
    producer.close()


def view(number: int, customer: str = "anna", **fields: Any) -> Event:
    defaults: dict[str, Any] = {"type": "view_item", "event_time": NOW + number * 1000}
    return Event(event_id=f"e{number}", customer_id=customer, **defaults | fields)


# What it says about itself


def test_a_worker_is_ready_only_when_it_owns_its_partitions(fleet: Fleet) -> None:
    worker = fleet.start()
    seen: list[int] = []

    def ready() -> bool:
        seen.append(worker.status("/readyz"))
        return worker.check() and seen[-1] == httpx.codes.OK

    until(ready, "the worker is ready", pause=0.002)
    answers = [status for status in seen if status]
    assert answers[0] == httpx.codes.SERVICE_UNAVAILABLE
    assert set(answers) == {200, 503}
    assert worker.get("/readyz").json() == {"status": "ready"}
    assert worker.get("/healthz").json() == {"status": "ok"}
    assert set(fleet.records()) == {0, 1, 2}
    assert worker.status("/nowhere") == httpx.codes.NOT_FOUND


def test_a_worker_without_redis_waits_and_says_so(topics: Settings, tmp_path: Path) -> None:
    save_bundle(topics.bundle)
    with RedisServer(tmp_path / "redis", appendonly=True, appendfsync="always") as server:
        settings = topics.model_copy(update={"redis": SecretStr(server.url)})
        with Fleet(settings, tmp_path) as fleet:
            worker = fleet.ready()
            server.kill()
            log = simulated(60, 1, 1)
            replay(settings, log)
            until(lambda: worker.check() and worker.status("/readyz") == 503, "the worker is not ready")
            server_name = f"127.0.0.1:{server.port}"
            until(lambda: server_name in worker.get("/readyz").json().get("reason", ""), "it says why")
            assert worker.status("/healthz") == 200
            assert worker.metrics()["intent_ready"] == 0
            server.start()
            fleet.finish(worker)
            until(lambda: worker.status("/readyz") == 200, "the worker is ready again")
            assert worker.stop()[0] == 0
            assert_same_states(settings, expected(settings, log))


def test_the_metrics_equal_what_happened(fleet: Fleet) -> None:
    settings = fleet.settings
    worker = fleet.ready()
    emit(settings, *(view(number) for number in range(5)))
    emit(settings, view(2), view(6, type="purchase", value=10.0, currency="USD"))
    emit(settings, view(7, type="purchase", value=7.5, currency="EUR"))
    emit(settings, view(-3600, "anna"), view(-3601, "anna"))  # older than the watermark
    producer = KafkaProducer(bootstrap_servers=settings.kafka)
    producer.send(settings.events_topic, key=b"anna", value=b"no event")
    producer.send(settings.events_topic, key=b"bert", value=None)
    producer.close()
    fleet.finish(worker)

    def lags() -> list[float]:
        found = worker.metrics()
        return [found[f'intent_lag_events{{partition="{p}"}}'] for p in range(3)]

    until(lambda: lags() == [0, 0, 0], "the worker knows that all is saved")
    metrics = worker.metrics()
    assert metrics["intent_events_total"] == metrics["intent_batch_events_sum"] == 12
    assert metrics["intent_scored_total"] == 7
    assert metrics["intent_duplicates_total"] == 1
    assert metrics["intent_erased_total"] == 1
    assert metrics["intent_foreign_currency_total"] == 1
    assert metrics['intent_dead_letters_total{reason="late"}'] == 2
    assert metrics['intent_dead_letters_total{reason="not_json"}'] == 1
    assert sum(n for name, n in metrics.items() if name.startswith("intent_scored_by_band_total")) == 7
    assert metrics["intent_batch_seconds_count"] == metrics["intent_batch_events_count"] > 0
    watermarks = {n for name, n in metrics.items() if name.startswith("intent_watermark_seconds")}
    assert NOW / 1000 + 7 - 15 * 60 in watermarks
    assert metrics['intent_model{version="random-6"}'] == metrics["intent_ready"] == 1
    [state] = from_bytes([stored_states(settings)["anna"]])
    assert state["spend"] == 7.5, "money in another currency is left out"
    assert state["type_counts"].tolist() == [5, 0, 0, 0, 0, 0, 2, 0]


# How it ends


def test_a_worker_that_is_stopped_under_load_loses_nothing(fleet: Fleet, seed: int) -> None:
    log = simulated(3_000, 1, seed)
    small = fleet.settings.model_copy(update={"batch_max": 100})
    replay(fleet.settings, log)
    worker = fleet.start(settings=small)
    until(lambda: worker.check() and fleet.saved() > len(log) // 20, "some events are scored", pause=0.002)
    code, seconds = worker.stop()
    assert code == 0
    assert seconds < END_SECONDS + SLACK_SECONDS
    done = fleet.saved()
    assert done < len(log), "it had finished before it was stopped"
    scores = scores_by_event(read_topic(fleet.settings, fleet.settings.scores_topic))
    assert len(scores) == done
    assert "Traceback" not in worker.tail()

    following = fleet.start()
    fleet.finish(following)
    assert following.stop()[0] == 0
    truth = expected(fleet.settings, log)
    assert_same_states(fleet.settings, truth)
    scores = scores_by_event(read_topic(fleet.settings, fleet.settings.scores_topic))
    assert_same_scores(scores, truth)
    assert assert_repeats_agree(scores) == 0, "a stop in order repeats nothing"


def test_a_score_says_all_that_marketing_needs(fleet: Fleet) -> None:
    worker = fleet.start()
    emit(fleet.settings, view(1, channel="web"), view(0, event_time=NOW))
    fleet.finish(worker)
    assert worker.stop()[0] == 0
    records = [record for record in read_topic(fleet.settings, fleet.settings.scores_topic) if record.value]
    first, second = (json.loads(record.value or b"") for record in records)
    assert set(first) == {
        "event_id", "customer_id", "event_time", "scored_at", "purchase_intent", "horizon_seconds", "as_of",
        "network_score", "online_score", "band", "segment", "reasons", "action", "holdout", "model_version",
        "features_version",
    }  # fmt: skip
    assert (first["event_id"], first["event_time"], first["as_of"]) == ("e1", NOW + 1000, NOW + 1000)
    assert (second["event_id"], second["event_time"]) == ("e0", NOW)
    assert second["as_of"] == NOW + 1000, "a late event is scored as of the latest one"
    assert 0 < first["purchase_intent"] < 1
    assert first["online_score"] is None
    assert first["scored_at"] > NOW
    assert (first["horizon_seconds"], first["model_version"]) == (1800.0, "random-6")

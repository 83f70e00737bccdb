"""`intent serve` beside a real worker: it says what the stream said, and what it takes comes through the stream."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from stream.decisions.holdout import held_out
from stream.kafka.topics import create_topics
from stream.learning.model.snapshot import Snapshot
from stream.learning.snapshot_store import SnapshotStore
from stream.logs.replay import replay
from stream.running.ending import END_SECONDS
from stream.settings import Settings
from stream.testing.servers import Services
from tests.bundles import save_bundle
from tests.fuzz.requests import fuzz
from tests.integration.shop_logs import simulated
from tests.integration.topics import held
from tests.integration.workers import PATIENCE, SLACK_SECONDS, Fleet, Worker, service, until

SAME = (
    "customer_id", "purchase_intent", "horizon_seconds", "as_of", "network_score", "online_score", "band", "segment",
    "reasons", "action", "holdout", "model_version", "features_version",
)  # fmt: skip


def client(one: Worker, **headers: str) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{one.port}", timeout=20.0, headers=headers)


def last_scores(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return the last score of each customer."""
    found = {}
    for record in held(settings, settings.scores_topic):
        if record.value is not None:
            score = json.loads(record.value)
            found[score["customer_id"]] = score
    return found


def follow(one: Worker, path: str, into: list[dict[str, str]], last_id: str = "") -> threading.Thread:
    """Follow a stream in a thread until it ends; events go into a list."""

    def read() -> None:
        headers = {"last-event-id": last_id} if last_id else {}
        with (
            suppress(httpx.TransportError),  # the service ends before its client
            client(one, **headers) as http,
            http.stream("GET", path, timeout=60.0) as stream,
        ):
            into.append({"event": "opened", "status": str(stream.status_code)})
            event: dict[str, str] = {}
            for line in stream.iter_lines():
                if not line:
                    into.append(event)
                    event = {}
                elif not line.startswith(":"):
                    name, _, value = line.partition(": ")
                    event[name] = value

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def of_kind(events: list[dict[str, str]], kind: str) -> list[Any]:
    return [json.loads(one["data"]) for one in events if one.get("event") == kind]


@pytest.fixture(scope="module")
def log() -> pa.Table:
    return simulated(300, 2, seed=5)


@pytest.fixture(scope="module")
def shop(
    services: Services, log: pa.Table, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Settings, Fleet, Worker, Worker]]:
    """A worker that has scored a log, and the service beside it; reasons for every score."""
    folder = tmp_path_factory.mktemp("serve")
    name = f"serve-{time.time_ns():x}"
    settings = Settings(
        _env_file=None, kafka=services.kafka, redis=services.redis, topic_prefix=f"test-{name}.",
        redis_prefix=f"test-{name}", group=f"test-{name}", partitions=3, http_port=0,
        bundle=save_bundle(folder / "bundle"), reasons="all", learning=False,
    )  # fmt: skip
    create_topics(settings)
    with Fleet(settings, folder) as fleet:
        worker, answers = fleet.ready(), service(fleet, settings)
        replay(settings, log)
        fleet.finish(worker)
        yield settings, fleet, worker, answers


Shop = tuple[Settings, Fleet, Worker, Worker]


def now_event(number: str, customer: str, **fields: Any) -> dict[str, Any]:
    given = {
        "event_id": number,
        "type": "view_item",
        "customer_id": customer,
        "event_time": time.time_ns() // 1_000_000,
    }
    return given | {"item_id": "sku-1", "price": 19.5} | fields


def test_a_look_up_is_the_last_score_of_the_stream_to_the_bit(shop: Shop) -> None:
    settings, _, _, answers = shop
    scores = last_scores(settings)
    assert len(scores) > 100
    with client(answers) as http:
        for customer, score in list(scores.items())[:100]:
            told = http.get(f"/v1/customers/{customer}").json()
            assert {name: told[name] for name in SAME} == {name: score[name] for name in SAME}
            assert told["features"]["events"] > 0
        asked = {"customer_ids": [*scores, "nobody"]}
        many = http.post("/v1/customers:batch", json=asked).json()
    assert [one["customer_id"] for one in many["customers"]] == list(scores)
    assert [one["purchase_intent"] for one in many["customers"]] == [
        s["purchase_intent"] for s in scores.values()
    ]
    assert many["missing"] == [{"customer_id": "nobody", "reason": "unknown"}]
    assert any(score["reasons"] for score in scores.values())


def test_a_look_up_uses_what_was_learned_as_the_stream_does(services: Services, tmp_path: Path) -> None:
    log = simulated(1_000, 2, seed=11)
    name = f"serve-{time.time_ns():x}"
    settings = Settings(
        _env_file=None, kafka=services.kafka, redis=services.redis, topic_prefix=f"test-{name}.",
        redis_prefix=f"test-{name}", group=f"test-{name}", partitions=3, http_port=0, reasons="all",
        bundle=save_bundle(tmp_path / "bundle"), snapshot_interval=timedelta(milliseconds=300),
    )  # fmt: skip
    create_topics(settings)
    with Fleet(settings, tmp_path) as fleet:
        worker, learner = fleet.ready(), fleet.ready(command="learner")
        half = len(log) // 2
        replay(settings, log.slice(0, half))
        until(
            lambda: worker.metrics().get("intent_online_version", 0) > 0, "the worker has learned something"
        )
        learner.stop()
        with closing(SnapshotStore(settings.redis_url, settings.redis_prefix)) as store:
            last = Snapshot.from_bytes(store.snapshot() or b"").version
        until(
            lambda: worker.metrics()["intent_online_version"] == last, "the worker has all that was learned"
        )
        answers = service(fleet, settings)
        replay(settings, log.slice(half))
        fleet.finish(worker)
        second = set(log.slice(half)["customer_id"].to_pylist())
        scores = {name: score for name, score in last_scores(settings).items() if name in second}
        with client(answers) as http:
            told = http.post("/v1/customers:batch", json={"customer_ids": list(scores)}).json()["customers"]
    assert len(told) == len(scores) > 50
    for one in told:
        score = scores[one["customer_id"]]
        assert {name: one[name] for name in SAME} == {name: score[name] for name in SAME}
        assert 0 < one["online_score"] < 1


def test_what_if_is_what_the_stream_says_when_the_events_really_come(shop: Shop) -> None:
    settings, fleet, worker, answers = shop
    with client(answers) as http:
        http.post("/v1/events", json=now_event("real-0", "what-if-er")).raise_for_status()
        fleet.finish(worker)
        events = [
            now_event("real-0", "what-if-er"),
            now_event("real-1", "what-if-er", type="add_to_cart", quantity=2),
            now_event("real-2", "what-if-er", type="begin_checkout"),
            now_event("late", "what-if-er", event_time=now_event("", "")["event_time"] - 86_400_000),
            now_event("odd", "what-if-er", type="no_such_type"),
        ]
        asked = {"customer_id": "what-if-er", "events": events}
        first = http.post("/v1/what-if", json=asked).raise_for_status().json()
        assert first == http.post("/v1/what-if", json=asked).json(), "something was stored"
        assert http.get("/v1/customers/what-if-er").json() == first["before"]
        none = http.post("/v1/what-if", json=asked | {"events": events[3:]})
        assert none.status_code == 422
        assert [one["reason"] for one in none.json()["events"]] == ["late", "unknown_type"]
        sent = http.post("/v1/events", json=events)
        fleet.finish(worker)
        then = http.get("/v1/customers/what-if-er").json()
    assert [one["outcome"] for one in first["events"]] == [
        "repeated",
        "scored",
        "scored",
        "refused",
        "refused",
    ]
    assert [one.get("reason") for one in first["events"][3:]] == ["late", "unknown_type"]
    assert (sent.status_code, sent.json()["accepted"], sent.json()["refused"]) == (207, 2, 2)
    scores = {
        score["event_id"]: score
        for record in held(settings, settings.scores_topic)
        if record.value is not None and (score := json.loads(record.value))["customer_id"] == "what-if-er"
    }
    for told in first["events"][1:3]:
        score = scores[told["event_id"]]
        assert {name: told[name] for name in ("as_of", "purchase_intent", "band", "action")} == {
            name: score[name] for name in ("as_of", "purchase_intent", "band", "action")
        }
    assert {name: value for name, value in first["after"].items() if name != "next_offset"} == {
        name: value for name, value in then.items() if name != "next_offset"
    }


def test_events_are_taken_once_and_what_is_wrong_is_told_as_the_worker_would(shop: Shop) -> None:
    settings, fleet, worker, answers = shop
    good = now_event("once-1", "sender")
    viewed = {"type": "track", "event": "Product Viewed", "messageId": "s-1", "userId": "sender"}
    viewed |= {"timestamp": good["event_time"]}
    before = sum(fleet.ends(settings.events_topic).values())
    with client(answers) as http:
        first = http.post("/v1/events", json=good)
        again = http.post(
            "/v1/events", json=[good, now_event("once-2", "sender"), now_event("once-2", "sender")]
        )
        bad = http.post("/v1/events", json=[{"type": "search"}, {"event_id": "x"}])
        merge = http.post("/v1/events", json={"type": "merge", "event_id": "m", "customer_id": "sender"})
        lines = http.post(
            "/v1/events?format=segment",
            content=json.dumps(viewed).encode() + b'\n{"type":"page"}\n',
            headers={"content-type": "application/x-ndjson"},
        )
    assert first.status_code == 202
    place = first.json()["events"][0]
    assert [one["outcome"] for one in again.json()["events"]] == ["repeated", "accepted", "repeated"]
    assert again.json()["events"][0]["offset"] == place["offset"]
    assert (bad.status_code, bad.headers["content-type"]) == (422, "application/problem+json")
    assert {one["reason"] for one in bad.json()["events"]} == {"missing_field"}
    assert merge.status_code == 422
    assert [one["outcome"] for one in lines.json()["events"]] == ["accepted", "ignored"], lines.text
    fleet.finish(worker)
    assert sum(fleet.ends(settings.events_topic).values()) - before == 3
    with client(answers) as http:
        assert http.get("/v1/customers/sender").json()["features"]["events"] == 3.0


def test_a_stream_resumes_after_its_last_event_and_loses_nothing(shop: Shop) -> None:
    _, fleet, worker, answers = shop
    name = f"streamed-{time.time_ns()}"
    first: list[dict[str, str]] = []
    follow(answers, f"/v1/scores?customer={name}", first)
    until(lambda: first, "the stream is open")
    with client(answers) as http:
        for number in range(3):
            http.post("/v1/events", json=now_event(f"{name}-{number}", name)).raise_for_status()
        until(lambda: len(of_kind(first, "score")) == 3, "three scores come")
        resumed_at = [one for one in first if one.get("event") == "score"][0]["id"]
        for number in range(3, 6):
            http.post("/v1/events", json=now_event(f"{name}-{number}", name)).raise_for_status()
        fleet.finish(worker)
        resumed: list[dict[str, str]] = []
        follow(answers, f"/v1/scores?customer={name}", resumed, resumed_at)
        until(lambda: len(of_kind(resumed, "score")) == 5, "the missed scores come")
        http.post("/v1/events", json=now_event(f"{name}-6", name)).raise_for_status()
        until(lambda: len(of_kind(resumed, "score")) == 6, "and then new ones")
        http.delete(f"/v1/customers/{name}").raise_for_status()
        until(lambda: of_kind(resumed, "erased") == [{"customer_id": name}], "the erasure comes")
    ids = [score["event_id"] for score in of_kind(resumed, "score")]
    assert ids == [f"{name}-{number}" for number in range(1, 7)]
    assert of_kind(resumed, "gap") == of_kind(resumed, "dropped") == []


def test_a_stream_from_the_start_has_every_score_and_filters_hold(shop: Shop) -> None:
    settings, _, _, answers = shop
    scores = [json.loads(one.value) for one in held(settings, settings.scores_topic) if one.value is not None]
    wanted = [one for one in scores if one["band"] == "high" and "traffic" not in one]
    assert 10 < len(wanted) < len(scores)
    told: list[dict[str, str]] = []
    follow(answers, "/v1/scores?band=high&from=start", told)
    until(lambda: len(of_kind(told, "score")) >= len(wanted), "all scores of the band have come")
    assert {(one["event_id"], one["customer_id"]) for one in of_kind(told, "score")} == {
        (one["event_id"], one["customer_id"]) for one in wanted
    }


def test_an_erased_customer_is_unknown_once_the_worker_is_past_the_request(shop: Shop) -> None:
    _, fleet, worker, answers = shop
    with client(answers) as http:
        http.post("/v1/events", json=now_event("gone-1", "somebody/with a slash")).raise_for_status()
        fleet.finish(worker)
        path = "/v1/customers/somebody%2Fwith%20a%20slash"
        known = http.get(path).raise_for_status().json()
        told = http.delete(path)
        assert told.status_code == 202
        assert told.json()["partition"] == known["partition"]
        assert told.json()["offset"] >= known["next_offset"]
        fleet.finish(worker)
        gone = http.get(path)
    assert (gone.status_code, gone.json()["title"]) == (404, "There is no such thing")


def test_an_id_that_a_login_has_linked_is_answered_with_its_customer(shop: Shop) -> None:
    settings, fleet, worker, answers = shop
    names = [f"anonymous-{number}" for number in range(1_000)]
    anonymous = names[int(held_out(names, settings.holdout).argmax())]
    assert held_out([anonymous, "the-customer"], settings.holdout).tolist() == [True, False]
    login = now_event("login-1", "the-customer", type="identify") | {"anonymous_id": anonymous}
    with client(answers) as http:
        http.post("/v1/events", json=now_event("anon-1", anonymous)).raise_for_status()
        fleet.finish(worker)
        http.post("/v1/events", json=login).raise_for_status()
        until(
            lambda: http.get(f"/v1/customers/{anonymous}").json().get("customer_id") == "the-customer",
            "the state is handed over",
        )
        known = http.get("/v1/customers/the-customer").json()
        asked = {"customer_id": "the-customer", "events": [{"type": "view_item"}]}
        after = http.post("/v1/what-if", json=asked).raise_for_status().json()["after"]
    assert known["features"]["events"] == 1.0
    assert (known["holdout"], after["holdout"]) == (True, True), "the person was held out under the first id"


def test_refused_records_are_shown_to_admins_and_quality_says_that_there_is_none(shop: Shop) -> None:
    settings, fleet, worker, answers = shop
    from tests.integration.topics import Record, write

    write(settings, settings.events_topic, [Record(b"ada", b"no json", 0)])
    fleet.finish(worker)
    with client(answers) as http:
        letters = http.get("/v1/dead-letters?reason=not_json").raise_for_status().json()
        assert [(one["reason"], one["value"]) for one in letters] == [("not_json", "no json")]
        assert http.get("/v1/dead-letters?reason=nonsense").status_code == 422
        assert http.get("/v1/quality").status_code == 404
        assert "intent_serve_requests_total" in http.get("/metrics").text


def test_the_log_names_no_customer_and_the_service_ends_in_order(shop: Shop) -> None:
    settings, fleet, _, _ = shop
    one = service(fleet, settings)
    stream: list[dict[str, str]] = []
    with client(one) as http:
        assert http.get("/v1/customers/a-secret-name").status_code == 404
        assert http.get("/v1/customers/%00secret").status_code == 422
        thread = follow(one, "/v1/scores?customer=a-secret-name", stream)
        until(lambda: stream, "a stream is open")
    code, seconds = one.stop()
    assert (code, seconds < END_SECONDS + SLACK_SECONDS) == (0, True)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert "secret" not in "\n".join(one.lines())


def test_keys_open_what_their_scopes_say_and_several_processes_answer(shop: Shop, tmp_path: Path) -> None:
    from stream.serving.keys import add_key, remove_key

    settings, fleet, _, _ = shop
    path = tmp_path / "keys.json"
    reader, admin = add_key(path, "crm", ["read"], 1_000.0, 1), add_key(path, "ops", ["admin"], 0.01, 1)
    one = service(fleet, settings.model_copy(update={"serve_keys": path}), "--workers", "2")
    with client(one) as http:
        assert http.get("/v1/customers/nobody").status_code == 401
        assert http.get("/v1/customers/nobody", headers={"authorization": "Bearer x"}).status_code == 401
        allowed = {"authorization": f"Bearer {reader}"}
        assert http.get("/v1/customers/nobody", headers=allowed).status_code == 404
        assert http.delete("/v1/customers/nobody", headers=allowed).status_code == 403
        assert http.post("/v1/events", json=[], headers=allowed).status_code == 403
        tries = [
            http.get("/v1/dead-letters", headers={"authorization": f"Bearer {admin}"}).status_code
            for _ in range(25)
        ]
        assert {200, 429} == set(tries)
        figures = http.get("/metrics", headers={"authorization": f"Bearer {admin}"})
        assert figures.status_code in (200, 429)
        remove_key(path, "crm")
        until(lambda: http.get("/v1/customers/nobody", headers=allowed).status_code == 401, "the key is gone")
    code, seconds = one.stop()
    assert (code, seconds < END_SECONDS + SLACK_SECONDS) == (0, True)


def test_requests_that_schemathesis_makes_find_no_failure(shop: Shop, tmp_path: Path, seed: int) -> None:
    _, _, _, answers = shop
    told = fuzz(f"http://127.0.0.1:{answers.port}", 50, tmp_path, seed)
    assert told.returncode == 0, told.stdout + told.stderr
    assert answers.running

"""The stream and the scoring of a log in one process are the same computation: equal states, equal scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from kafka import KafkaProducer

from features.log import read_log
from stream.decisions.tables import OUTCOMES
from stream.kafka.topics import create_topics
from stream.logs.archive import archive
from stream.logs.replay import replay
from stream.messages.dead_letter import parse_erasure
from stream.scoring.action_log import archive_actions
from stream.scoring.score_log import ScoredLog, score_log
from stream.settings import Settings
from tests.bundles import save_bundle
from tests.data_sets import data_set
from tests.integration.outcome import (
    Record,
    assert_repeats_agree,
    assert_same_actions,
    assert_same_scores,
    assert_same_states,
    engine_for,
    expected,
    read_topic,
    scores_by_event,
    wanted_decisions,
    with_policy,
)
from tests.integration.shop_logs import partition_column, repeated, shuffled, simulated, without_erased
from tests.integration.topics import held
from tests.integration.workers import Fleet, until


class Streamed(NamedTuple):
    """What a log became on its way through Kafka and Redis."""

    records: list[Record]  # of the scored topic
    scores: dict[str, list[dict[str, Any]]]
    metrics: dict[str, float]


def stream(fleet: Fleet, log: pa.Table, settings: Settings | None = None) -> Streamed:
    """Replay a log while a worker scores it, and stop the worker when it is done."""
    worker = fleet.start(settings=settings)
    assert replay(fleet.settings, log).events == len(log)
    return finished(fleet, worker)


def finished(fleet: Fleet, worker: Any) -> Streamed:
    fleet.finish(worker)
    until(lambda: _lag(worker.metrics()) == 0, "what was saved is published, too")
    metrics = worker.metrics()
    assert worker.stop()[0] == 0
    records = read_topic(fleet.settings, fleet.settings.scores_topic)
    return Streamed(records, scores_by_event(records), metrics)


def _lag(metrics: dict[str, float]) -> float:
    return sum(value for name, value in metrics.items() if name.startswith("intent_lag_events{"))


def assert_parity(fleet: Fleet, log: pa.Table, streamed: Streamed, folder: Path) -> ScoredLog:
    """States and scores equal those of the log, and those of the log that the topic gives back."""
    settings = fleet.settings
    truth = expected(settings, log)
    assert_same_states(settings, truth)
    assert_same_scores(streamed.scores, truth)
    assert assert_repeats_agree(streamed.scores) == 0
    report = archive(settings, folder / "archived.parquet")
    assert report.events == len(log)
    archived = score_log(read_log(folder / "archived.parquet"), engine_for(settings))
    assert_same_states(settings, archived)
    assert_same_scores(streamed.scores, archived)
    assert streamed.metrics["intent_events_total"] == len(log)
    assert streamed.metrics["intent_scored_total"] == len(truth.scores)
    assert streamed.metrics["intent_duplicates_total"] == truth.duplicates
    assert streamed.metrics['intent_lag_events{partition="0"}'] == 0
    return truth


def dead_letters(streamed: Streamed) -> float:
    return sum(n for name, n in streamed.metrics.items() if name.startswith("intent_dead_letters_total"))


def test_simulated_events(fleet: Fleet, tmp_path: Path, seed: int) -> None:
    log = simulated(3_000, 2, seed)
    streamed = stream(fleet, log)
    truth = assert_parity(fleet, log, streamed, tmp_path)
    assert len(truth.scores) == len(log) == streamed.metrics["intent_scored_total"]
    places = {record.key: record.partition for record in streamed.records}
    customers = log["customer_id"].unique()
    belongs = partition_column(pa.table({"customer_id": customers}), fleet.settings.partitions)
    wanted = {c.encode(): p for c, p in zip(customers.to_pylist(), belongs.tolist(), strict=True)}
    assert places == wanted, "a score stands on the partition of its event"


def test_scores_of_a_customer_come_in_the_order_of_the_events(fleet: Fleet, seed: int) -> None:
    log = simulated(300, 1, seed)
    streamed = stream(fleet, log)
    by_customer: dict[str, list[str]] = {}
    for scores in streamed.scores.values():
        by_customer.setdefault(scores[0]["customer_id"], []).append(scores[0]["event_id"])
    wanted: dict[str, list[str]] = {}
    for customer, event in zip(log["customer_id"].to_pylist(), log["event_id"].to_pylist(), strict=True):
        wanted.setdefault(customer, []).append(event)
    assert by_customer == wanted


def test_every_order_of_online_retail_is_scored(fleet: Fleet, tmp_path: Path) -> None:
    from offline.datasets import load_online_retail

    log = load_online_retail(data_set("online_retail.parquet")).log()
    month = 30 * 86_400.0
    save_bundle(fleet.settings.bundle, horizon_seconds=month, timezone="Europe/London", currency="GBP")
    create_topics(fleet.settings)  # the learner waits for longer labels
    streamed = stream(fleet, log)
    assert_parity(fleet, log, streamed, tmp_path)
    assert streamed.scores.keys() == set(log["event_id"].to_pylist())
    assert dead_letters(streamed) == streamed.metrics["intent_duplicates_total"] == 0
    assert {scores[0]["horizon_seconds"] for scores in streamed.scores.values()} == {month}


def test_actions_are_those_of_the_log_once_each(fleet: Fleet, tmp_path: Path, seed: int) -> None:
    fleet.settings = settings = with_policy(fleet.settings)
    log = shuffled(simulated(2_000, 2, seed), settings.lateness_ms, seed)
    decided = wanted_decisions(settings, log)
    wanted = sum(len(own.actions) for own in decided.values())
    counts = sum(own.counts.sum(axis=0) for own in decided.values())
    worker = fleet.start()
    replay(settings, log)
    fleet.finish(worker)
    until(lambda: worker.metrics()["intent_actions_total"] == wanted, "the last actions are published")
    metrics = worker.metrics()
    assert worker.stop()[0] == 0
    became = {name: metrics[f'intent_decided_total{{outcome="{name}"}}'] for name in OUTCOMES}
    assert became == dict(zip(OUTCOMES, counts, strict=True))
    assert became["sent"] == wanted > 500
    assert min(became.values()) > 0, "the log has what becomes of actions in every way"
    assert_same_states(settings, expected(settings, log))
    assert assert_same_actions(settings, log) == 0
    assert archive_actions(settings, tmp_path / "actions.jsonl") == (wanted, 0, 0)
    lines = [json.loads(line) for line in (tmp_path / "actions.jsonl").read_bytes().splitlines()]
    assert [line["decided_at"] for line in lines] == sorted(line["decided_at"] for line in lines)
    values = [msgspec.to_builtins(action) for own in decided.values() for action in own.actions]
    assert {line["action_id"]: line for line in lines} == {value["action_id"]: value for value in values}


def test_without_a_topic_of_actions_none_are_decided_and_nothing_is_remembered(
    fleet: Fleet, seed: int
) -> None:
    settings = with_policy(fleet.settings)
    log = simulated(300, 1, seed)
    stream(fleet, log, settings.model_copy(update={"actions_topic": ""}))
    assert read_topic(settings, settings.actions_topic) == []
    truth = expected(settings, log)
    assert truth.states["memory"].any()
    truth.states["memory"] = 0
    assert_same_states(settings, truth)


def test_events_shuffled_within_the_lateness(fleet: Fleet, tmp_path: Path, seed: int) -> None:
    log = simulated(3_000, 1, seed)
    mixed = shuffled(log, fleet.settings.lateness_ms, seed)
    assert mixed["event_id"].to_pylist() != log["event_id"].to_pylist()
    streamed = stream(fleet, mixed)
    truth = assert_parity(fleet, mixed, streamed, tmp_path)
    assert len(truth.scores) == len(log), "no event is too late"
    in_order = expected(fleet.settings, log)
    places = {customer: at for at, customer in enumerate(in_order.customers)}
    found = truth.states
    wanted = in_order.states[[places[customer] for customer in truth.customers]]
    for name in ("decayed", "spend", "refunded"):
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-9, atol=1e-9, err_msg=name)
    for name in ("events", "first_time", "last_time", "type_counts", "type_times", "purchase_times"):
        np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)
    assert (found["session_counts"] != wanted["session_counts"]).any(), "the order made no difference at all"


def test_repeated_events_are_counted_once(fleet: Fleet, tmp_path: Path, seed: int) -> None:
    events = simulated(3_000, 1, seed)
    log, repetitions = repeated(events, 0.05, seed)
    assert repetitions > 0.04 * len(events)
    streamed = stream(fleet, log)
    truth = assert_parity(fleet, log, streamed, tmp_path)
    assert truth.duplicates == repetitions
    assert len(streamed.scores) == len(events)
    assert len(streamed.scores) + truth.duplicates + dead_letters(streamed) == len(log)
    assert_same_states(fleet.settings, expected(fleet.settings, events))


def test_erased_customers_leave_nothing_behind(fleet: Fleet, tmp_path: Path, seed: int) -> None:
    settings = fleet.settings
    log = simulated(1_000, 1, seed)
    half = len(log) // 2
    before, after = log.slice(0, half), log.slice(half)
    here = before["customer_id"].unique().to_pylist()
    coming = set(after["customer_id"].to_pylist())
    returning = [customer for customer in here if customer in coming][:40]
    leaving = [customer for customer in here if customer not in coming][:40]
    assert returning
    assert leaving
    erased = {*returning, *leaving}

    worker = fleet.start()
    replay(settings, before)
    producer = KafkaProducer(bootstrap_servers=settings.kafka)
    for customer in [*erased, "nobody"]:
        producer.send(settings.events_topic, key=customer.encode(), value=None)
    producer.close()
    replay(settings, after)
    streamed = finished(fleet, worker)

    truth = score_log(without_erased(log, erased, half, settings.partitions), engine_for(settings))
    assert_same_states(settings, truth)
    assert not set(leaving) & set(truth.customers)
    assert set(returning) <= set(truth.customers)
    report = archive(settings, tmp_path / "archived.parquet")
    assert report.erasures == len(erased) + 1
    archived = read_log(tmp_path / "archived.parquet")
    assert_same_states(settings, score_log(archived, engine_for(settings)))
    assert not set(leaving) & set(archived["customer_id"].to_pylist())
    assert streamed.metrics["intent_erased_total"] == len(erased) + 1

    forgotten = set(log["event_id"].to_pylist()) - set(truth.scores["event_id"].to_pylist())
    assert streamed.scores.keys() == set(log["event_id"].to_pylist())
    assert_same_scores(
        {event: scores for event, scores in streamed.scores.items() if event not in forgotten}, truth
    )
    _assert_tombstones(streamed.records, erased, set(before["event_id"].to_pylist()))
    _assert_actions_end(read_topic(settings, settings.actions_topic), erased, set(leaving))
    kept = map(parse_erasure, held(settings, settings.dead_letters_topic))
    assert sorted(one.key.decode() for one in kept if one is not None) == sorted([*erased, "nobody"])


def _assert_actions_end(records: list[Record], erased: set[str], leaving: set[str]) -> None:
    """Each erased customer has a tombstone among the actions, and those who do not come back have none after it."""
    stories: dict[str, str] = dict.fromkeys([*erased, "nobody"], "")
    for record in records:
        assert record.key is not None
        customer = record.key.decode()
        assert record.value is not None or customer in stories
        if customer in stories:
            stories[customer] += "action " if record.value else "tombstone"
    assert all(story.count("tombstone") == 1 for story in stories.values())
    assert all(stories[customer].endswith("tombstone") for customer in [*leaving, "nobody"])
    assert any(story.startswith("action ") for story in stories.values())


def _assert_tombstones(records: list[Record], erased: set[str], before: set[str]) -> None:
    """A tombstone stands between the scores of before and of after the erasure."""
    stories: dict[str, list[str]] = {customer: [] for customer in [*erased, "nobody"]}
    for record in records:
        assert record.key is not None
        story = stories.get(record.key.decode())
        if story is None:
            assert record.value is not None, f"a tombstone for {record.key!r}, who was not erased"
        elif record.value is None:
            story.append("tombstone")
        else:
            [(event, _)] = scores_by_event([record]).items()
            step = "before" if event in before else "after"
            if story[-1:] != [step]:
                story.append(step)
    assert stories.pop("nobody") == ["tombstone"]
    for customer, story in stories.items():
        assert story[:2] == ["before", "tombstone"], customer
        assert story[2:] in ([], ["after"]), customer

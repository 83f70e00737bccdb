"""`intent worker`: what it refuses before it begins, and when states and topic don't fit."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, TopicPartition
from pydantic import SecretStr

from stream.logs.replay import replay
from stream.services.process import free_port
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
from tests.integration.refusals import forget, recreate, refusal, run_once
from tests.integration.shop_logs import simulated
from tests.integration.workers import Fleet, until

# What it refuses before it has begun


def _no_bundle(settings: Settings, folder: Path) -> tuple[dict[str, Any], list[str]]:
    return {"bundle": folder / "nowhere"}, [str(folder / "nowhere"), "`intent train"]


def _other_features(settings: Settings, folder: Path) -> tuple[dict[str, Any], list[str]]:
    bundle = save_bundle(folder / "old", features_version="0123456789abcdef")
    return {"bundle": bundle}, ["0123456789abcdef", "`intent train`"]


def _damaged_bundle(settings: Settings, folder: Path) -> tuple[dict[str, Any], list[str]]:
    bundle = save_bundle(folder / "damaged")
    (bundle / "network.onnx").write_bytes(b"no network")
    return {"bundle": bundle}, ["network.onnx"]


def _other_currency(settings: Settings, folder: Path) -> tuple[dict[str, Any], list[str]]:
    return {"currency": "USD"}, ["INTENT_CURRENCY is USD", "trained for EUR"]


def _no_broker(settings: Settings, folder: Path) -> tuple[dict[str, Any], list[str]]:
    kafka = f"127.0.0.1:{free_port()}"
    return {"kafka": kafka}, [kafka, "INTENT_KAFKA"]


def _no_redis(settings: Settings, folder: Path) -> tuple[dict[str, Any], list[str]]:
    port = free_port()
    return {"redis": SecretStr(f"redis://:secret@127.0.0.1:{port}/0")}, [f"127.0.0.1:{port}", "INTENT_REDIS"]


def _no_topics(settings: Settings, folder: Path) -> tuple[dict[str, Any], list[str]]:
    return {"topic_prefix": "nobody-made."}, ["nobody-made.events", "`intent topics create`"]


def _uneven_topics(settings: Settings, folder: Path) -> tuple[dict[str, Any], list[str]]:
    _more_partitions(settings, settings.scores_topic)
    return {}, [f"{settings.events_topic} has 3", f"{settings.scores_topic} has 4"]


def _short_retention(settings: Settings, folder: Path) -> tuple[dict[str, Any], list[str]]:
    bundle = save_bundle(folder / "long-horizon", horizon_seconds=30 * 86_400)
    return {"bundle": bundle}, [
        f"{settings.examples_topic} keeps",
        f"`intent topics create --bundle {bundle}`",
        "INTENT_LEARNING=off",
    ]


def _no_number(settings: Settings, folder: Path) -> tuple[dict[str, Any], list[str]]:
    return {"batch_max": 0}, ["INTENT_BATCH_MAX", "'0'"]


@pytest.mark.parametrize(
    "wrong",
    [
        _no_bundle,
        _other_features,
        _damaged_bundle,
        _other_currency,
        _no_broker,
        _no_redis,
        _no_topics,
        _uneven_topics,
        _short_retention,
        _no_number,
    ],
)
def test_a_worker_that_cannot_start_says_why_in_one_line(
    fleet: Fleet, tmp_path: Path, wrong: Callable[[Settings, Path], tuple[dict[str, Any], list[str]]]
) -> None:
    changes, said = wrong(fleet.settings, tmp_path)
    worker = fleet.start(settings=fleet.settings.model_copy(update=changes))
    line = refusal(worker)
    assert worker.lines() == [line]
    for words in said:
        assert words in line
    assert "secret" not in line


def test_a_taken_port_is_named_in_one_line(fleet: Fleet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        worker = fleet.start(settings=fleet.settings.model_copy(update={"http_port": port}))
        line = refusal(worker)
        assert worker.lines() == [line]
        assert f"127.0.0.1:{port}" in line
        assert "INTENT_HTTP_PORT" in line


# What it refuses when states and topic don't fit


def _more_partitions(settings: Settings, *topics: str) -> None:
    with KafkaAdminClient(bootstrap_servers=settings.kafka) as admin:
        admin.create_partitions(dict.fromkeys(topics, settings.partitions + 1))
        until(
            lambda: all(len(topic["partitions"]) == 4 for topic in admin.describe_topics(list(topics))),
            "there are more partitions",
        )


def test_lost_states_are_refused_and_rebuilt_by_the_command_that_is_named(fleet: Fleet, seed: int) -> None:
    log = simulated(300, 1, seed)
    run_once(fleet, log)
    forget(fleet.settings)
    line = refusal(fleet.start())
    assert "`intent worker --rebuild`" in line
    assert fleet.settings.events_topic in line
    assert not stored_states(fleet.settings), "a refusal writes nothing"

    rebuilding = fleet.start("--rebuild")
    fleet.finish(rebuilding)
    assert rebuilding.stop()[0] == 0
    truth = expected(fleet.settings, log)
    assert_same_states(fleet.settings, truth)
    scores = scores_by_event(read_topic(fleet.settings, fleet.settings.scores_topic))
    assert_same_scores(scores, truth)
    assert assert_repeats_agree(scores) == 0, "what was scored is not scored again"

    again = fleet.ready()
    assert again.stop()[0] == 0, "afterwards it starts as usual"


def test_another_partition_count_is_refused(fleet: Fleet) -> None:
    run_once(fleet, simulated(50, 1, 1))
    settings = fleet.settings
    topics = [settings.events_topic, settings.scores_topic, settings.dead_letters_topic]
    topics += [settings.actions_topic, settings.examples_topic, settings.outcomes_topic]
    _more_partitions(settings, *topics)
    line = refusal(fleet.start())
    assert "4 partitions, but had 3" in line
    assert "INTENT_REDIS_PREFIX" in line


def test_a_recreated_topic_is_refused_until_the_states_start_anew(fleet: Fleet, tmp_path: Path) -> None:
    run_once(fleet, simulated(100, 1, 1))
    recreate(fleet.settings)
    line = refusal(fleet.start())
    assert "the topic was created again" in line
    assert "INTENT_REDIS_PREFIX" in line
    assert "`intent worker --rebuild`" in line

    log = simulated(80, 1, 2)
    anew = fleet.settings.model_copy(update={"redis_prefix": f"{fleet.settings.redis_prefix}-anew"})
    with Fleet(anew, tmp_path / "anew") as other:
        replay(anew, log)
        worker = other.start("--rebuild")
        other.finish(worker)
        assert worker.stop()[0] == 0
    assert_same_states(anew, expected(anew, log))


def test_events_that_expired_unread_are_refused(fleet: Fleet) -> None:
    run_once(fleet, simulated(50, 1, 1))
    settings = fleet.settings
    replay(settings, simulated(50, 1, 2))
    ends = {
        TopicPartition(settings.events_topic, p): end for p, end in fleet.ends(settings.events_topic).items()
    }
    with KafkaAdminClient(bootstrap_servers=settings.kafka) as admin:
        admin.delete_records(ends)
    line = refusal(fleet.start())
    assert "expired before they were read" in line
    assert "`intent worker --rebuild`" in line

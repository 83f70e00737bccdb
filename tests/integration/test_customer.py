from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from features.exceptions import IntentError
from features.partition import partitions_of
from features.state import STATE, STATE_VERSION
from features.store.partition_record import NO_WATERMARK, PartitionRecord
from features.store.redis_store import RedisStore
from stream.cli import create_app
from stream.clients.emit import EventEmitter
from stream.exceptions import BrokerError
from stream.person.ids import person_of
from stream.settings import Settings
from tests.bundles import save_bundle
from tests.integration.outcome import with_policy
from tests.integration.topics import environment, held
from tests.integration.workers import Fleet, until


def command(settings: Settings, *arguments: str) -> dict[str, object]:
    told = CliRunner(env=environment(settings)).invoke(
        create_app(), ["customer", *arguments, "--json"], catch_exceptions=False
    )
    assert told.exit_code == 0
    return json.loads(told.stdout)  # type: ignore[no-any-return]


def owned(settings: Settings, partition: int, next_offset: int) -> tuple[RedisStore, PartitionRecord]:
    """Claim a partition as a worker that has come to ``next_offset``."""
    store = RedisStore(settings.redis_url, settings.redis_prefix)
    record = PartitionRecord(1, bytes(16), next_offset, NO_WATERMARK, settings.partitions)
    store.claim(partition, None, record)
    return store, record


def test_the_state_in_redis_is_shown(settings: Settings, tmp_path: Path) -> None:
    partition = int(partitions_of([b"ada"], settings.partitions)[0])
    store, record = owned(settings, partition, 5)
    states = np.zeros(1, STATE)
    states["version"], states["events"], states["spend"], states["sessions"] = STATE_VERSION, 4, 12.5, 1
    states["first_time"] = states["last_time"] = states["session_start"] = 1_772_366_400_000
    store.save(partition, record, record, ["ada"], states)
    store.close()
    known = command(settings, "show", "ada")
    assert (known["partition"], known["state"]["events"]) == (partition, 4)  # type: ignore[index]
    assert known["vector"]["spend"] == 12.5  # type: ignore[index]
    told = CliRunner(env=environment(settings)).invoke(create_app(), ["customer", "show", "ada"])
    assert "no score: set INTENT_BUNDLE (or give --bundle)" in told.stdout
    scored = command(settings, "show", "ada", "--bundle", str(save_bundle(tmp_path)))
    assert scored["score"]["model_version"] == "random-6"  # type: ignore[index]
    with pytest.raises(IntentError, match="nothing is known about customer 'eve'"):
        command(settings, "show", "eve")


def test_an_erasure_is_waited_for_until_a_worker_has_read_it(
    topics: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    partition = int(partitions_of([b"ada"], topics.partitions)[0])
    store, record = owned(topics, partition, 0)
    monkeypatch.setattr("stream.cli.customer._WAIT_SECONDS", 0.3)
    with pytest.raises(BrokerError, match="the request is in Kafka, start `intent worker`"):
        command(topics, "erase", "ada", "--wait")
    store.claim(partition, record, record._replace(next_offset=2))
    store.close()
    assert command(topics, "erase", "ada", "--wait") == {
        "customer_id": "ada",
        "partition": partition,
        "offset": 1,
        "erased": True,
        "known": False,
        "linked": [],
    }
    assert [(one.key, one.value) for one in held(topics, topics.events_topic)] == [(b"ada", None)] * 2


def test_all_that_is_held_about_a_person_is_exported_and_what_an_erasure_leaves(
    fleet: Fleet, tmp_path: Path
) -> None:
    settings = with_policy(fleet.settings)
    worker = fleet.ready(settings=settings)
    at = 1_772_366_400_000
    with EventEmitter(settings) as emitter:
        emitter.emit(
            customer_id="a-1", type="add_to_cart", event_time=at, item_id="shoe", price=20.0, quantity=1
        )
        emitter.identify("a-1", "c-17", event_time=at + 1_000)
        emitter.flush()
        until(lambda: _links(settings, "c-17") is not None, "the login is handed over")
        emitter.emit(
            customer_id="c-17", type="purchase", event_time=at + 2_000, item_id="shoe", price=20.0, quantity=1
        )
        emitter.emit(customer_id="eve", type="view_item", event_time=at + 3_000)
        for number in range(50):  # some of them become examples
            emitter.emit(customer_id="c-17", type="view_item", event_time=at + 7_200_000 * number)
    fleet.finish(worker)
    file = tmp_path / "held.json"
    told = CliRunner(env=environment(settings)).invoke(
        create_app(), ["customer", "export", "a-1", "-o", str(file)], catch_exceptions=False
    )
    assert (told.exit_code, file.stat().st_mode & 0o777) == (0, 0o600)
    document = json.loads(file.read_bytes())
    assert document["ids"] == ["a-1", "c-17"]
    kinds = {tuple(sorted(one.keys() - {"key"})) for one in document["redis"]}
    assert {("state",), ("link",)} <= kinds
    assert all(one["key"].endswith(("a-1", "c-17")) or "due" in one for one in document["redis"])
    topics = {name.removeprefix(settings.topic_prefix): rows for name, rows in document["topics"].items()}
    types = [row["value"]["type"] for row in topics["events"]]
    assert Counter(types) == {"add_to_cart": 1, "identify": 1, "merge": 1, "purchase": 1, "view_item": 50}
    assert {row["value"]["customer_id"] for row in topics["scores"]} == {"a-1", "c-17"}
    assert "c-17" in {row["customer_id"] for row in topics["examples"]} <= {"a-1", "c-17"}
    assert {row["kind"] for row in topics["outcomes"]} >= {"login", "purchase"}
    assert '"eve"' not in file.read_text()
    with EventEmitter(settings) as emitter:
        emitter.erase("c-17")
    until(lambda: _links(settings, "a-1") is None, "the anonymous id is erased, too")
    left = CliRunner(env=environment(settings)).invoke(create_app(), ["customer", "export", "c-17"])
    assert json.loads(left.stdout)["redis"] == []


def _links(settings: Settings, customer: str) -> object:
    with closing(RedisStore(settings.redis_url, settings.redis_prefix)) as store:
        found = person_of(store, settings.partitions, customer).ids
        return found if len(found) > 1 else None

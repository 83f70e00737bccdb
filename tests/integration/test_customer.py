from __future__ import annotations

import json
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
from stream.exceptions import BrokerError
from stream.settings import Settings
from tests.bundles import save_bundle
from tests.integration.topics import environment, held


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

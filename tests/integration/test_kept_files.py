"""A Redis and topics that an earlier version wrote are read by this one without any step; a bundle is trained again.

The cart has followed other rules since states have version 2, so states and scores are compared where carts agree; and
examples of the earlier features, which wait to be learned, are passed over.
"""

from __future__ import annotations

import base64
import gzip
import json
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pytest
import redis

from features import state
from features.bundle import MANIFEST, Bundle
from features.calendar import zone
from features.columns import from_events
from features.events import TYPE_CODES, decode
from features.exceptions import SchemaMismatch
from features.fold import fold
from features.store.log_mark import UNKNOWN_TOPIC
from features.vector import schema_hash
from stream.kafka.topics import create_topics
from stream.learning.model.snapshot import Snapshot
from stream.learning.snapshot_store import SnapshotStore
from stream.settings import Settings
from tests.integration.outcome import TOLERANCE, read_topic, scores_by_event, stored_states
from tests.integration.topics import Record, write
from tests.integration.workers import ROOT, Fleet, environment, intent, until

KEPT: Final = Path(__file__).parent / "kept"


class Kept(NamedTuple):
    """The run of the earlier version: what it had written, what came then, and what it made of that."""

    redis: Mapping[str, str]
    topics: Mapping[str, list[Any]]
    then: list[Any]
    states: Mapping[str, str]
    scores: list[Any]
    learned: Mapping[str, Any]


@pytest.fixture(scope="module")
def kept() -> Kept:
    with gzip.open(KEPT / "run.json.gz") as file:
        run = json.load(file)
    before, after = run["before"], run["after"]
    return Kept(
        before["redis"],
        before["topics"],
        run["then"]["events"],
        after["states"],
        after["scores"],
        after["learned"],
    )


@pytest.fixture
def trained_again(tmp_path: Path) -> Path:
    """The earlier version's network as a bundle of today's features, whose columns are the same."""
    folder = tmp_path / "bundle"
    shutil.copytree(KEPT / "bundle", folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "features_version": schema_hash()}))
    return folder


@pytest.fixture
def restored(settings: Settings, kept: Kept, trained_again: Path, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet on servers that hold what the earlier version had written."""
    settings = settings.model_copy(
        update={"bundle": trained_again, "snapshot_interval": timedelta(milliseconds=300)}
    )
    create_topics(settings)
    with redis.Redis.from_url(settings.redis_url) as client:
        client.mset({_renamed(key, settings): _bytes(value) for key, value in kept.redis.items()})
    for name, records in kept.topics.items():
        write(settings, getattr(settings, f"{name}_topic"), [_record(one) for one in records])
    with Fleet(settings, tmp_path / "logs") as fleet:
        yield fleet


def test_the_kept_bundle_has_other_features_and_is_refused_with_what_to_do() -> None:
    with pytest.raises(SchemaMismatch, match="train again with `intent train`"):
        Bundle.load(KEPT / "bundle")


def test_a_manifest_from_before_time_zone_databases_were_named_is_read(trained_again: Path) -> None:
    bundle = Bundle.load(trained_again)
    assert bundle.manifest.timezone_database is None
    assert bundle.manifest.version == "b9c5cbf6-f202ad29"


def test_worker_and_learner_go_on_where_the_earlier_version_stopped(restored: Fleet, kept: Kept) -> None:
    settings = restored.settings
    worker = restored.ready()
    assert worker.metrics()["intent_online_version"] > 0, "the snapshot was taken over"
    write(settings, settings.events_topic, [_record(one) for one in kept.then])
    restored.finish(worker)
    assert worker.stop()[0] == 0

    states = stored_states(settings)
    folded = _folded(kept)
    assert states.keys() == folded.keys()
    assert _migrated(states, folded) == list(folded.values())
    agreeing = _assert_same_but_carts(states, kept.states)
    assert len(agreeing) > len(kept.states) / 2
    for record in restored.records().values():  # the records were of version 1
        assert record.topic_id != UNKNOWN_TOPIC
        assert record.incarnation == 0
    published = scores_by_event(read_topic(settings, settings.scores_topic))
    wanted = [json.loads(_bytes(value)) for _, _, value, _ in kept.scores]
    assert len(published) == len(kept.topics["scores"]) + len(wanted)
    for score in wanted:
        [found] = published[score["event_id"]]
        assert (found.pop("features_version"), found["as_of"]) == (schema_hash(), score["as_of"])
        del score["features_version"]
        if score["customer_id"] not in agreeing:
            continue
        for name in ("purchase_intent", "network_score", "online_score"):
            assert found.pop(name) == pytest.approx(score.pop(name), abs=TOLERANCE, rel=0)
        found.pop("purchase", None)  # scores of the earlier version do not say it
        assert {**found, "scored_at": 0} == {**score, "scored_at": 0}

    snapshots = SnapshotStore(settings.redis_url, settings.redis_prefix)
    before = _learned(snapshots)
    learner = restored.ready(command="learner")
    until(lambda: learner.check() and _learned(snapshots) > before, "something is learned")
    assert learner.stop()[0] == 0
    snapshot = Snapshot.from_bytes(snapshots.snapshot() or b"")
    assert snapshot.arrays.keys() >= kept.learned["arrays"].keys()
    snapshots.close()


def test_what_people_ask_of_the_kept_topics_and_states_is_answered(restored: Fleet, kept: Kept) -> None:
    settings = restored.settings
    score = json.loads(_bytes(kept.topics["scores"][-1][2]))

    def answer(*arguments: str) -> str:
        run = subprocess.run(
            intent(*arguments),
            env=environment(settings),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        return run.stdout

    letters = [json.loads(line) for line in answer("dead-letters", "list", "--json").splitlines()]
    assert [letter["reason"] for letter in letters] == ["not_json"]
    watched = answer("watch", "--json", "--from-beginning", "--limit", "5").splitlines()
    assert len(watched) == 5
    shown = json.loads(answer("customer", "show", score["customer_id"], "--json"))
    assert shown["customer_id"] == score["customer_id"]
    assert json.loads(answer("quality", "--json"))["total"]["blend"]["examples"] == 705


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)


def _renamed(key: str, settings: Settings) -> str:
    return key.replace("{kept.", f"{{{settings.redis_prefix}.", 1)


def _record(stored: list[Any]) -> Record:
    partition, key, value, headers = stored
    return Record(
        None if key is None else _bytes(key),
        None if value is None else _bytes(value),
        partition,
        [(name, _bytes(raw)) for name, raw in headers],
    )


def _states_by_customer(stored: Mapping[str, str]) -> dict[str, bytes]:
    """Return the states among what Redis held."""
    named = ((key.partition("}:c:")[2], value) for key, value in stored.items())
    return {customer: _bytes(value) for customer, value in named if customer}


def _folded(kept: Kept) -> dict[str, bytes]:
    """Return the states that the events of then make of the kept ones: migrated, and folded by today's rules."""
    before = _states_by_customer(kept.redis)
    manifest = json.loads((KEPT / "bundle" / MANIFEST).read_text())
    values = [_bytes(value) for _, _, value, _ in kept.then]
    columns = from_events(
        [decode(value) for value in values if value], manifest["currency"]
    )  # an empty one closes
    customers = sorted({*before, *columns.customers})
    states = state.from_bytes([before.get(customer) for customer in customers])
    slots = np.searchsorted(customers, columns.customers)
    fold(states, slots, columns, zone=zone(manifest["timezone"]), with_vectors=False)
    return dict(zip(customers, state.to_bytes(states), strict=True))


def _migrated(stored: Mapping[str, bytes], customers: Iterable[str]) -> list[bytes]:
    """Return states in today's layout; those without a later event lie in Redis as they were.

    What the worker remembers of its decisions since is left out: the earlier version decided nothing.
    """
    states = state.from_bytes([stored[customer] for customer in customers])
    states["memory"] = 0
    return state.to_bytes(states)


def _assert_same_but_carts(found: Mapping[str, bytes], kept: Mapping[str, str]) -> set[str]:
    """Hold states against those of the earlier version, all but the carts; return the customers whose carts agree.

    Who has removed something is not among them: their carts may have differed on the way.
    """
    wanted = _states_by_customer(kept)
    assert found.keys() == wanted.keys()
    ours = state.from_bytes([found[customer] for customer in wanted])
    old = np.frombuffer(b"".join(wanted.values()), state.STATE_1)
    for name in set(state.STATE_1.names or ()) - {"version", "reserved", "cart_value", "cart_quantity"}:
        np.testing.assert_allclose(ours[name], old[name], rtol=1e-9, err_msg=name)
    same = np.isclose(ours["cart_value"], old["cart_value"])
    same &= np.isclose(ours["cart_quantity"], old["cart_quantity"])
    same &= old["type_counts"][:, TYPE_CODES["remove_from_cart"]] == 0
    return {customer for customer, agrees in zip(wanted, same, strict=True) if agrees}


def _learned(snapshots: SnapshotStore) -> float:
    raw = snapshots.quality()
    return float(json.loads(raw)["total"]["blend"]["examples"]) if raw else 0.0

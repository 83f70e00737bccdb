"""The learner's lease and snapshots in a real Redis: one may write, and a write is whole or none."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
import redis

from stream.learning.snapshot_store import Lease, LeaseLost, Saved, SnapshotStore
from stream.settings import Settings
from tests.integration.workers import ROOT, environment, intent, until

SAVED = Saved(b"snapshot", b"scorers", "b:1", b"{}")


@pytest.fixture
def store(settings: Settings) -> Iterator[SnapshotStore]:
    made = SnapshotStore(settings.redis_url, settings.redis_prefix)
    yield made
    made.close()


def admitted(store: SnapshotStore, seconds: float = 60) -> Lease:
    lease = store.acquire(seconds)
    assert lease is not None
    return lease


def test_a_snapshot_is_read_as_it_was_saved(store: SnapshotStore) -> None:
    assert (store.snapshot(), store.version(), store.for_scorers(), store.quality()) == (
        None,
        "",
        ("", None),
        None,
    )
    lease = admitted(store)
    store.save(lease, SAVED, 60)
    assert store.snapshot() == b"snapshot"
    assert (store.version(), store.for_scorers()) == ("b:1", ("b:1", b"scorers"))
    assert store.quality() == b"{}"
    store.forget(lease)
    assert store.snapshot() is None
    assert store.version() == ""


def test_snapshots_of_the_bundles_before_are_kept_until_there_are_too_many(store: SnapshotStore) -> None:
    lease = admitted(store)
    store.keep(lease, "b0")
    assert store.former("b0") is None
    for bundle in ("b1", "b2", "b1", "b3", "b4"):
        store.save(lease, Saved(f"of {bundle}".encode(), f"for {bundle}".encode(), bundle, b"{}"), 60)
        store.keep(lease, bundle)
    assert [store.former(f"b{number}") for number in range(1, 5)] == [b"of b1", None, b"of b3", b"of b4"]
    assert store.former_for_scorers("b3") == b"for b3"
    assert store.former_for_scorers("b2") is None
    store.release(lease)
    with pytest.raises(LeaseLost):
        store.keep(Lease(lease.epoch + 1, lease.token), "b5")
    store.forget(admitted(store))
    assert store.former("b4") is store.former_for_scorers("b4") is None


def test_a_version_that_is_no_text_is_another_version(store: SnapshotStore, settings: Settings) -> None:
    store.save(admitted(store), SAVED, 60)
    with redis.Redis.from_url(settings.redis_url) as client:
        client.set(f"{{{settings.redis_prefix}.learner}}:version", b"\xff\xfe")
    assert store.version() == r"\xff\xfe"
    assert store.for_scorers() == (r"\xff\xfe", b"scorers")


def test_one_learner_is_admitted_and_the_next_when_it_leaves(store: SnapshotStore) -> None:
    first = admitted(store)
    assert store.acquire(60) is None
    store.renew(first, 60)
    assert store.acquire(60) is None
    store.release(first)
    assert admitted(store).epoch == first.epoch + 1


def test_whoever_lost_the_lease_can_write_nothing(store: SnapshotStore) -> None:
    first = admitted(store, 0.05)
    until(lambda: (lease := store.acquire(60)) is not None and lease.epoch == 2, "the lease has expired")
    for write in (
        lambda: store.save(first, SAVED, 60),
        lambda: store.renew(first, 60),
        lambda: store.release(first),
        lambda: store.forget(first),
    ):
        with pytest.raises(LeaseLost, match="epoch 2, has taken over"):
            write()
    assert store.snapshot() is None
    assert store.acquire(60) is None, "the second still has it"


def test_a_lease_that_expired_unnoticed_is_still_its_learners_if_nobody_came(store: SnapshotStore) -> None:
    first = admitted(store, 0.05)
    store.save(first, SAVED, 60)
    assert store.acquire(60) is None


def test_a_redis_that_lost_everything_ends_the_lease(store: SnapshotStore, settings: Settings) -> None:
    lease = admitted(store)
    with redis.Redis.from_url(settings.redis_url) as client:
        client.delete(*client.keys(f"{{{settings.redis_prefix}.learner}}:*"))
    with pytest.raises(LeaseLost, match="lost"):
        store.save(lease, SAVED, 60)


def test_quality_says_what_to_do_where_nothing_was_learned(settings: Settings) -> None:
    shown = subprocess.run(
        intent("quality"), env=environment(settings), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 1
    assert "start `intent learner`" in shown.stderr
    assert shown.stderr.count("\n") == 1

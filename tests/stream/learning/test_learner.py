"""The learner at its ends, without Kafka and Redis: what failed is not saved, and a lost lease is no crash."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from features.bundle import Bundle
from features.exceptions import StoreUnavailable
from stream import learner as learners
from stream.exceptions import BrokerUnavailable
from stream.kafka.producing import Unacknowledged
from stream.learner import Learner
from stream.learning.learning import Learning
from stream.learning.snapshot_store import Lease, LeaseLost, Saved, SnapshotStore
from stream.settings import Settings
from tests.bundles import random_bundle

LEASE = Lease(1, bytes(16))


class Store:
    """Admits at once, holds no snapshot, and remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.forgets: list[Exception | None] = []
        self.name = ""

    def version(self) -> str:
        return self.name

    def renew(self, lease: Lease, seconds: float) -> None:
        """Always possible."""

    def acquire(self, seconds: float) -> Lease:
        return LEASE

    def snapshot(self) -> None:
        return None

    def save(self, lease: Lease, saved: Saved, seconds: float) -> None:
        self.told.append("save")
        self.name = saved.version

    def forget(self, lease: Lease) -> None:
        self.told.append("forget")
        if error := self.forgets.pop(0):
            raise error

    def release(self, lease: Lease) -> None:
        self.told.append("release")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return random_bundle(Path(tmp_path_factory.mktemp("bundle")))


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def learner(bundle: Bundle, store: Store) -> Learner:
    return Learner(Settings(), bundle, cast("SnapshotStore", store), 2)


@pytest.mark.parametrize(("beginning", "told"), [(False, ["save", "release"]), (True, ["release"])])
def test_who_leaves_while_it_begins_again_saves_nothing_of_the_step_that_failed(
    bundle: Bundle, store: Store, learner: Learner, beginning: bool, told: list[str]
) -> None:
    async def for_ever(*arguments: Any) -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        learner.learning = Learning.begin(bundle, learners.learning_settings(Settings()), 2)
        if beginning:
            learner._step = asyncio.get_running_loop().create_future()
            learner._step.set_exception(Unacknowledged("a letter was not written"))
            buffers: Any = SimpleNamespace(topics=(), begin=for_ever)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(learner._begin(Lease(1, b""), buffers), 0.2)
        await learner._leave(LEASE)

    asyncio.run(scenario())
    assert store.told == told


@pytest.mark.parametrize("error", [LeaseLost("another learner"), StoreUnavailable("nobody there")])
def test_starting_over_is_tried_again_where_it_failed(
    store: Store, learner: Learner, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        stop = asyncio.Event()

        async def session(self: Learner, lease: Lease, stop: asyncio.Event) -> None:
            store.told.append("session")
            if store.told.count("session") == 2:
                stop.set()

        monkeypatch.setattr(Learner, "_session", session)
        await asyncio.wait_for(learner.run(stop, start_over=True), 10)

    store.forgets = [error, None]
    asyncio.run(scenario())
    assert store.told == ["forget", "forget", "session", "session"]


@pytest.mark.parametrize(
    ("changed", "seconds", "due"), [(True, 9.9, False), (True, 10.1, True), (False, 10.1, False)]
)
def test_a_save_is_due_when_workers_would_use_something_else_and_some_time_has_passed(
    bundle: Bundle, learner: Learner, changed: bool, seconds: float, due: bool
) -> None:
    learning = Learning.begin(bundle, learners.learning_settings(Settings()), 2)
    learner._saved_version = learning.online.version - changed
    learner._saved_at = time.monotonic() - seconds
    assert learner._settings.snapshot_interval.total_seconds() == 10
    assert learner._due(learning) == due


def test_what_was_read_without_learning_is_saved_now_and_then(bundle: Bundle, learner: Learner) -> None:
    learning = Learning.begin(bundle, learners.learning_settings(Settings()), 2)
    learner._saved_version = learning.online.version
    learner._saved_at = time.monotonic() - 10.1 * learners._UNLEARNED_INTERVALS
    assert learner._due(learning)


def test_a_save_that_redis_has_lost_is_made_again_although_nothing_is_learned(
    bundle: Bundle, store: Store, learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learners, "_RENEW_SECONDS", 0.01)

    async def scenario() -> None:
        async def idle(assignment: int, seconds: float) -> list[Any]:
            learner._saved_at = 0.0  # the interval is over
            await asyncio.sleep(0.01)
            return []

        learning = learner.learning = Learning.begin(bundle, learners.learning_settings(Settings()), 2)
        learner._vigilance.look = lambda *_: None  # type: ignore[method-assign]
        await learner._save(LEASE, learning)
        saved, store.name = store.name, "an older one"
        buffers: Any = SimpleNamespace(want=lambda _: None, current=lambda _: store.name != saved, next=idle)
        renewing = asyncio.create_task(learner._renew(LEASE))
        await asyncio.wait_for(learner._learn(0, LEASE, buffers, learning, cast("Any", None)), 10)
        await asyncio.sleep(0.1)  # as often as it looks, it finds what it has saved
        renewing.cancel()
        assert not learner._set_back

    asyncio.run(scenario())
    assert store.told == ["save", "save"]


@pytest.mark.parametrize(
    ("error", "raised"), [(Unacknowledged("no answer"), False), (RuntimeError("a mistake of ours"), True)]
)
def test_a_step_that_fails_during_a_stop_is_a_warning_unless_it_is_a_mistake(
    store: Store,
    learner: Learner,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    raised: bool,
) -> None:
    async def serve(app: object, over: asyncio.Event) -> None:
        await over.wait()

    async def scenario() -> None:
        stop = asyncio.Event()

        async def step() -> None:
            await stop.wait()
            raise error

        async def work(lease: Lease, buffers: object) -> None:
            learner._step = asyncio.ensure_future(step())
            stop.set()
            await asyncio.shield(learner._step)

        monkeypatch.setattr(learner, "_work", work)
        await asyncio.wait_for(learner._session(LEASE, stop), 10)

    monkeypatch.setattr(learners, "serve", serve)
    monkeypatch.setattr(learners, "BatchedApp", lambda *_, **__: None)
    monkeypatch.setattr(learners.ending, "begin", lambda _: None)
    if raised:
        with pytest.raises(RuntimeError, match="a mistake of ours"):
            asyncio.run(scenario())
    else:
        asyncio.run(scenario())
        assert "leaving: the last step failed: no answer" in caplog.text
    assert store.told == ["release"], "the step has failed half-way"


def test_a_learner_that_is_admitted_while_kafka_is_away_waits_for_it(
    store: Store, learner: Learner, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stop, tries, begun = asyncio.Event(), [], []

    async def serve(app: object, over: asyncio.Event) -> None:
        tries.append(learner.ready)
        if len(tries) < 4:
            raise BrokerUnavailable.at("nowhere:9092")
        stop.set()
        await over.wait()

    async def work(lease: Lease, buffers: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(learner, "_work", work)
    monkeypatch.setattr(learners, "serve", serve)
    monkeypatch.setattr(learners, "_OUTAGE_SECONDS", 0.01)
    monkeypatch.setattr(learners, "BatchedApp", lambda *_, **__: None)
    monkeypatch.setattr(learners.ending, "begin", begun.append)
    asyncio.run(asyncio.wait_for(learner.run(stop), 10))
    assert tries == [False] * 4
    assert not begun, "an outage ends no process"
    assert store.told == ["release"] * 4, "whoever reaches Kafka may learn"
    assert (
        sum("; trying again" in record.message for record in caplog.records if record.levelname == "WARNING")
        == 1
    )

"""The stream learns: scorer and learner over a real Kafka and a real Redis, whatever is killed at whatever moment.

What was learned is the same, to the bit, as in a run that nothing disturbed.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from features.reference import Reference
from features.vector import WIDTH
from stream.kafka.topics import create_topics
from stream.learning.model.snapshot import Snapshot
from stream.learning.snapshot_store import SnapshotStore, progress_of
from stream.logs.replay import replay
from stream.messages.alert import Alert
from stream.messages.dead_letter import parse
from stream.running.ending import END_SECONDS
from stream.settings import Settings
from stream.testing.servers import Services
from tests.bundles import save_bundle
from tests.integration.outcome import read_topic, scores_by_event
from tests.integration.shop_logs import ms, simulated
from tests.integration.topics import Record, write
from tests.integration.workers import ROOT, SLACK_SECONDS, Fleet, Worker, environment, intent, until

PARTITIONS = 3


class Shop:
    """One run: topics, keys and processes of its own; the bundle is shared."""

    def __init__(self, services: Services, bundle: Path, folder: Path, **options: object) -> None:
        name = f"learn-{random.SystemRandom().randrange(2**32):08x}"
        self.settings = Settings(
            _env_file=None,
            kafka=services.kafka,
            redis=services.redis,
            topic_prefix=f"test-{name}.",
            redis_prefix=f"test-{name}",
            group=f"test-{name}",
            partitions=PARTITIONS,
            snapshot_interval=timedelta(milliseconds=300),
            http_port=0,
            bundle=bundle,
            **options,
        )
        create_topics(self.settings)
        self.fleet = Fleet(self.settings, folder)
        self.snapshots = SnapshotStore(self.settings.redis_url, self.settings.redis_prefix)

    def __enter__(self) -> Shop:
        self.fleet.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.fleet.__exit__(*error)  # type: ignore[arg-type]
        self.snapshots.close()

    def learner(self) -> Worker:
        return self.fleet.start(command="learner")

    def snapshot(self) -> Snapshot | None:
        raw = self.snapshots.snapshot()
        return None if raw is None else Snapshot.from_bytes(raw)

    def learned(self) -> float:
        """Return how many examples the stored snapshot has learned."""
        raw = self.snapshots.quality()
        total = json.loads(raw)["total"] if raw else {}
        return float(total["blend"]["examples"]) if total else 0.0

    def await_learned(self, examples: float) -> None:
        until(lambda: self.learned() >= examples, f"{examples:.0f} examples are learned")

    def finished(self) -> bool:
        """Whether the snapshot has nothing left to read."""
        snapshot = self.snapshot()
        if snapshot is None:
            return False
        progress = progress_of(snapshot.meta["progress"])
        ends = [
            self.fleet.ends(topic) for topic in (self.settings.examples_topic, self.settings.outcomes_topic)
        ]
        read = [
            {p: cursor.next for p, cursor in enumerate(c)} for c in (progress.examples, progress.outcomes)
        ]
        return read == ends

    def finish(self, *alive: Worker) -> Weights:
        """Wait until all is learned; return what was."""
        self.fleet.finish(*alive)
        until(lambda: self.finished() or any(not one.check() for one in alive), "all is learned")
        return self.weights()

    def weights(self) -> Weights:
        snapshot = self.snapshot()
        assert snapshot is not None
        return snapshot.version, {name: array.tobytes() for name, array in snapshot.arrays.items()}


Weights = tuple[int, dict[str, bytes]]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def log() -> pa.Table:
    return simulated(1_000, 2, seed=11)


@pytest.fixture(scope="module")
def undisturbed(
    services: Services, bundle: Path, log: pa.Table, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Weights, float]:
    """What is learned where nothing happens, and from how many examples."""
    with Shop(services, bundle, tmp_path_factory.mktemp("undisturbed")) as shop:
        replay(shop.settings, log, close=True)
        worker, learner = shop.fleet.start(), shop.learner()
        weights = shop.finish(worker, learner)
        learned = shop.learned()
        views = sum(kind == "view_item" for kind in log["type"].to_pylist())
        assert learned == views, "every example is learned once"
        assert learner.stop()[0] == 0
        assert shop.weights() == weights
        return weights, learned


@pytest.fixture
def shop(services: Services, bundle: Path, tmp_path: Path) -> Iterator[Shop]:
    with Shop(services, bundle, tmp_path / "logs") as made:
        yield made


def test_a_slower_replay_in_small_batches_gives_the_same_weights(
    services: Services, bundle: Path, log: pa.Table, tmp_path: Path, undisturbed: tuple[Weights, float]
) -> None:
    span = (ms(log, "event_time").max() - ms(log, "event_time").min()) / 1000
    with Shop(services, bundle, tmp_path / "logs", batch_max=40) as shop:
        worker, learner = shop.fleet.ready(), shop.fleet.ready(command="learner")
        replay(shop.settings, log, speed=f"{span / 8:.0f}x", close=True)
        assert shop.finish(worker, learner) == undisturbed[0]


def test_a_killed_learner_goes_on_as_if_nothing_had_happened(
    shop: Shop, log: pa.Table, undisturbed: tuple[Weights, float], seed: int
) -> None:
    chance = random.Random(seed)
    shop.fleet.ready()
    learner = shop.fleet.ready(command="learner")
    part = len(log) // 4
    for number in range(4):
        replay(shop.settings, log.slice(number * part, part if number < 3 else len(log)), close=number == 3)
        if number < 3:
            goal = undisturbed[1] / 4 * (number + chance.uniform(0.1, 0.6))
            shop.await_learned(goal)
        learner.kill()
        learner = shop.learner()
    assert shop.finish(learner) == undisturbed[0]


def test_examples_that_a_killed_scorer_repeats_are_learned_once(
    shop: Shop, log: pa.Table, undisturbed: tuple[Weights, float]
) -> None:
    learner = shop.fleet.ready(command="learner")
    small = shop.settings.model_copy(update={"batch_max": 50})
    worker = shop.fleet.start(settings=small)
    replay(shop.settings, log, close=True)
    for share in (0.2, 0.5, 0.8):
        until(lambda share=share: shop.fleet.saved() >= share * len(log), "some events are scored")  # type: ignore[misc]
        worker.kill()
        worker = shop.fleet.start(settings=small)
    assert shop.finish(worker, learner) == undisturbed[0]


def test_strays_in_its_topics_become_letters_and_learning_goes_on(
    shop: Shop, log: pa.Table, undisturbed: tuple[Weights, float]
) -> None:
    settings = shop.settings
    topics = settings.examples_topic, settings.outcomes_topic
    strays = [b"stray", b"PIex\x09\x00" + bytes(8), None]
    for topic in topics:
        write(
            settings,
            topic,
            [
                Record(b"k", value, partition, [("who", b"me")])
                for partition in range(PARTITIONS)
                for value in strays
            ],
        )
    worker, learner = shop.fleet.start(), shop.learner()
    replay(settings, log, close=True)
    assert shop.finish(worker, learner) == undisturbed[0]
    letters = [parse(one) for one in read_topic(settings, settings.dead_letters_topic)]
    found = sorted((one.topic, one.partition, one.offset, one.reason) for one in letters if one)
    reasons = dict(zip(topics, ("bad_example", "bad_outcome"), strict=True))
    assert found == sorted(
        (topic, partition, offset, reasons[topic])
        for topic in topics
        for partition in range(PARTITIONS)
        for offset in range(len(strays))
    )
    assert all(one and one.value == strays[one.offset] and one.key == b"k" for one in letters)
    bad = {name: value for name, value in learner.metrics().items() if "bad_records" in name}
    assert sum(bad.values()) == len(found)
    assert learner.stop()[0] == 0


def test_workers_change_their_bundle_before_the_learner_and_no_label_is_lost(
    shop: Shop, log: pa.Table, tmp_path: Path, undisturbed: tuple[Weights, float]
) -> None:
    """What the first learner cannot learn, since it has the other bundle, the next one learns from the first on."""
    other = save_bundle(tmp_path / "other", seed=7)
    learner, half = shop.fleet.ready(command="learner"), len(log) // 2
    replay(shop.settings, log.slice(0, half))
    worker = shop.fleet.start()
    shop.fleet.finish(worker)
    assert worker.stop()[0] == 0
    changed = shop.settings.model_copy(update={"bundle": other})
    worker = shop.fleet.start(settings=changed)
    replay(changed, log.slice(half), close=True)
    shop.finish(worker, learner)
    first = shop.learned()
    assert 0 < first < undisturbed[1]
    assert learner.stop()[0] == 0
    assert sum("are passed over" in line for line in learner.lines()) == 1
    learner = shop.fleet.start(settings=changed, command="learner")
    shop.await_learned(1)
    until(lambda: shop.learned() == undisturbed[1] - first, "the others are learned")
    until(lambda: worker.metrics().get("intent_online_version", 0) > 0, "the worker follows")
    assert sum("the learner learns for bundle" in line for line in worker.lines()) <= 1
    assert learner.check()


def test_a_second_learner_stands_by_and_takes_over(
    shop: Shop, log: pa.Table, undisturbed: tuple[Weights, float]
) -> None:
    worker, first = shop.fleet.ready(), shop.fleet.ready(command="learner")
    second = shop.fleet.ready(command="learner")
    leading = "intent_learner_leading"
    assert (first.metrics()[leading], second.metrics()[leading]) == (1, 0)
    half = len(log) // 2
    replay(shop.settings, log.slice(0, half))
    shop.await_learned(undisturbed[1] / 5)
    metrics = first.metrics()
    assert metrics["intent_label_delay_seconds"] > 1800, "a label is known after the horizon, not before"
    assert metrics["intent_oldest_waiting_seconds"] > 0
    first.kill()
    replay(shop.settings, log.slice(half), close=True)
    assert shop.finish(worker, second) == undisturbed[0]
    metrics = second.metrics()
    assert metrics[leading] == 1
    assert metrics["intent_waiting_examples"] == 0


def test_a_frozen_learner_stands_by_when_it_wakes_and_may_lead_again(
    shop: Shop, log: pa.Table, undisturbed: tuple[Weights, float]
) -> None:
    worker, first = shop.fleet.ready(), shop.fleet.ready(command="learner")
    second = shop.fleet.ready(command="learner")
    third = len(log) // 3
    replay(shop.settings, log.slice(0, third))
    shop.await_learned(undisturbed[1] / 8)
    first.send(signal.SIGSTOP)
    until(lambda: second.metrics()["intent_learner_leading"], "the second has taken over")
    replay(shop.settings, log.slice(third, third))
    shop.await_learned(undisturbed[1] / 2)
    first.send(signal.SIGCONT)
    until(lambda: not first.metrics()["intent_learner_leading"], "the first stands by")
    code, seconds = second.stop()
    assert (code, seconds < END_SECONDS + SLACK_SECONDS) == (0, True)
    replay(shop.settings, log.slice(2 * third), close=True)
    assert shop.finish(worker, first) == undisturbed[0]


def test_scores_carry_the_online_score_once_there_is_a_snapshot(shop: Shop, log: pa.Table) -> None:
    worker, learner = shop.fleet.ready(), shop.fleet.ready(command="learner")
    half = len(log) // 2
    replay(shop.settings, log.slice(0, half))
    shop.await_learned(1)
    assert learner.running
    until(lambda: worker.metrics().get("intent_online_version", 0) > 0, "the worker has the snapshot")
    replay(shop.settings, log.slice(half))
    shop.fleet.finish(worker)
    scores = scores_by_event(read_topic(shop.settings, shop.settings.scores_topic))
    ids = log["event_id"].to_pylist()
    after = [scores[one][0] for one in ids[half:]]
    assert scores[ids[0]][0]["online_score"] is None
    assert scores[ids[0]][0]["purchase_intent"] == scores[ids[0]][0]["network_score"]
    assert all(0 < score["online_score"] < 1 for score in after)
    assert any(score["purchase_intent"] != score["network_score"] for score in after)
    before = shop.learned()
    shown = subprocess.run(
        intent("quality", "--json"), env=environment(shop.settings), cwd=ROOT, capture_output=True, check=True
    )
    assert 0 < before <= json.loads(shown.stdout)["total"]["blend"]["examples"] <= shop.learned()


def test_an_erasure_cancels_what_waits(shop: Shop, log: pa.Table, undisturbed: tuple[Weights, float]) -> None:
    """The customer of the last example is erased while its label is still unknown."""
    kinds, customers = log["type"].to_pylist(), log["customer_id"].to_pylist()
    last = max(at for at, kind in enumerate(kinds) if kind == "view_item")
    horizon = ms(log, "event_time").max() - 30 * 60_000
    waits = sum(
        kind == "view_item" and customer == customers[last] and time >= horizon
        for kind, customer, time in zip(kinds, customers, ms(log, "event_time").tolist(), strict=True)
    )
    worker, learner = shop.fleet.start(), shop.learner()
    replay(shop.settings, log)
    write(shop.settings, shop.settings.events_topic, [Record(customers[last].encode(), None)])
    replay(shop.settings, log.slice(0, 0), close=True)
    shop.finish(worker, learner)
    assert undisturbed[1] - shop.learned() >= waits > 0
    others = sum(
        kind == "view_item" and c == customers[last] for kind, c in zip(kinds, customers, strict=True)
    )
    assert undisturbed[1] - shop.learned() <= others


def test_drift_is_told_once(services: Services, log: pa.Table, tmp_path: Path) -> None:
    """The reference population is one that no shop has, so it is drift from the beginning."""
    bundle = save_bundle(tmp_path / "bundle")
    reference = Reference.of(np.random.default_rng(1).random((2_000, WIDTH), np.float32))
    (bundle / "reference.json").write_bytes(msgspec.json.encode(reference))
    with Shop(services, bundle, tmp_path / "logs") as shop:
        replay(shop.settings, log, close=True)
        shop.finish(shop.fleet.start(), shop.learner())
        told = read_topic(shop.settings, shop.settings.alerts_topic)
    alerts = [msgspec.json.decode(record.value or b"", type=Alert) for record in told]
    assert [record.key for record in told] == [alert.kind.encode() for alert in alerts]
    [population] = [alert for alert in alerts if alert.kind == "population"]
    assert population.bundle == "random-6"
    assert population.since <= population.as_of
    assert population.drifted


def test_without_learning_nothing_is_written(
    services: Services, bundle: Path, log: pa.Table, tmp_path: Path
) -> None:
    with Shop(services, bundle, tmp_path / "logs", learning=False) as shop:
        worker = shop.fleet.start()
        replay(shop.settings, log.slice(0, 500), close=True)
        shop.fleet.finish(worker)
        for topic in (shop.settings.examples_topic, shop.settings.outcomes_topic):
            assert not any(shop.fleet.ends(topic).values())
        assert not any(shop.fleet.ends(shop.settings.dead_letters_topic).values())

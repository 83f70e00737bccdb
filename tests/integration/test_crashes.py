"""Rule 3 with the real worker, a real Kafka and a real Redis, whatever is killed at whatever moment.

States are exactly those that the log's scoring gives, every event has a score, and a repeated score equals the
first one.
"""

from __future__ import annotations

import asyncio
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import redis
from pydantic import SecretStr

from stream.logs.replay import replay
from stream.running.ending import END_SECONDS
from stream.services.embedded import RedisServer
from stream.settings import Settings
from tests.bundles import save_bundle
from tests.integration.outcome import (
    assert_repeats_agree,
    assert_same_actions,
    assert_same_scores,
    assert_same_states,
    expected,
    read_topic,
    scores_by_event,
    with_policy,
)
from tests.integration.shop_logs import ms, repeated, shuffled, simulated
from tests.integration.workers import SLACK_SECONDS, Fleet, Worker, until

#: Events a second while the scenes are played: batches are small then, and many.
RATE = 2_000
#: What "a file about a second old" means.
FILE_SECONDS = 1.0


class Feed:
    """A clock for the replay that lets events through at `RATE`, but never more of them than are allowed."""

    def __init__(self, log: pa.Table) -> None:
        times = np.maximum.accumulate(ms(log, "event_time"))
        self._seconds = (times - times[0]) / 1000
        self._allowed = self._passed = 1.0
        self._asked: float | None = None

    def allow(self, rows: int) -> None:
        self._allowed = max(self._allowed, min(rows, len(self._seconds)))

    def now(self) -> float:
        asked, self._asked = self._asked, time.monotonic()
        if asked is None:  # the replay's clock starts here, whatever is allowed already
            return 0.0
        self._passed = min(self._passed + RATE * (self._asked - asked), self._allowed)
        return float(self._seconds[int(self._passed) - 1])

    async def sleep(self, _: float) -> None:
        await asyncio.sleep(0.01)


class Stage:
    """A shop that sends a log, a Redis of its own, and workers that come and go."""

    def __init__(self, settings: Settings, server: RedisServer, fleet: Fleet, log: pa.Table) -> None:
        self.settings, self.server, self.fleet, self.log = settings, server, fleet, log
        self.alive: list[Worker] = []
        self._feed = Feed(log)
        self._shop = threading.Thread(target=self._send, daemon=True)
        self._sent = 0

    def _send(self) -> None:
        self._sent = replay(self.settings, self.log, speed="real", clock=self._feed).events

    def play(self, scenes: list[str], chance: random.Random) -> None:
        """Play scene after scene, each when a random share of the next events has been saved."""
        self._shop.start()
        try:
            for number, scene in enumerate(scenes):
                self._play(scene)
                share, low = len(self.log) // len(scenes), number * len(self.log) // len(scenes)
                self._feed.allow(low + share)
                if scene not in ("freeze", "kill"):  # somebody is there to go on
                    self._wait(low + chance.randrange(share // 5, share * 4 // 5), scene)
        finally:
            self._feed.allow(len(self.log))
            self._shop.join(60)
        assert self._sent == len(self.log)

    def _play(self, scene: str) -> None:
        match scene:
            case "start":
                self.alive.append(self.fleet.start())
            case "join":
                self.alive.append(self.fleet.ready())
            case "kill":
                self.alive.pop(0).kill()
            case "leave":
                code, seconds = self.alive.pop(0).stop()
                assert code == 0
                assert seconds < END_SECONDS + SLACK_SECONDS
            case "freeze":
                self.alive[0].send(signal.SIGSTOP)
                until(lambda: self._owners() == 1, "the other worker has what the frozen one had")
            case "thaw":
                self.alive[0].send(signal.SIGCONT)
            case "redis falls back":
                self._dump()
                self.server.kill()
                self.server.start()
            case _:
                raise ValueError(scene)

    def _dump(self) -> None:
        """Have Redis write its file, and let at least a second and some events pass."""
        with redis.Redis.from_url(self.settings.redis_url) as client:
            client.save()
        began, saved = time.monotonic(), self.fleet.saved()
        self._feed.allow(int(saved) + 2 * int(RATE * FILE_SECONDS))
        until(
            lambda: time.monotonic() - began > FILE_SECONDS and self.fleet.saved() > saved,
            "the file is a second old",
        )

    def _wait(self, goal: int, scene: str) -> None:
        for worker in self.alive:
            worker.check()
        until(lambda: self.fleet.saved() >= goal, f"{goal} events are saved after {scene!r}", pause=0.003)

    def _owners(self) -> int:
        return len({record.token for record in self.fleet.records().values()})


@pytest.fixture
def stage(topics: Settings, tmp_path: Path, seed: int) -> Iterator[Stage]:
    save_bundle(topics.bundle)
    # Some events come later than allowed, and some come twice.
    log, _ = repeated(shuffled(simulated(2_000, 1, seed), topics.lateness_ms * 3 // 2, seed), 0.05, seed)
    with RedisServer(tmp_path / "redis") as server:
        settings = with_policy(topics.model_copy(update={"redis": SecretStr(server.url)}))
        with Fleet(settings, tmp_path) as fleet:
            yield Stage(settings, server, fleet, log)


def logs(stage: Stage) -> str:
    return "\n".join(line for worker in stage.fleet.workers for line in worker.lines())


@pytest.mark.parametrize(
    "scenes",
    [
        # One of each kind: tests/simulation tries the orders.
        ["start", "kill", "start", "kill", "start"],
        ["join", "join", "freeze", "thaw", "leave"],
        ["join", "redis falls back", "redis falls back", "join", "kill", "redis falls back", "start"],
    ],
    ids=", ".join,
)
def test_states_are_exact_and_no_event_goes_without_a_score(
    stage: Stage, scenes: list[str], seed: int
) -> None:
    print(f"seed {seed}: {len(stage.log)} events")
    stage.play(scenes, random.Random(seed))
    stage.fleet.finish(*stage.alive)
    for worker in stage.alive:
        worker.wait_ready()
        assert worker.stop()[0] == 0

    truth = expected(stage.settings, stage.log)
    assert_same_states(stage.settings, truth)
    scores = scores_by_event(read_topic(stage.settings, stage.settings.scores_topic))
    assert_same_scores(scores, truth)
    repeats = assert_repeats_agree(scores)
    letters = [
        (record.partition, dict(record.headers)["offset"], dict(record.headers)["reason"])
        for record in read_topic(stage.settings, stage.settings.dead_letters_topic)
    ]
    assert len(set(letters)) == truth.dead_letters > 0
    assert truth.duplicates > 0
    again = assert_same_actions(stage.settings, stage.log)
    lettered = len(letters) - len(set(letters))
    print(f"{again} actions, {repeats} of {len(scores)} scores and {lettered} dead letters repeated")
    if "redis falls back" in scenes:
        assert "the store fell back" in logs(stage), "Redis lost nothing, so nothing was shown"
        assert repeats > 0

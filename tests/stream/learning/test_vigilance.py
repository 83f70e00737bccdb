"""A learner is ready for as long as it is answered, saves, and moves."""

from __future__ import annotations

from typing import cast

import pytest

from stream.learning.learning import LearningStatus
from stream.learning.topic_buffers import TopicBuffers
from stream.learning.vigilance import STUCK_SECONDS, Vigilance

KNOWN_SECONDS = 2700.0


class Buffers:
    """What is fetched, as far as readiness looks at it."""

    def __init__(self) -> None:
        self.lag = 0
        self.silence = ""

    def wanted_lag(self) -> int:
        return self.lag

    def silent(self, since: float) -> str:
        return self.silence


class Learner:
    def __init__(self) -> None:
        self.now = 100.0
        self.buffers = Buffers()
        self.vigilance = Vigilance(KNOWN_SECONDS, clock=lambda: self.now)

    def turn(self, seconds: float, **status: float) -> str:
        """Turn for some time without a change of the status; return the trouble."""
        for _ in range(int(seconds)):
            self.now += 1
            self.vigilance.look(LearningStatus(**status), cast(TopicBuffers, self.buffers))  # type: ignore[arg-type]
        return self.vigilance.trouble(cast(TopicBuffers, self.buffers))


@pytest.fixture
def learner() -> Learner:
    return Learner()


def test_a_learner_without_work_is_ready(learner: Learner) -> None:
    assert learner.turn(1_000) == ""
    assert learner.turn(1_000, examples=5, oldest_waiting_seconds=KNOWN_SECONDS) == ""


def test_a_learner_that_turns_without_learning_is_not(learner: Learner) -> None:
    learner.buffers.lag = 400_000
    assert learner.turn(STUCK_SECONDS) == ""
    assert learner.turn(5) == "nothing has been learned for 65 s, and 400,000 records wait to be read"
    assert learner.turn(1, examples=512) == ""


def test_examples_that_are_overdue_are_work(learner: Learner) -> None:
    assert "nothing has been learned for" in learner.turn(100, oldest_waiting_seconds=2 * KNOWN_SECONDS)


def test_silence_and_a_snapshot_that_is_not_saved_are_told(learner: Learner) -> None:
    learner.buffers.silence = "partition 1 of outcomes: Kafka has answered no fetch for 12 s"
    assert learner.turn(1) == learner.buffers.silence
    learner.vigilance.unsaved = "the snapshot was not saved: no answer"
    assert learner.turn(1) == "the snapshot was not saved: no answer"

"""Hundreds of schedules of learners: each example is learned once in the saved line of snapshots, and letters are kept.

A failure prints the number of its schedule, and what happened in it; `python -m tests.simulation 4711 --learners`
repeats it. A twentieth of `INTENT_SCHEDULES` are run.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest

from features.bundle import Bundle
from tests.bundles import random_bundle
from tests.simulation.learner_bugs import LEARNER_BUGS, planted_in_learner
from tests.simulation.learner_schedules import LearnerSchedules
from tests.simulation.stories import LEARNER_FAULTS, counted

_COUNT = int(os.environ.get("INTENT_SCHEDULES", "10000")) // 20


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return random_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def run(schedules: LearnerSchedules, count: int) -> Iterator[list[str]]:
    """Run the first schedules, and yield their stories."""
    return (schedules.run(number) for number in range(count))


@pytest.mark.timeout(600)
def test_whatever_goes_wrong_each_example_is_learned_exactly_once(bundle: Bundle) -> None:
    stories = list(run(LearnerSchedules(bundle), max(_COUNT, 200)))
    assert not [
        fault for fault, number in counted(stories, LEARNER_FAULTS).items() if number < len(stories) / 200
    ]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("bug", LEARNER_BUGS)
def test_a_planted_mistake_is_found(bundle: Bundle, bug: str) -> None:
    with planted_in_learner(bug), pytest.raises(AssertionError, match="schedule"):
        list(run(LearnerSchedules(bundle), 1_000))


def test_a_schedule_repeats_itself(bundle: Bundle) -> None:
    schedules = LearnerSchedules(bundle)
    stories = [schedules.run(7) for _ in range(2)]
    assert stories[0] == stories[1]
    assert stories[0] != schedules.run(8)

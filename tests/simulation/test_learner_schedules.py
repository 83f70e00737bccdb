"""A thousand schedules of learners: each example is learned once in the saved line of snapshots, and letters are kept.

A failure prints the number of its schedule, and what happened in it; `LearnerSchedules(bundle).run(4711)` repeats it.
`INTENT_SCHEDULES` also says how many of these are run: a tenth of it.
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

_COUNT = int(os.environ.get("INTENT_SCHEDULES", "5000")) // 10


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return random_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def run(schedules: LearnerSchedules, count: int) -> None:
    """Run the first schedules."""
    for number in range(count):
        schedules.run(number)


@pytest.mark.timeout(600)
def test_whatever_goes_wrong_each_example_is_learned_exactly_once(bundle: Bundle) -> None:
    run(LearnerSchedules(bundle), _COUNT)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("bug", LEARNER_BUGS)
def test_a_planted_mistake_is_found(bundle: Bundle, bug: str) -> None:
    with planted_in_learner(bug), pytest.raises(AssertionError, match="schedule"):
        run(LearnerSchedules(bundle), 1_000)


def test_a_schedule_repeats_itself(bundle: Bundle) -> None:
    schedules = LearnerSchedules(bundle)
    stories = [schedules.run(7) for _ in range(2)]
    assert stories[0] == stories[1]
    assert stories[0] != schedules.run(8)

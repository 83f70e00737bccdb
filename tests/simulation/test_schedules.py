"""Thousands of schedules of random faults; every planted mistake is found.

A failure prints the number of its schedule, and what happened in it. `python -m tests.simulation 4711` repeats it;
`INTENT_SCHEDULES=100000` runs more of them.
"""

from __future__ import annotations

import gc
import logging
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import pytest

from features.bundle import Bundle
from tests.bundles import save_bundle
from tests.simulation.bugs import BUGS, LOGIN_BUGS, PRICE_BUGS, SEEN_IN, planted
from tests.simulation.schedules import Schedules
from tests.simulation.stories import WORKER_FAULTS, counted

_COUNT = int(os.environ.get("INTENT_SCHEDULES", "10000"))
_PIECE = 500


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def schedules(folder: Path) -> Schedules:
    return Schedules(Bundle.load(folder))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def run(schedules: Schedules, start: int, stop: int) -> Iterator[list[str]]:
    """Run a range of schedules, and yield their stories."""
    return (schedules.run(number) for number in range(start, stop))


def run_apart(
    folder: Path, start: int, stop: int, *, logins: bool = False, prices: bool = False
) -> Counter[str]:
    """Run a range of schedules in another process; return how many contain each fault."""
    logging.disable(logging.CRITICAL)
    gc.collect()
    gc.freeze()  # all that was imported, and stays
    schedules = Schedules(Bundle.load(folder), logins=logins, prices=prices)
    return counted(run(schedules, start, stop), WORKER_FAULTS)


@pytest.mark.timeout(600)
def test_whatever_goes_wrong_states_are_exact_and_every_event_is_scored(folder: Path) -> None:
    ends = [*range(0, _COUNT, _PIECE), _COUNT]
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 4), get_context("spawn")) as pool:
        pieces = [pool.submit(run_apart, folder, *piece) for piece in pairwise(ends)]
        faults = sum((piece.result() for piece in pieces), Counter[str]())
    print(faults)
    assert not [fault for fault in WORKER_FAULTS if faults[fault] < _COUNT / 100], faults


@pytest.mark.timeout(600)
def test_whatever_goes_wrong_each_login_is_merged_once_as_if_all_events_had_had_the_known_id(
    folder: Path,
) -> None:
    count = max(_COUNT // 10, 2)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        halves = [(0, count // 2), (count // 2, count)]
        pieces = [pool.submit(run_apart, folder, *half, logins=True) for half in halves]
        faults = sum((piece.result() for piece in pieces), Counter[str]())
    print(faults)
    assert faults["is killed"] > count / 10


@pytest.mark.timeout(300)
@pytest.mark.parametrize("bug", LOGIN_BUGS)
def test_a_planted_mistake_about_logins_is_found(folder: Path, bug: str) -> None:
    schedules = Schedules(Bundle.load(folder), logins=True)
    with planted(bug), pytest.raises(AssertionError, match="schedule"):
        schedules.run(SEEN_IN.get(bug, 0))
        list(run(schedules, 0, 2_000))


@pytest.mark.timeout(600)
def test_whatever_goes_wrong_prices_are_known_everywhere_and_each_drop_is_told_once(folder: Path) -> None:
    count = max(_COUNT // 10, 2)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        halves = [(0, count // 2), (count // 2, count)]
        pieces = [pool.submit(run_apart, folder, *half, prices=True) for half in halves]
        faults = sum((piece.result() for piece in pieces), Counter[str]())
    print(faults)
    assert faults["is killed"] > count / 10


@pytest.mark.timeout(300)
@pytest.mark.parametrize("bug", PRICE_BUGS)
def test_a_planted_mistake_about_prices_is_found(folder: Path, bug: str) -> None:
    schedules = Schedules(Bundle.load(folder), prices=True)
    with planted(bug), pytest.raises(AssertionError, match="schedule"):
        list(run(schedules, 0, 2_000))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_mistake_is_found(schedules: Schedules, bug: str) -> None:
    with planted(bug), pytest.raises(AssertionError, match="schedule"):
        schedules.run(SEEN_IN.get(bug, 0))
        list(run(schedules, 0, 2_000))


def test_a_schedule_repeats_itself(schedules: Schedules) -> None:
    stories = [schedules.run(7) for _ in range(2)]
    assert stories[0] == stories[1]
    assert stories[0] != schedules.run(8)

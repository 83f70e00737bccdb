"""One run: emit, disturb, wait until all is done, settle accounts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from stream.learning.model.snapshot import Snapshot
from stream.learning.snapshot_store import SnapshotStore, progress_of
from stream.settings import Settings
from tests.chaos.account import settle_accounts
from tests.chaos.actions import settle_actions
from tests.chaos.faults import FAULTS, FELL_BACK, Times
from tests.chaos.shop import Shop
from tests.chaos.stage import Stage
from tests.integration.settling import settled
from tests.integration.workers import until

#: A run that is left alone needs no longer for what has piled up.
_DONE_SECONDS: Final = 300.0

Weights = dict[str, bytes]


def run(
    folder: Path,
    *,
    minutes: float,
    seed: int,
    rate: float,
    tell: Callable[[str], None] = lambda text: None,
    only: list[str] | None = None,
) -> dict[str, Any]:
    """Disturb the system for a time; return the account and the longest times.

    Parameters
    ----------
    folder
        Takes the servers' files and the logs.
    minutes
        How long faults happen.
    rate
        Events per second.
    tell
        Gets a line for each fault.
    only
        The faults, by name, in order; random ones where nothing is given.

    Raises
    ------
    AssertionError
        Something was lost, counted twice or learned wrongly, or took too long.
    """
    with Stage(folder, seed) as stage:
        shop = Shop(stage.settings, seed, round(minutes * 60 * rate), rate)
        times, counts = Times(), Counter[str]()
        began = time.monotonic()
        shop.start()
        planned = iter(only or [])
        while only or time.monotonic() - began < minutes * 60:
            name = next(planned, "") if only else stage.chance.choice(sorted(FAULTS))
            if not name:
                break
            tell(f"{time.monotonic() - began:6.0f} s  {shop.emitted:,} emitted  {name}")
            time.sleep(stage.chance.uniform(0, 2))
            FAULTS[name](stage, times)
            counts[name] += 1
            stage.settle()
        shop.finish()
        tell(f"{time.monotonic() - began:6.0f} s  {shop.emitted:,} emitted, waiting for the rest")
        stage.fleet.finish(*stage.workers)
        settled(stage.fleet, stage.workers[0])
        until(
            lambda: _learned(stage.direct(), stage) and stage.learner.check(),
            "all is learned",
            seconds=_DONE_SECONDS,
        )
        account = settle_accounts(stage.direct())
        actions = settle_actions(stage.direct(), folder, fell_back=not FELL_BACK.isdisjoint(counts))
        tell(
            f"{time.monotonic() - began:6.0f} s  states, scores, actions and letters are right; learning again"
        )
        learned, again = _weights(stage.direct()), _learned_again(stage)
        assert learned == again, "other weights than those of an undisturbed learner"
        return {
            **account._asdict(),
            **actions._asdict(),
            "weights_equal": True,
            "faults": dict(sorted(counts.items())),
            "longest_takeover_seconds": times.takeover,
            "longest_end_seconds": times.end,
            "seconds": round(time.monotonic() - began, 1),
        }


def _learned_again(stage: Stage) -> Weights:
    """Return what a learner learns that reads both topics in one go."""
    for one in (*stage.workers, stage.learner):
        one.stop()
    settings = stage.direct(redis_prefix="again", group="again")
    learner = stage.fleet.start(settings=settings, command="learner")
    until(
        lambda: _learned(settings, stage) and learner.check(), "all is learned again", seconds=_DONE_SECONDS
    )
    learner.stop()
    return _weights(settings)


def _learned(settings: Settings, stage: Stage) -> bool:
    """Whether the snapshot has nothing left to read."""
    snapshot = _snapshot(settings)
    if snapshot is None:
        return False
    progress = progress_of(snapshot.meta["progress"])
    topics = (settings.examples_topic, settings.outcomes_topic)
    read = [{p: c.next for p, c in enumerate(cursors)} for cursors in (progress.examples, progress.outcomes)]
    return read == [stage.fleet.ends(topic) for topic in topics]


def _weights(settings: Settings) -> Weights:
    snapshot = _snapshot(settings)
    assert snapshot is not None
    return {name: array.tobytes() for name, array in snapshot.arrays.items()}


def _snapshot(settings: Settings) -> Snapshot | None:
    store = SnapshotStore(settings.redis_url, settings.redis_prefix)
    try:
        raw = store.snapshot()
    finally:
        store.close()
    return None if raw is None else Snapshot.from_bytes(raw)

"""Schedules of learners by their seeds, and what must be true after each of them."""

from __future__ import annotations

from datetime import timedelta
from random import Random

from features.bundle import Bundle
from stream.settings import Settings
from tests.simulation.learner_world import LearnerFaults, LearnerWorld
from tests.simulation.ledger import rows_wanted
from tests.simulation.topics import Topics
from tests.stream.learning.histories import sources, truth

PARTITIONS = 2
_EVENTS = 40  # of a partition, at most
_LOGINS = 3.0  # in every second schedule
_INTERVAL = timedelta(seconds=1)


class LearnerSchedules:
    """Runs schedules with one bundle.

    Parameters
    ----------
    faults
        How often things go wrong.
    """

    def __init__(self, bundle: Bundle, faults: LearnerFaults | None = None) -> None:
        self._bundle = bundle
        self._faults = faults or LearnerFaults()
        self._settings = Settings(snapshot_interval=_INTERVAL)

    def run(self, seed: int) -> list[str]:
        """Run one schedule, and return its story.

        Raises
        ------
        AssertionError
            An example was not learned, or twice, or otherwise than it must be; tells the seed and what happened.
        """
        chance = Random(seed)
        made = sources(chance, PARTITIONS, _EVENTS, logins=_LOGINS * (seed % 2))
        topics = Topics(chance, made, self._bundle.manifest.version, stray=self._faults.stray)
        world = LearnerWorld(
            seed, topics, rows_wanted(truth(made)), self._settings, self._bundle, self._faults
        )
        try:
            world.run()
            assert not world.unhandled, f"{world.unhandled}"
        except BaseException as error:
            story = "\n".join(world.story)
            raise AssertionError(f"schedule {seed} of learners: {error!r}\n{story}") from error
        return world.story

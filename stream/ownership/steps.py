"""Which step each round is at, since when, and how long the steps of all rounds have taken."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from stream.running.histogram import Histogram
from stream.tracing.trace import UNTRACED, Trace

#: What happens to a round, in this order; the last only to partitions whose save has promised something.
STEPS: Final = ("read", "load", "score", "publish", "save", "act")

_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Step(NamedTuple):
    """A step under way.

    Attributes
    ----------
    name
        One of `STEPS`.
    partitions
        Whose batches take part.
    since
        When it began, seconds of `time.monotonic`.
    """

    name: str
    partitions: Sequence[int]
    since: float


class RoundSteps:
    """The steps of one round: call it with the name of each as it begins."""

    def __init__(self, steps: Steps, partitions: Sequence[int], trace: Trace) -> None:
        self._steps = steps
        self._partitions = partitions
        self._trace = trace
        self._now: Step | None = None

    def __call__(self, name: str) -> None:
        """Begin a step; the one before is done."""
        self._end(Step(name, self._partitions, time.monotonic()))
        self._trace.step(name)

    def over(self, error: BaseException | None = None) -> None:
        """End the last step, and the round; ``error`` is why it failed."""
        self._end(None)
        self._trace.end(error)

    def _end(self, following: Step | None) -> None:
        done, self._now = self._now, following
        if done is not None:
            self._steps.under_way.remove(done)
            self._steps.times[done.name].add(time.monotonic() - done.since)
        if following is not None:
            self._steps.under_way.append(following)


class Steps:
    """The steps of all rounds.

    Attributes
    ----------
    under_way
        What rounds are at.
    times
        Seconds that steps have taken, by name.
    """

    def __init__(self) -> None:
        self.under_way: list[Step] = []
        self.times = {name: Histogram(_SECONDS) for name in STEPS}

    @contextmanager
    def round(self, partitions: Sequence[int], trace: Trace = UNTRACED) -> Iterator[RoundSteps]:
        """Give what notes the steps of a round within the block."""
        steps = RoundSteps(self, partitions, trace)
        try:
            yield steps
        except BaseException as error:
            steps.over(error)
            raise
        steps.over()

    def oldest(self) -> Step | None:
        """Return the step that has been under way for longest, ``None`` while there is no round."""
        return min(self.under_way, key=lambda step: step.since, default=None)

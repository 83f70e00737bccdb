"""What a learner should have been answered, saved or learned long since: its readiness.

A learner that turns without moving looks healthy from the outside, and so does one whose broker has fallen silent. So
readiness is judged by the last answers, and by the last example that was learned.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from stream.kafka.contract import STALL_SECONDS
from stream.learning.learning import LearningStatus
from stream.learning.topic_buffers import TopicBuffers

# A mini-batch takes milliseconds. Whoever has work and finishes none of it for so long is stuck, or far behind.
STUCK_SECONDS: Final = 60.0

# Records that may wait in Kafka without being a backlog: some seconds of a busy shop.
_BACKLOG: Final = 10_000

# A mini-batch ends after 10 minutes of event time at the latest: an example may wait that long beyond its horizon.
# Twice as much leaves room for partitions that are ahead of others.
_MINI_BATCH_SECONDS: Final = 1200.0


class Vigilance:
    """Judges a learner by what was answered, saved and learned last.

    Parameters
    ----------
    known_seconds
        Event time after which an example's label is known: horizon and lateness.
    clock
        Returns seconds since any fixed moment.

    Attributes
    ----------
    unsaved
        Why the last snapshot or the lease could not be written, empty where it was.
    """

    def __init__(self, known_seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.unsaved = ""
        self._overdue_seconds = known_seconds + _MINI_BATCH_SECONDS
        self._clock = clock
        self._moved_at = clock()
        self._examples = 0

    def begin(self) -> None:
        """Start anew, as learning does."""
        self.unsaved = ""
        self._moved_at, self._examples = self._clock(), 0

    def look(self, status: LearningStatus, buffers: TopicBuffers) -> None:
        """Note whether learning has moved, or has nothing to do. Call it once per step."""
        oldest = status.oldest_waiting_seconds
        overdue = oldest is not None and oldest > self._overdue_seconds
        if status.examples != self._examples or not (overdue or buffers.wanted_lag() > _BACKLOG):
            self._moved_at, self._examples = self._clock(), status.examples

    def trouble(self, buffers: TopicBuffers) -> str:
        """Return what is wrong, empty if nothing is."""
        now = self._clock()
        if self.unsaved:
            return self.unsaved
        silent = buffers.silent(now - STALL_SECONDS)
        if silent:
            return silent
        if now - self._moved_at > STUCK_SECONDS:
            waiting = buffers.wanted_lag()
            return f"nothing has been learned for {now - self._moved_at:.0f} s, and {waiting:,} records wait to be read"
        return ""

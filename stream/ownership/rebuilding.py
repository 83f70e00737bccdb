"""How far a silent rebuilding has come, for the log and for readiness."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from features.store.partition_record import PartitionRecord

logger = logging.getLogger(__name__)

# Between two lines of the log about one partition.
_TELL_SECONDS: Final = 5.0


class Rebuilding:
    """Tells how far a partition is.

    Parameters
    ----------
    topic, partition
        The partition.
    clock
        Returns seconds since any fixed moment.

    Attributes
    ----------
    trouble
        Why the partition is not ready; empty when its states are complete.
    """

    def __init__(self, topic: str, partition: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.trouble = ""
        self._topic = topic
        self._partition = partition
        self._clock = clock
        self._first = 0
        self._told_at = clock()

    def begin(self, record: PartitionRecord, earliest: int) -> None:
        """Begin, or go on, at a claim; ``earliest`` is the log's first offset."""
        self._first, self._told_at = earliest, self._clock()
        self._say(record)

    def reached(self, record: PartitionRecord) -> None:
        """Take note of the record that was saved."""
        if not self.trouble:
            return
        self._say(record)
        if not self.trouble:
            logger.warning(
                "partition %s of %s: its states are built again up to offset %s, scoring goes on",
                self._partition, self._topic, record.silent_until,
            )  # fmt: skip
        elif self._clock() - self._told_at >= _TELL_SECONDS:
            self._told_at = self._clock()
            done, total = record.next_offset - self._first, record.silent_until - self._first
            logger.warning(
                "partition %s of %s: rebuilt %s of %s offsets", self._partition, self._topic, done, total
            )

    def _say(self, record: PartitionRecord) -> None:
        total = record.silent_until - self._first
        done = record.next_offset - self._first
        self.trouble = (
            f"rebuilding partition {self._partition}: {100 * done // total}%"
            if record.silent and total > 0
            else ""
        )

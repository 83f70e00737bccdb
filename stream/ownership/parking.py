"""Parking: a partition that cannot go on is left alone for a while, shown, and tried again."""

from __future__ import annotations

import logging
import time
from typing import Final

from features.causes import cause

logger = logging.getLogger(__name__)

# Seconds until a parked partition is tried again after the first, second, ... time. The last stands for all that
# follow: a partition goes on within this much of the moment at which its trouble ends.
PARK_PAUSES: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)

# The log says at once that a partition is parked, and then this often.
_TOLD_SECONDS: Final = 60.0


class Parking:
    """Whether one partition is parked, since when and why.

    Parameters
    ----------
    partition, topic
        The partition, for messages.

    Attributes
    ----------
    trouble
        The partition, the offset at which it stands, why, and what to do; empty while it is not parked.
    """

    def __init__(self, partition: int, topic: str) -> None:
        self.trouble = ""
        self._partition, self._topic = partition, topic
        self._times = 0
        self._since = self._told = 0.0

    def __bool__(self) -> bool:
        return bool(self.trouble)

    def park(self, error: Exception, offset: int | None, behind: int | None = None) -> float:
        """Park the partition, or leave it parked; return for how many seconds.

        Parameters
        ----------
        offset
            What it is to read next, ``None`` where it could not be claimed.
        behind
            The offset behind the one record that is to blame, where that is known.
        """
        now = time.monotonic()
        what = cause(error)
        ways = "it is tried again, once a minute in the end"
        if behind is not None:
            ways += (
                f"; if nothing else helps, `intent partition skip {self._partition} --to {behind} --reason TEXT` "
                "leaves the record there out"
            )
        first = not self.trouble
        self.trouble = (
            f"partition {self._partition} of {self._topic} is parked "
            f"{'before its claim' if offset is None else f'at offset {offset}'}: {what}; {ways}"
        )
        if first:
            self._times, self._since = 0, now
        if first or now - self._told >= _TOLD_SECONDS:
            self._told = now
            logger.error("%s", self.trouble)
        self._times += 1
        return PARK_PAUSES[min(self._times, len(PARK_PAUSES)) - 1]

    def leave(self) -> None:
        """Take note that the partition goes on."""
        if self.trouble:
            self.trouble = ""
            logger.warning(
                "partition %s of %s goes on; it was parked for %.0f s",
                self._partition, self._topic, time.monotonic() - self._since,
            )  # fmt: skip

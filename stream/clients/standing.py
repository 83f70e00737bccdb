"""Who is on a watcher's list now: customers come with a score that is wanted, and leave again.

========== ==========================================================================
reason     why a customer left
========== ==========================================================================
purchase   The customer has bought.
horizon    The newest score is over: the log's time has reached ``as_of`` + horizon.
filter     The newest score is in another band or segment, or no customer's.
displaced  Too many are on the list; this one was silent for the longest time.
========== ==========================================================================
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Final, Literal, NamedTuple

from stream.messages.score import Score

Reason = Literal["purchase", "horizon", "filter", "displaced"]

#: Customers on a list. Bounds its memory, at about 200 bytes each.
REMEMBERED: Final = 100_000


class Departure(NamedTuple):
    """A customer who has left the list.

    Attributes
    ----------
    as_of
        Of the customer's last score on the list, epoch ms.
    """

    customer_id: str
    reason: Reason
    as_of: int


class Standing:
    """The customers whose newest score is wanted, still open, and of no purchase.

    Parameters
    ----------
    remembered
        Customers at most.
    """

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._scores: dict[str, tuple[int, int]] = {}  # as_of, and when it is over; the longest silent first

    def __contains__(self, customer: str) -> bool:
        return customer in self._scores

    def take(self, score: Score, *, wanted: bool) -> Departure | None:
        """Take a customer's newest score; return who leaves for it.

        Parameters
        ----------
        wanted
            Whether the score passes the filter.
        """
        customer = score.customer_id
        before = self._scores.pop(customer, None)
        if score.purchase or not wanted:
            if before is None and not wanted:
                return None
            as_of = score.as_of if before is None else before[0]
            return Departure(customer, "purchase" if score.purchase else "filter", as_of)
        self._scores[customer] = score.as_of, score.as_of + round(score.horizon_seconds * 1000)
        if len(self._scores) <= self._remembered:
            return None
        silent = next(iter(self._scores))
        return Departure(silent, "displaced", self._scores.pop(silent)[0])

    def erase(self, customer: str) -> bool:
        """Forget a customer; return whether there was something to forget."""
        return self._scores.pop(customer, None) is not None

    def expire(self, now_ms: int) -> list[Departure]:
        """Let those leave whose score is over."""
        over = [(customer, as_of) for customer, (as_of, end) in self._scores.items() if end <= now_ms]
        for customer, _ in over:
            del self._scores[customer]
        return [Departure(customer, "horizon", as_of) for customer, as_of in over]


def wall_clock_ms() -> int:
    """Return the time of day, epoch ms."""
    return time.time_ns() // 1_000_000


class LogTime:
    """The time at which a log stands: its own where it is replayed, the wall clock where it is live.

    A log is live if its newest message was made soon after what it refers to: a score within its horizon.

    Parameters
    ----------
    clock
        The wall clock, epoch ms.
    """

    def __init__(self, clock: Callable[[], int] = wall_clock_ms) -> None:
        self._clock = clock
        self._reached: dict[int, int] = {}
        self._latest: int | None = None
        self._newest = 0
        self._live = False

    def take(self, partition: int, score: Score) -> None:
        """Take the next score of a partition."""
        live = abs(score.scored_at - score.as_of) <= score.horizon_seconds * 1000
        self.reach(partition, score.as_of, live=live)

    def reach(self, partition: int, at_ms: int, *, live: bool) -> None:
        """Take the time to which the next message of a partition refers, and whether it was made soon after that."""
        self._reached[partition] = max(self._reached.get(partition, 0), at_ms)
        if at_ms >= self._newest:
            self._newest = at_ms
            self._live = live

    def of(self, partition: int, *, live: bool) -> int:
        """Return the time by which the newest message of a partition is judged, whether or not that was live.

        Of a replay it is the partition's own: others may be far ahead, by chance.
        """
        return self._clock() if live else self._reached[partition]

    def now(self, behind: Collection[int] = ()) -> int | None:
        """Return the time, epoch ms; None before the first score. It never goes back.

        Parameters
        ----------
        behind
            Partitions that have more scores to read: as long as there are some, their time counts.
        """
        if not self._reached:
            return None
        if self._live:
            found = max(self._newest, self._clock())
        elif all(partition in self._reached for partition in behind):
            found = min((self._reached[partition] for partition in behind), default=self._newest)
        else:
            return self._latest
        self._latest = found if self._latest is None else max(self._latest, found)
        return self._latest

"""Timers of a partition: when the next one is due, and whose are due in a round.

A timer is a moment of event time; it comes in the batch whose watermark reaches it, like everything else that follows
from events. The store keeps all timers of a partition, its owner only the earliest moment: as long as no watermark
reaches that, the store is not asked.

A watermark that leaps, as after a gap in the log, may reach the timers of everybody. A round takes so many of them; the
rest comes in rounds without records, before any further record is looked at. Nothing depends on where it is cut: timers
of customers without an event between them have nothing to do with each other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

from features.store.customer_store import Due, DueRequest, TimerChanges
from stream.kafka.batches import NEVER

# Customers whose timers are asked for at once; as a rule a few are due.
DUE_AT_ONCE: Final = 2_000

#: Customers whose timers come in one round, at most, each with a state and a few actions: about 15 MB and 10 MB.
MOST_DUE: Final = 8_000

if TYPE_CHECKING:
    from stream.ownership.partition_batch import PartitionBatch


class Timers:
    """When the next timer of a partition is due, as far as its owner knows: never later than it is.

    The timer that it knows may have moved since. Then the store is asked once in vain, and says what is next.
    """

    def __init__(self) -> None:
        self._earliest = NEVER

    def begin(self, earliest: int) -> None:
        """Take the earliest moment that is stored, epoch ms; 0 = there is none."""
        self._earliest = earliest or NEVER

    def reached_by(self, watermark: int) -> bool:
        """Whether a timer may be due, so that the store has to be asked."""
        return self._earliest <= watermark

    def saved(self, changes: TimerChanges, following: int | None) -> None:
        """Take note of what was saved.

        Parameters
        ----------
        following
            The earliest moment after those that have come, 0 = there is none; ``None`` where nobody has asked. One that
            the watermark has reached: there are more.
        """
        if following is not None:
            self.begin(following)
        self._earliest = min([self._earliest, *filter(None, changes.moments)])


async def due_customers(
    parts: Sequence[PartitionBatch],
    reached: Sequence[int],
    ask: Callable[[Sequence[DueRequest]], Awaitable[list[Due]]],
) -> list[list[str]]:
    """Return for each partition batch the customers whose timers its watermark reaches, the first of them.

    All together are `MOST_DUE`, at most. Where there are more, `PartitionBatch.following` is a moment that is reached.

    Parameters
    ----------
    reached
        The watermark after each partition batch, epoch ms.
    ask
        Asks the store (`CustomerStore.due_many`).
    """
    found: list[list[str]] = [[] for _ in parts]
    asked = [at for at, part in enumerate(parts) if part.timers.reached_by(reached[at])]
    most = max(MOST_DUE // max(len(asked), 1), 1)
    while asked:
        requests = [
            DueRequest(
                parts[at].batch.partition,
                parts[at].record,
                reached[at],
                min(DUE_AT_ONCE, most - len(found[at])),
                len(found[at]),
            )
            for at in asked
        ]
        more = []
        for at, request, due in zip(asked, requests, await ask(requests), strict=True):
            found[at] += due.customers
            parts[at].following = due.following
            if len(due.customers) < request.limit:
                continue
            if len(found[at]) < most:
                more.append(at)
            else:
                parts[at].following = reached[at]
        asked = more
    return found

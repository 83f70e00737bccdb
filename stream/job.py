"""What the owner of a partition asks of its job and of the log, and why it may refuse to go on.

::

    features.exceptions.IntentError
    └── OwnershipError         a partition cannot be processed until a person has acted
        ├── StoreLost            the store has no record, but Kafka has a commit
        ├── OffsetOutsideLog     the recorded offset is not in the topic
        ├── PartitionsChanged    the topic has another partition count than the states
        └── JobFailed            the job raises again and again
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from features.exceptions import IntentError
from features.state import States
from stream.batches import RecordBatch


class OwnershipError(IntentError):
    """A partition cannot be processed until a person has acted; the worker ends."""


class StoreLost(OwnershipError):
    """The store has no record of a partition that Kafka has a commit for."""


class OffsetOutsideLog(OwnershipError):
    """The recorded offset is not in the topic any more, or not yet."""


class PartitionsChanged(OwnershipError):
    """The topic has another partition count than when the states were written."""


class JobFailed(OwnershipError):
    """The job raises on the same records again and again."""


class Folded(NamedTuple):
    """What a job made of a batch.

    Attributes
    ----------
    customers
        Whose states changed, each once.
    states
        Their new states, in the same order; an empty one erases the customer.
    watermark
        The highest accepted event time of the partition so far, epoch milliseconds.
    """

    customers: Sequence[str]
    states: States
    watermark: int


class Claim(Protocol):
    """What a job may know of the partition that it works on."""

    partition: int

    @property
    def watermark(self) -> int:
        """The watermark before the batch, epoch milliseconds."""
        ...

    async def load(self, customers: Sequence[str]) -> States:
        """Return the states of ``customers`` (distinct), empty ones where there are none."""
        ...


class Job(Protocol):
    """The work on one batch, up to the last acknowledgement. Runs for several partitions at the same time."""

    async def run(self, batch: RecordBatch, claim: Claim) -> Folded:
        """Load, fold, produce and await the broker; return what is to be saved. Must bear being run again."""
        ...


class Bounds(NamedTuple):
    """The offsets that a partition holds, and how many partitions its topic has."""

    earliest: int
    latest: int
    partitions: int


class Log(Protocol):
    """What an owner needs of the transport."""

    async def bounds(self, partition: int) -> Bounds:
        """Return the partition's bounds."""
        ...

    async def committed(self, partition: int) -> int | None:
        """Return the offset that Kafka has committed for the group."""
        ...

    async def seek(self, partition: int, offset: int) -> None:
        """Fetch from ``offset`` on."""
        ...

    def position(self, partition: int) -> int | None:
        """Return where the next fetch starts."""
        ...

    def end(self, partition: int) -> int | None:
        """Return the offset after the last record that can be read, as far as known."""
        ...

    def wake(self) -> None:
        """Hand over records of partitions that want some again."""
        ...

    def rejoin(self) -> None:
        """Join the consumer group anew."""
        ...

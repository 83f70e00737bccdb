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

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from features.exceptions import IntentError
from features.state import States
from features.store import Loaded
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
        The highest accepted event time of the partition so far minus the lateness, epoch milliseconds.
    erased
        Customers who asked to be erased, even if they came back and have a state.
    """

    customers: Sequence[str]
    states: States
    watermark: int
    erased: Sequence[str] = ()


class Turn(Protocol):
    """One partition's part in a round: a batch of its records, and the watermark before them."""

    batch: RecordBatch

    @property
    def watermark(self) -> int:
        """The partition's watermark before the batch, epoch milliseconds."""
        ...


class Load(Protocol):
    """Loads the states of distinct customers for each turn of a round, empty ones where there are none."""

    async def __call__(self, customers: Sequence[Sequence[str]], *, items: bool = False) -> list[Loaded]:
        """Return for each turn the states and, if asked for, the customers' items."""
        ...


class Job(Protocol):
    """The work on a round of batches, each of another partition, up to the last acknowledgement.

    Runs for several rounds at the same time, and must bear being run again on the same batches, alone or in
    other company.
    """

    async def run(self, turns: Sequence[Turn], load: Load) -> list[Folded]:
        """Load, fold, produce and await the broker; return for each turn what is to be saved."""
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


class Owning(Protocol):
    """Who reads a topic through the batched transport: it says what to fetch, gets it, and knows the offsets.

    Attributes
    ----------
    expired
        What a person can do if records expired before they were read.
    refusal, refused
        Why the process must end, ``None`` as long as all is well; the event is set together with it.
    """

    expired: str

    @property
    def refusal(self) -> IntentError | None:
        """See above."""
        ...

    @property
    def refused(self) -> asyncio.Event:
        """See above."""
        ...

    def attach(self, log: Log) -> None:
        """Tell where the partitions are read from, before anything else."""
        ...

    def assign(self, partitions: Iterable[int]) -> None:
        """Begin to own ``partitions``, and only these."""
        ...

    async def release(self) -> None:
        """Give all partitions up."""
        ...

    def close(self) -> None:
        """End; comes after the last `release`."""
        ...

    def offer(self, batch: RecordBatch) -> None:
        """Take a fetched batch."""
        ...

    def wants(self, partition: int) -> bool:
        """Whether to fetch more of a partition. Asked from another thread."""
        ...

    def progress(self) -> Mapping[int, int]:
        """Return by partition the offset that Kafka may commit."""
        ...

    def refuse(self, error: IntentError) -> None:
        """End the process because of ``error``."""
        ...

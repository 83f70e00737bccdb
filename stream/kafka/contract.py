"""What the batched transport and the owner of what it reads expect of each other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from features.exceptions import IntentError
from features.store.log_mark import UNKNOWN_EPOCH
from stream.kafka.batches import RecordBatch


class Bounds(NamedTuple):
    """The offsets that a partition holds, and what its topic is.

    Attributes
    ----------
    earliest, latest
        The first offset, and the one after the last record that can be read.
    partitions
        How many the topic has.
    topic_id
        Kafka's id of the topic, 16 bytes; ``None`` where the broker is too old to give one.
    """

    earliest: int
    latest: int
    partitions: int
    topic_id: bytes | None = None


class Stamp(NamedTuple):
    """What a record can be recognized by: its offset, when it was appended (epoch ms), and the leader's epoch."""

    offset: int
    time: int
    epoch: int = UNKNOWN_EPOCH


class Appended(NamedTuple):
    """The first record found that has the broker's time: when it was appended, ``None`` if there is none.

    Attributes
    ----------
    offset
        Its offset, or else the one up to which none was found.
    """

    time: int | None
    offset: int


class Commit(NamedTuple):
    """The offset that a group has committed, and what stands beside it."""

    offset: int
    metadata: str = ""


class TooOld(Exception):
    """The broker does not know what it was asked."""


class Log(Protocol):
    """What an owner needs of the transport."""

    async def bounds(self, partition: int) -> Bounds:
        """Return the partition's bounds."""
        ...

    async def committed(self, partition: int) -> Commit | None:
        """Return what the group has committed to Kafka."""
        ...

    async def epoch_end(self, partition: int, epoch: int) -> int | None:
        """Return the offset after the last record of a leader epoch; ``None`` if the broker has none of it.

        Raises
        ------
        TooOld
            The broker cannot tell.
        """
        ...

    async def stamp_at(self, partition: int, offset: int) -> Stamp | None:
        """Return the record that stands at ``offset``, or else the first after it in the same batch, if any."""
        ...

    async def partition_count(self) -> int:
        """Return how many partitions the topic has at this moment."""
        ...

    async def check_appended(self) -> None:
        """Raise `TopicMismatch` where the topic gives records their producer's time at this moment."""
        ...

    async def appended_after(self, partition: int, offset: int) -> Appended:
        """Return the first record from ``offset`` on that has the broker's time."""
        ...

    async def seek(self, partition: int, offset: int) -> int:
        """Fetch from ``offset`` on; return the number that batches carry which are fetched from now on.

        An offset does not tell them from what was fetched before: the topic may have been made again meanwhile.
        """
        ...

    def position(self, partition: int) -> int | None:
        """Return where the next fetch starts."""
        ...

    def end(self, partition: int) -> int | None:
        """Return the high watermark: the offset after the last record, whether it can be read yet or not."""
        ...

    def stable_end(self, partition: int) -> int | None:
        """Return the last stable offset: what lies above it belongs to transactions that are still open."""
        ...

    def held_since(self, partition: int) -> float:
        """Return since when the stable offset has lain unmoved below the end, in seconds of `time.monotonic`.

        ``inf`` where no transaction is open.
        """
        ...

    def known(self) -> bool:
        """Whether the broker has named the topic when it was last asked which topics there are."""
        ...

    def fetched_at(self, partition: int) -> float:
        """Return when a fetch was last answered, in seconds of `time.monotonic`; ``-inf`` if none was."""
        ...

    def heartbeat_at(self) -> float:
        """Return when the group's coordinator last answered a heartbeat, in seconds of `time.monotonic`."""
        ...

    def corrupt(self, partition: int) -> str:
        """Return why the partition cannot be read: records arrive corrupt. Empty while they do not."""
        ...

    def wake(self) -> None:
        """Hand over records of partitions that want some again."""
        ...

    def rejoin(self) -> None:
        """Join the consumer group again."""
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

    def commit_metadata(self, partition: int) -> str:
        """Return what is committed beside the partition's offset."""
        ...

    def hinder(self, error: Exception, partition: int | None = None) -> None:
        """Take note that Kafka does not hand over the records of a partition, or of any."""
        ...

    def refuse(self, error: IntentError) -> None:
        """End the process because of ``error``."""
        ...


# A revocation or a stop waits this long for batches under way, then drops them. Must stay under the session
# timeout (10 s) and under the grace of `docker stop` (10 s), with room for the commit and for leaving the
# group.
RELEASE_SECONDS: Final = 5.0

#: Transactions end within milliseconds, or at their timeout (a minute unless a producer says otherwise).
HELD_SECONDS: Final = 60.0

#: Whatever is answered less often has stalled: fetches are answered 20 times a second, heartbeats once, a publication
#: or a save within milliseconds. Together with the look of a probe it stays below 15 s.
STALL_SECONDS: Final = 10.0

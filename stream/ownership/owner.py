"""One partition and its one writer: claim it, take its batches in order, save, know what became of a save.

The life of a `PartitionOwner`:

1. *claim*: read the partition's record, raise its epoch, write this worker's token, seek to the recorded
offset; 2. take what waits from that offset on: drop what lies below, seek back when it lies above; 3. take part in a
round: states are loaded, the `Job` scores, publishes and awaits the acknowledgements, and the changed states and the
new record are saved in one guarded transaction; then 2. again.

After a save that failed or was not answered the record is read again: the new one = saved; this worker's
token with a lower offset = the store lost its last moments, so the cache is dropped and the reading starts
again from there; another token = *fenced*, the batch is dropped and the partition given up; no record = claimed
again, or refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from typing import Final

from aiokafka.errors import IllegalStateError, KafkaError, KafkaTimeoutError

from features.exceptions import IntentError, StoreConflict, StoreError
from features.store.customer_store import NO_WATERMARK, CustomerStore, PartitionRecord
from stream.exceptions import JobFailed, OffsetOutsideLog, PartitionsChanged, StoreLost
from stream.kafka.batches import Backlog, RecordBatch
from stream.kafka.contract import Bounds, Log
from stream.ownership.cache import StateCache
from stream.ownership.partition_batch import PartitionBatch
from stream.ownership.rounds import Rounds

logger = logging.getLogger(__name__)

# How long a partition without news waits before it looks whether its record still stands and whether anything
# was fetched that never arrived. Bounds how long a lost batch can stay unnoticed on a topic that has fallen
# silent.
IDLE_SECONDS: Final = 5.0

# Pauses after the first, second, ... failure in a row. The last stands for all that follow: an outage of
# Redis or Kafka may last for hours, and ends within this much of their return.
PAUSES: Final = (0.05, 0.1, 0.2, 0.5, 1.0)

# A job that raises this often in a row on the same records will not mend by itself. Outages are not counted.
JOB_TRIES: Final = 5

# One step of the sweep looks at this many keys (1-2 ms of Redis), at most this often per partition.
SWEEP_KEYS: Final = 500
SWEEP_SECONDS: Final = 5.0


class Fenced(Exception):
    """Another worker has claimed the partition."""


@dataclass(frozen=True)
class OwnerConfig:
    """What all owners of a worker share."""

    store: CustomerStore
    log: Log
    topic: str
    token: bytes
    rounds: Rounds
    batch_max: int
    cache_customers: int
    state_ttl_ms: int | None
    rebuild: bool


class PartitionOwner:
    """The writer of one partition, from its assignment to its release.

    Parameters
    ----------
    partition
        The partition.
    config
        What the owners of this worker share.

    Attributes
    ----------
    record
        The last record that is known to be stored; ``None`` until the partition is claimed.
    trouble
        Why the owner does not get on at the moment; empty when all is well.
    """

    def __init__(self, partition: int, config: OwnerConfig) -> None:
        self.partition = partition
        self.record: PartitionRecord | None = None
        self.trouble = ""
        self.fetching = False
        self.fetching_since = time.monotonic()
        self._config = config
        self._backlog = Backlog(config.batch_max)
        self._cache = StateCache(config.cache_customers)
        self._arrived = asyncio.Event()
        self._stopping = asyncio.Event()
        self._latest: PartitionBatch | None = None  # under way, or the last one, whose outcome may be unknown
        self._in_doubt = False
        self._failures = 0
        self._job_failures = 0
        self._cursor = 0
        self._swept_at = time.monotonic()

    @property
    def wants(self) -> bool:
        """Whether there is room for more records. May be asked from any thread."""
        return self.fetching and self._backlog.records < self._config.batch_max

    @property
    def watermark(self) -> int:
        """See `Claim.watermark`."""
        return NO_WATERMARK if self.record is None else self.record.watermark

    def offer(self, batch: RecordBatch) -> None:
        """Take a batch that was fetched."""
        self._backlog.put(batch)
        self._arrived.set()

    def stop(self) -> None:
        """Finish the batch under way, if any, then end `run`."""
        self.fetching = False
        if self._latest is not None:
            self._latest.drop()
        self._stopping.set()
        self._arrived.set()

    async def run(self) -> None:
        """Own the partition until stopped.

        Raises
        ------
        Fenced
            Another worker has claimed the partition.
        IntentError
            A person has to act.
        """
        while not self._stopping.is_set():
            try:
                if self.record is None:
                    await self._claim()
                elif self._in_doubt:
                    await self._settle(self.record)
                else:
                    await self._advance(self.record)
            except (StoreError, IllegalStateError, KafkaTimeoutError, OSError) as error:
                await self._pause(error, counts=False)
            except (Fenced, IntentError):
                raise
            except KafkaError as error:
                await self._pause(error, counts=not error.retriable)
            except Exception as error:
                logger.exception("partition %s of %s: the job failed", self.partition, self._config.topic)
                await self._pause(error, counts=True)

    async def _claim(self) -> None:
        store, log = self._config.store, self._config.log
        found = await self._config.rounds.call(store.record, self.partition)
        bounds = await log.bounds(self.partition)
        if found is None:
            committed = await log.committed(self.partition)
            found = self._unclaimed(committed, bounds)
            stored = None
        else:
            self._check(found, bounds)
            stored = found
        mine = found._replace(epoch=found.epoch + 1, token=self._config.token)
        try:
            await self._config.rounds.call(store.claim, self.partition, stored, mine)
        except StoreConflict:
            return  # another claim came first, or the answer was lost: read again
        self._cache.drop()
        self.record, self._in_doubt = mine, False
        await self._seek(mine.next_offset)
        logger.info(
            "partition %s of %s: epoch %s from offset %s",
            self.partition, self._config.topic, mine.epoch, mine.next_offset,
        )  # fmt: skip

    async def _advance(self, record: PartitionRecord) -> None:
        batch = await self._next(record.next_offset)
        if batch is None:
            return
        self._latest = part = PartitionBatch(batch, record, self._cache)
        self._in_doubt = True
        if not await self._config.rounds.take(part):
            return
        self.record, self._in_doubt = part.intended, False
        self._failures, self._job_failures, self.trouble = 0, 0, ""
        await self._sweep()

    async def _next(self, expected: int) -> RecordBatch | None:
        """Return what waits from ``expected`` on, ``None`` if nothing does."""
        was_full = not self.wants
        batch = self._backlog.take(expected)
        if batch is None:
            self._arrived.clear()
            try:
                async with asyncio.timeout(PAUSES[-1] if self.trouble else IDLE_SECONDS):
                    await self._arrived.wait()
            except TimeoutError:
                await self._look_round(expected)
            return None
        if batch.start > expected:
            logger.warning(
                "partition %s of %s: records from %s came where %s was expected, reading again",
                self.partition, self._config.topic, batch.start, expected,
            )  # fmt: skip
            await self._seek(expected)
            return None
        if was_full and self.wants:
            self.fetching_since = time.monotonic()
            self._config.log.wake()
        return batch

    async def _look_round(self, expected: int) -> None:
        position = self._config.log.position(self.partition)
        if position is not None and position > expected and not self._backlog:
            logger.warning(
                "partition %s of %s: records %s to %s were fetched but never came, reading again",
                self.partition, self._config.topic, expected, position,
            )  # fmt: skip
            await self._seek(expected)
        self._in_doubt = (
            await self._config.rounds.call(self._config.store.record, self.partition) != self.record
        )
        await self._sweep()
        self._failures, self.trouble = 0, ""

    async def _settle(self, record: PartitionRecord) -> None:
        """Find out what is stored after a save, or a job, that did not come to its end."""
        found = await self._config.rounds.call(self._config.store.record, self.partition)
        self._cache.drop()
        if found is not None and found.token != self._config.token:
            raise Fenced(
                f"partition {self.partition} was claimed by {found.token.hex()[:8]}, epoch {found.epoch}"
            )
        if found is None:
            self.fetching, self.record = False, None
            return
        if found.next_offset < record.next_offset:
            logger.warning(
                "partition %s of %s: the store fell back from offset %s to %s, reading again",
                self.partition, self._config.topic, record.next_offset, found.next_offset,
            )  # fmt: skip
        saved = self._latest is not None and found == self._latest.intended
        self.record = found
        if not saved:
            await self._seek(found.next_offset)
        self._latest, self._in_doubt = None, False

    async def _seek(self, offset: int) -> None:
        self.fetching = False
        self._backlog.clear()
        await self._config.log.seek(self.partition, offset)
        self._backlog.clear()  # what arrived meanwhile was fetched before
        self.fetching, self.fetching_since = not self._stopping.is_set(), time.monotonic()
        self._config.log.wake()

    async def _sweep(self) -> None:
        """Delete some states that the watermark proves expired, now and then."""
        ttl, record = self._config.state_ttl_ms, self.record
        if ttl is None or record is None or record.watermark == NO_WATERMARK or self._in_doubt:
            return
        if time.monotonic() - self._swept_at >= SWEEP_SECONDS:
            self._swept_at = time.monotonic()
            self._cursor, _ = await self._config.rounds.call(
                self._config.store.sweep,
                self.partition,
                record,
                record.watermark - ttl,
                self._cursor,
                SWEEP_KEYS,
            )

    async def _pause(self, error: Exception, *, counts: bool) -> None:
        self.trouble = f"partition {self.partition}: {error}"
        self._failures += 1
        self._job_failures += counts
        if counts and self._job_failures >= JOB_TRIES:
            at = "" if self.record is None else f" from offset {self.record.next_offset} on"
            raise JobFailed(
                f"partition {self.partition} of {self._config.topic}{at} failed {self._job_failures} times, "
                f"last with {type(error).__name__}: {error}; the log above has the details"
            ) from error
        if self._failures in (1, 10) or self._failures % 100 == 0:
            logger.warning("partition %s of %s: %s", self.partition, self._config.topic, error)
        self._in_doubt = True
        delay = PAUSES[min(self._failures, len(PAUSES)) - 1]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), delay)

    def _unclaimed(self, committed: int | None, bounds: Bounds) -> PartitionRecord:
        if committed is not None and not self._config.rebuild:
            raise StoreLost(
                f"Redis has no record of partition {self.partition} of {self._config.topic}, but Kafka has "
                f"a commit at {committed}: its states were lost. Restore Redis, or build the states again "
                "from the topic with `intent worker --rebuild`"
            )
        return PartitionRecord(0, self._config.token, bounds.earliest, NO_WATERMARK, bounds.partitions)

    def _check(self, found: PartitionRecord, bounds: Bounds) -> None:
        topic = self._config.topic
        start_over = (
            "set another INTENT_REDIS_PREFIX and build the states again with `intent worker --rebuild`"
        )
        if found.partitions != bounds.partitions:
            raise PartitionsChanged(
                f"{topic} has {bounds.partitions} partitions, but had {found.partitions} when the states "
                f"were written, and customers have moved between them: `intent archive` the events, `intent replay` "
                f"them into topics of a new INTENT_TOPIC_PREFIX; or, without the history of the moved, {start_over}"
            )
        if not bounds.earliest <= found.next_offset <= bounds.latest:
            raise OffsetOutsideLog(
                f"partition {self.partition} of {topic} holds offsets {bounds.earliest} to {bounds.latest}, "
                f"but the next one to read is {found.next_offset}: the topic was created again, or events "
                f"expired before they were read; {start_over}"
            )

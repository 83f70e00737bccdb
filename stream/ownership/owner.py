"""One partition and its one writer: claim it, take its batches in order, save, know what became of a save.

The life of a `PartitionOwner`:

1. *claim*: read the partition's record, raise its epoch, write this worker's token, seek to the recorded
offset; 2. take what waits from that offset on: drop what lies below, seek back when it lies above; 3. take part in a
round: states are loaded, the `Job` scores, publishes and awaits the acknowledgements, and the changed states and the
new record are saved in one guarded transaction; 4. publish what that save has promised (`stream.ownership.outbox`),
which a new owner and one in doubt do before anything else; then 2. again.

After a save that failed or was not answered the record is read again: the new one = saved; this worker's
token with a lower offset = the store lost its last moments, so the cache is dropped and the reading starts
again from there; another token = *fenced*, the batch is dropped and the partition given up; no record = claimed
again, or refused.

What becomes of an exception:

- *an outage* (the store or Kafka does not answer, a retriable error of Kafka, an operating system out of something):
  waited out, however long. Never the fault of a record.
- *the job failed* on a batch, or Kafka refused what came of it for what it holds: the batch is halved until one record
  fails alone, which becomes a dead letter (`stream.ownership.poison`).
- *anything else* that no repetition mends (Kafka does not allow it; even the letter cannot be written; ten records in
  a row fail and nothing else is scored; a customer's state or the partition's record in the store cannot be read): the
  partition is parked (`stream.ownership.parking`), the others go on.
- *an `IntentError`* ends the worker: it says that states and log, or states and program, do not belong together
  (`StoreLost`, `PartitionsChanged`, `OffsetOutsideLog`, `SchemaMismatch`). It concerns more than a partition, going on
  could make it worse, and a person has to choose.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiokafka.errors import IllegalStateError, KafkaError, KafkaTimeoutError

from features.exceptions import IntentError, StoreConflict, StoreError, UnreadableRecord, UnreadableState
from features.price_table import NO_PRICES
from features.state import empty
from features.store.customer_store import CustomerStore, Pending, Save
from features.store.log_mark import UNKNOWN_EPOCH
from features.store.partition_record import NO_WATERMARK, PartitionRecord
from stream.kafka.batches import Backlog, RecordBatch
from stream.kafka.contract import Log
from stream.ownership.arrivals import Arrivals, ArrivalUnknown
from stream.ownership.cache import StateCache
from stream.ownership.log_check import LogCheck
from stream.ownership.outbox import Outbox
from stream.ownership.parking import Parking
from stream.ownership.partition_batch import PartitionBatch
from stream.ownership.poison import Bisection, concerns_a_record
from stream.ownership.rebuilding import Rebuilding
from stream.ownership.rounds import Rounds
from stream.ownership.timers import Timers
from stream.running import outages

logger = logging.getLogger(__name__)

# How long a partition without news waits before it looks whether its record still stands and whether anything
# was fetched that never arrived. Bounds how long a lost batch can stay unnoticed on a topic that has fallen
# silent.
IDLE_SECONDS: Final = 5.0

# Pauses after the first, second, ... failure in a row. The last stands for all that follow: an outage of
# Redis or Kafka may last for hours, and ends within this much of their return.
PAUSES: Final = (0.05, 0.1, 0.2, 0.5, 1.0)

# One step of the sweep looks at this many keys (1-2 ms of Redis), at most this often per partition; where there are
# many keys, at so many that it comes round twice a day.
SWEEP_KEYS: Final = 500
SWEEP_SECONDS: Final = 5.0
ROUND_SECONDS: Final = 43_200.0
# A sweep that has come round rests for this part of that time: few keys need not be looked at all day.
SWEEP_REST: Final = 1 / 12

# A topic made again, or set back, under a running owner shows no new leader epoch. So while records come, the log is
# looked at this often; a look takes a few requests, during which the partition waits some milliseconds.
LOG_CHECK_SECONDS: Final = 30.0


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
    now: Callable[[], int]  # the wall clock, epoch ms


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
    published
        The last record of which all is published, also what its save has promised; ``None`` where that is not known.
    trouble
        Why the owner does not get on at the moment; empty when all is well.
    parking
        Whether the partition is parked.
    rebuilding
        How far it is with building states again, if it does.
    """

    def __init__(self, partition: int, config: OwnerConfig) -> None:
        self.partition = partition
        self.record: PartitionRecord | None = None
        self.published: PartitionRecord | None = None
        self.trouble = ""
        self.fetching = False
        self.parking = Parking(partition, config.topic)
        self.rebuilding = Rebuilding(config.topic, partition)
        self.fetching_since = time.monotonic()
        self._config = config
        self._arrivals = Arrivals(partition, config.log, config.now)
        self._check = LogCheck(config.topic, partition, config.log, rebuild=config.rebuild)
        self._backlog = Backlog(config.batch_max)
        self._cache = StateCache(config.cache_customers)
        self._timers = Timers()
        self._outbox = Outbox()
        self._prices = NO_PRICES
        self._arrived = asyncio.Event()
        self._stopping = asyncio.Event()
        self._sought = 0  # the last seek's number
        self._latest: PartitionBatch | None = None  # under way, or the last one, whose outcome may be unknown
        self._in_doubt = False
        self._bisection = Bisection(f"partition {partition} of {config.topic}")
        self._trial: RecordBatch | None = None  # what the job works on
        self._failures = 0
        self._hindrance: Exception | None = None
        self._append_time = NO_WATERMARK  # of the newest record that was saved
        self._next_sweep = time.monotonic() + SWEEP_SECONDS
        self._checked_at = 0.0

    @property
    def wants(self) -> bool:
        """Whether there is room for more records. May be asked from any thread."""
        return self.fetching and not self._backlog.full

    @property
    def watermark(self) -> int:
        """See `Claim.watermark`."""
        return NO_WATERMARK if self.record is None else self.record.watermark

    def offer(self, batch: RecordBatch) -> None:
        """Take a batch, unless it was fetched before the last seek."""
        if batch.seek != self._sought:
            return
        self._backlog.put(batch)
        self._arrived.set()

    def hinder(self, error: Exception) -> None:
        """Take note that Kafka does not hand over records of the partition."""
        self._hindrance = error
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
                elif self.published is not self.record:
                    await self._publish(self.record)
                else:
                    await self._advance(self.record)
            except (StoreError, IllegalStateError, KafkaTimeoutError, OSError, MemoryError) as error:
                await self._pause(error)
            except (UnreadableState, UnreadableRecord) as error:  # of this partition alone
                await self._park(error)
            except (Fenced, IntentError):
                raise
            except ArrivalUnknown as error:
                await self._park(error, error.behind, at_most=IDLE_SECONDS)  # any event may be the next
            except KafkaError as error:
                await self._after(error)
            except Exception as error:
                await self._suspect(error)

    async def _after(self, error: KafkaError) -> None:
        if error.retriable:
            await self._pause(error)
        elif concerns_a_record(error):
            await self._suspect(error)
        else:
            await self._park(error)

    async def _claim(self) -> None:
        store, log = self._config.store, self._config.log
        self.published = None
        stored = await self._config.rounds.call(store.record, self.partition)
        bounds = await log.bounds(self.partition)
        found = await self._check.record(stored, bounds)
        mine = found._replace(epoch=found.epoch + 1, token=self._config.token)
        try:
            await self._config.rounds.call(store.claim, self.partition, stored, mine)
            self._promised(await self._config.rounds.call(store.pending, self.partition, mine))
        except StoreConflict:
            return  # another claim came first, or the answer was lost: read again
        self._cache.drop()
        self.record, self._in_doubt = mine, False
        self.rebuilding.begin(mine, bounds.earliest)
        self._checked_at = time.monotonic()
        await self._seek(mine.next_offset)
        logger.info(
            "partition %s of %s: epoch %s from offset %s",
            self.partition, self._config.topic, mine.epoch, mine.next_offset,
        )  # fmt: skip

    async def _advance(self, record: PartitionRecord) -> None:
        if self._timers.reached_by(record.watermark):
            await self._overdue(record)
            return
        batch = await self._next(record.next_offset)
        if batch is None or await self._is_of_another_log(record, batch):
            return
        timed = await self._arrivals.bounded(self._silenced(batch, record))
        self._trial = trial = self._bisection.trial(timed)
        if trial.stop < batch.stop:
            self._backlog.put_back(batch.since(trial.stop))
        if not await self._done(trial, record):
            return
        self._bisection.passed(trial)
        self.rebuilding.reached(self.record or record)
        if trial.records and not trial.created:
            self._append_time = max(self._append_time, trial.records[-1].timestamp)
        await self._publish(self.record or record)
        await self._sweep()

    async def _overdue(self, record: PartitionRecord) -> None:
        """Let timers come that the watermark has left behind: it has reached more of them than one round takes."""
        at = record.next_offset
        # What the last silent events have left is silent, too.
        nothing = RecordBatch(self.partition, (), at, at, silent=at <= record.silent_until)
        if await self._done(nothing, record):
            await self._publish(self.record or record)

    async def _done(self, batch: RecordBatch, record: PartitionRecord) -> bool:
        """Have a batch worked on and saved; return whether it was."""
        self._latest = part = PartitionBatch(
            batch, record, self._cache, self._timers, self._outbox, self._prices
        )
        self._in_doubt = True
        if not await self._config.rounds.take(part):
            return False
        self.record, self._in_doubt, self._trial = part.intended, False, None
        self._prices = part.prices
        self._failures, self.trouble = 0, ""
        self.parking.leave()
        return True

    def _promised(self, pending: Pending) -> None:
        """Take what earlier saves have left."""
        self._timers.begin(pending.earliest)
        self._outbox.found(pending.outbox)
        self._prices = pending.prices

    async def _publish(self, record: PartitionRecord) -> None:
        """Publish what the save of a record has promised, if anything."""
        if self._outbox.content:
            await self._config.rounds.act(self.partition, self._outbox.content)
        self.published = record

    async def _is_of_another_log(self, record: PartitionRecord, batch: RecordBatch | None = None) -> bool:
        """Look whether the log is the one that was read, where a batch gives a reason to, and now and then.

        If it is not, the partition is claimed again, which refuses, rebuilds, or ends a silence earlier.
        """
        looked = time.monotonic() - self._checked_at < LOG_CHECK_SECONDS
        if looked and (batch is None or not _raises_doubt(batch, record)):
            return False
        self._checked_at = time.monotonic()
        bounds = await self._config.log.bounds(self.partition)
        if await self._check.stands(record, bounds):
            return False
        self.fetching, self.record = False, None
        return True

    @staticmethod
    def _silenced(batch: RecordBatch, record: PartitionRecord) -> RecordBatch:
        """Return what comes before the end of a silent rebuilding alone, and marked as silent."""
        if batch.start >= record.silent_until:
            return batch
        return batch.until(min(batch.stop, record.silent_until))._replace(silent=True)

    async def _next(self, expected: int) -> RecordBatch | None:
        """Return what waits from ``expected`` on, ``None`` if nothing does."""
        was_full = not self.wants
        batch = self._backlog.take(expected)
        if was_full and self.wants:  # also where all that waited had been read before
            self.fetching_since = time.monotonic()
            self._config.log.wake()
        if batch is None:
            self._arrived.clear()
            try:
                async with asyncio.timeout(PAUSES[-1] if self.trouble else IDLE_SECONDS):
                    await self._arrived.wait()
            except TimeoutError:
                await self._look_round(expected)
            if self._hindrance is not None:
                error, self._hindrance = self._hindrance, None
                raise error
            return None
        if batch.start > expected:
            logger.warning(
                "partition %s of %s: records from %s came where %s was expected, reading again",
                self.partition, self._config.topic, batch.start, expected,
            )  # fmt: skip
            await self._seek(expected)
            return None
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
        outages.REDIS.answered()
        if self.record is not None and await self._is_of_another_log(self.record):
            return
        await self._empty_outbox()
        await self._sweep()
        self._failures, self.trouble = 0, ""
        if self._config.log.end(self.partition) == expected:  # nothing is left that could fail
            self.parking.leave()

    async def _empty_outbox(self) -> None:
        """Delete what was published while nothing else comes: the next owner would repeat it."""
        record = self.record
        if record is None or self._in_doubt or not self._outbox.stored:
            return
        save = Save(self.partition, record, record, (), empty(0), outbox=b"")
        (fault,) = await self._config.rounds.call(self._config.store.save_many, [save])
        if fault is not None:
            raise fault
        self._outbox.saved(b"")

    async def _settle(self, record: PartitionRecord) -> None:
        """Find out what is stored after a save, or a job, that did not come to its end."""
        found = await self._config.rounds.call(self._config.store.record, self.partition)
        self._cache.drop()
        if found is not None and found.token != self._config.token:
            raise Fenced(
                f"partition {self.partition} was claimed by {found.token.hex()[:8]}, epoch {found.epoch}"
            )
        if found is None or found.incarnation != record.incarnation:  # the store lost all, or a rebuilding
            self.fetching, self.record = False, None
            return
        if found.next_offset < record.next_offset:
            logger.warning(
                "partition %s of %s: the store fell back from offset %s to %s, reading again",
                self.partition, self._config.topic, record.next_offset, found.next_offset,
            )  # fmt: skip
        saved = self._latest is not None and found == self._latest.intended
        self.record = found
        try:
            # A store that answers and takes nothing, as a full one, would have the same scores published at every try.
            if not saved:
                await self._config.rounds.call(self._config.store.claim, self.partition, found, found)
            self._promised(await self._config.rounds.call(self._config.store.pending, self.partition, found))
        except StoreConflict:
            return  # another claim came first: read again
        if not saved:
            await self._seek(found.next_offset)
        self._latest, self._in_doubt = None, False

    async def _seek(self, offset: int) -> None:
        self.fetching = False
        self._backlog.clear()
        self._sought = await self._config.log.seek(self.partition, offset)
        self._backlog.clear()  # what arrived meanwhile was fetched before
        self.fetching, self.fetching_since = not self._stopping.is_set(), time.monotonic()
        self._config.log.wake()

    async def _sweep(self) -> None:
        """Delete some states that the watermark proves expired, now and then.

        A watermark proves nothing while it lies ahead of the broker's clock, that is of the append time of the newest
        record that this owner has saved, or ahead of this machine's: events of the future would expire everybody.
        Before its first record, an owner does not sweep. States are the same whether they are swept or not: an
        expired one counts as empty. While the watermark has left timers behind, it does not sweep either: they may be
        due from before their customers expired.
        """
        ttl, record = self._config.state_ttl_ms, self.record
        if ttl is None or record is None or record.watermark == NO_WATERMARK or self._in_doubt:
            return
        if record.watermark > min(self._append_time, self._config.now()) or self._timers.reached_by(
            record.watermark
        ):
            return
        if time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + SWEEP_SECONDS
            swept = await self._config.rounds.call(
                self._config.store.sweep,
                self.partition,
                record,
                record.watermark - ttl,
                SWEEP_KEYS,
                SWEEP_SECONDS / ROUND_SECONDS,
            )
            if swept.ended:
                self._next_sweep = time.monotonic() + SWEEP_REST * ROUND_SECONDS

    async def _suspect(self, error: Exception) -> None:
        """Look for the record at which the job failed."""
        trial, self._trial = self._trial, None
        if trial is None or not self._bisection.failed(trial, error, self._config.rounds.scored):
            alone = trial is not None and len(trial.records) == 1
            await self._park(error, trial.stop if trial is not None and alone else None)
        else:
            await self._pause(error, self._bisection.failures)

    async def _pause(self, error: Exception, times: int | None = None) -> None:
        """Wait before the next try, longer after each of the failures in a row, or as after so many ``times``."""
        self.trouble = f"partition {self.partition}: {error}"
        self._failures += 1
        # Of an outage, `stream.running.outages` lets one line a minute pass, and must hear that it lasts.
        if outages.passes(error) or self._failures in (1, 10) or self._failures % 100 == 0:
            logger.warning("partition %s of %s: %s", self.partition, self._config.topic, error)
        self._in_doubt, self._trial = True, None
        times = self._failures if times is None else max(times, 1)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), PAUSES[min(times, len(PAUSES)) - 1])

    async def _park(
        self, error: Exception, behind: int | None = None, *, at_most: float = float("inf")
    ) -> None:
        """Leave the partition alone for a while, unless somebody else claims it meanwhile."""
        self.fetching, self._in_doubt, self._trial = False, True, None
        seconds = self.parking.park(error, None if self.record is None else self.record.next_offset, behind)
        self.trouble = self.parking.trouble
        ends = time.monotonic() + min(seconds, at_most)
        while (left := ends - time.monotonic()) > 0 and not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), min(left, IDLE_SECONDS))
            if self.record is not None and not await self._stands(self.record):
                return

    async def _stands(self, record: PartitionRecord) -> bool:
        """Whether the stored record is still this one, as far as the store answers."""
        try:
            return await self._config.rounds.call(self._config.store.record, self.partition) == record
        except (StoreError, UnreadableRecord):
            return True


def _raises_doubt(batch: RecordBatch, record: PartitionRecord) -> bool:
    """Whether a batch may be of another log: another leader has written it, or it would end a silence."""
    if record.silent and batch.stop >= record.silent_until:
        return True  # the last moment to find out whether all that was taken for scored was
    known = record.leader_epoch
    if known == UNKNOWN_EPOCH and record.silent:
        return batch.epoch > record.silent_epoch != UNKNOWN_EPOCH
    return batch.epoch != known and UNKNOWN_EPOCH not in (batch.epoch, known)

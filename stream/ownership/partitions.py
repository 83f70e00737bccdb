"""State exactly once, scores at least once: which partitions this worker owns, and what became of them.

`Ownership` starts a `PartitionOwner` for each partition that the consumer group assigns, passes fetched
batches on to it, and ends it when the partition is revoked. It is generic over the `Job`: the scorer supplies
the work, and this module the order, the fence and the recovery around it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from features.exceptions import IntentError
from features.store.customer_store import CustomerStore
from features.store.partition_record import NO_WATERMARK, TOKEN_BYTES
from features.watermark import MAX_AHEAD_MS
from stream.exceptions import TopicMismatch
from stream.kafka.batches import RecordBatch
from stream.kafka.contract import HELD_SECONDS, RELEASE_SECONDS, STALL_SECONDS, Log
from stream.ownership.job import Job
from stream.ownership.log_check import START_OVER
from stream.ownership.owner import Fenced, OwnerConfig, PartitionOwner
from stream.ownership.rounds import Rounds
from stream.texts import counted, moment
from stream.tracing.trace import BeginTrace, untraced

logger = logging.getLogger(__name__)


# Rounds at once, and room for owners that claim, look round or sweep meanwhile.
STORE_THREADS: Final = 6

# Two groups on one prefix fence each other for ever: don't let them make a storm of it.
REJOIN_SECONDS: Final = 1.0

_STALLED: Final = {
    "read": "records have been read",
    "load": "Redis has not answered a load of states",
    "score": "a batch has been scored",
    "publish": "Kafka has not acknowledged scores",
    "save": "Redis has not answered a save of states",
    "act": "Kafka has not acknowledged actions",
}


class Ownership:
    """The partitions that this worker owns.

    Parameters
    ----------
    store
        Where states and records live.
    job
        The work on a batch.
    topic
        The topic, for messages.
    batch_max
        Records that a job gets at once, at most.
    cache_customers
        States kept in memory over all partitions, at most.
    at_once
        Rounds of batches under way at the same time, at most.
    state_ttl_ms
        States silent for longer (event time, milliseconds) are swept; ``None`` keeps all.
    rebuild
        Build the states of a partition again, from the earliest offset on, where the store has no record of it or
        the record does not fit the log, instead of refusing.
    now
        Returns the wall clock, epoch ms: what lies beyond it is no arrival.
    begin_trace
        Begins the trace of each round.

    Attributes
    ----------
    refusal
        Why the worker must end, ``None`` as long as all is well.
    refused
        Set together with `refusal`.
    rounds
        Where the batches of all partitions are worked on.
    assignments
        How often the group has assigned partitions.
    """

    expired = START_OVER

    def __init__(
        self,
        store: CustomerStore,
        job: Job[Any, Any],
        *,
        topic: str,
        batch_max: int = 4000,
        cache_customers: int = 100_000,
        at_once: int = 3,
        state_ttl_ms: int | None = None,
        rebuild: bool = False,
        now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        begin_trace: BeginTrace = untraced,
    ) -> None:
        self.topic = topic
        self.refusal: IntentError | None = None
        self.refused = asyncio.Event()
        self._store = store
        self._batch_max = batch_max
        self._cache_customers = cache_customers
        self._state_ttl_ms = state_ttl_ms
        self._rebuild = rebuild
        self._now = now
        self._token = secrets.token_bytes(TOKEN_BYTES)
        self._executor = ThreadPoolExecutor(STORE_THREADS, thread_name_prefix="store")
        self.rounds = Rounds(
            job, store, self._executor, round_max=batch_max, at_once=at_once, begin_trace=begin_trace
        )
        self._log: Log | None = None
        self._owners: dict[int, PartitionOwner] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._joined = False
        self.assignments = 0

    def attach(self, log: Log) -> None:
        """Tell where the partitions are read from. The transport calls this."""
        self._log = log

    def assign(self, partitions: Iterable[int]) -> None:
        """Begin to own ``partitions``, and only these."""
        assert self._log is not None
        wanted = sorted(partitions)
        config = OwnerConfig(
            store=self._store,
            log=self._log,
            topic=self.topic,
            token=self._token,
            rounds=self.rounds,
            batch_max=self._batch_max,
            cache_customers=self._cache_customers // max(len(wanted), 1),
            state_ttl_ms=self._state_ttl_ms,
            rebuild=self._rebuild,
            now=self._now,
        )
        self._owners = {partition: PartitionOwner(partition, config) for partition in wanted}
        self._tasks = {
            partition: asyncio.create_task(self._own(owner), name=f"owner of {self.topic}-{partition}")
            for partition, owner in self._owners.items()
        }
        self._joined = True
        self.assignments += 1
        logger.info("owns %s of %s", counted(len(wanted), "partition"), self.topic)
        if not self._log.known():
            logger.error("%s", TopicMismatch.missing(self.topic))

    async def release(self, within: float = RELEASE_SECONDS) -> None:
        """Give all partitions up: finish what is under way, or drop it after ``within`` seconds."""
        self._joined = False
        tasks, self._tasks = list(self._tasks.values()), {}
        for owner in self._owners.values():
            owner.stop()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=within)
            for task in late:
                task.cancel()
            if late:
                logger.warning(
                    "dropped the batches under way of %s after %s s", counted(len(late), "partition"), within
                )
                await asyncio.wait(late)

    def close(self) -> None:
        """Release the threads; call it after the last `release`."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def offer(self, batch: RecordBatch) -> None:
        """Pass a fetched batch on to the partition's owner."""
        owner = self._owners.get(batch.partition)
        if owner is not None:
            owner.offer(batch)

    def wants(self, partition: int) -> bool:
        """Whether the owner of ``partition`` has room for more records. May be asked from any thread."""
        owner = self._owners.get(partition)
        return owner is not None and owner.wants

    def progress(self) -> dict[int, int]:
        """Return the offset up to which each partition's states are saved, and all is published that follows from them.

        That is what Kafka may commit.
        """
        return {
            partition: owner.published.next_offset
            for partition, owner in self._owners.items()
            if owner.published
        }

    def commit_metadata(self, partition: int) -> str:
        """Return what was scored, and in which log: should the store be lost, nothing else knows."""
        owner = self._owners.get(partition)
        return "" if owner is None or owner.published is None else owner.published.scored.to_text()

    def hinder(self, error: Exception, partition: int | None = None) -> None:
        """Park a partition, or all of them, because Kafka does not hand its records over."""
        for owner in self._owners.values():
            if partition in (None, owner.partition):
                owner.hinder(error)

    def refuse(self, error: IntentError) -> None:
        """End the worker because of ``error``."""
        if self.refusal is None:
            self.refusal = error
            self.refused.set()

    @property
    def parked(self) -> list[int]:
        """The partitions that are parked."""
        return [partition for partition, owner in self._owners.items() if owner.parking]

    @property
    def ready(self) -> bool:
        """Whether the group has assigned partitions to this worker, and each of them gets on."""
        return self._joined and self.refusal is None and not self.trouble

    @property
    def trouble(self) -> str:
        """Why the worker is not ready, empty when it is."""
        if self.refusal is not None:
            return str(self.refusal)
        if not self._joined:
            return "waiting for the consumer group to assign partitions"
        assert self._log is not None
        if not self._log.known():
            return str(TopicMismatch.missing(self.topic))
        if parked := self.parked:
            more = f" (partitions {', '.join(map(str, parked))} are parked)" if len(parked) > 1 else ""
            return self._owners[parked[0]].parking.trouble + more
        troubles = (_trouble_of(owner) or self._ahead(owner) for owner in self._owners.values())
        return next(filter(None, troubles), "") or self._unanswered()

    def _ahead(self, owner: PartitionOwner) -> str:
        """Return that a watermark cannot be right, where it cannot."""
        if owner.watermark <= self._now() + MAX_AHEAD_MS:
            return ""
        return (
            f"the watermark of partition {owner.partition} is {moment(owner.watermark)}, which is still to come by the "
            "clock of this machine: if the clock is right, every event before it is late, and `intent partition "
            f"reset-watermark {owner.partition} --reason TEXT` sets it back"
        )

    def _unanswered(self) -> str:
        """Return what Kafka or Redis should have answered long since, empty if there is nothing."""
        assert self._log is not None
        now = time.monotonic()
        step = self.rounds.steps.oldest()
        if step is not None and now - step.since > STALL_SECONDS:
            which = ", ".join(map(str, step.partitions))
            return f"partition {which}: {_STALLED[step.name]} for {now - step.since:.0f} s"
        for owner in self._owners.values():
            if fault := self._log.corrupt(owner.partition):
                return fault
            # A partition that has just been claimed, or has room again, gets the whole time.
            since = max(self._log.fetched_at(owner.partition), owner.fetching_since)
            if owner.wants and now - since > STALL_SECONDS:
                return f"partition {owner.partition}: Kafka has answered no fetch for {now - since:.0f} s"
            if (held := now - self._log.held_since(owner.partition)) > HELD_SECONDS:
                return (
                    f"partition {owner.partition}: events wait behind a transaction that has been open for "
                    f"{held:.0f} s; find its producer with `kafka-transactions.sh find-hanging`"
                )
        silence = now - self._log.heartbeat_at()
        if silence > STALL_SECONDS:
            return f"the consumer group's coordinator has answered no heartbeat for {silence:.0f} s"
        return ""

    async def partition_count(self) -> int:
        """Return how many partitions the topic has at this moment."""
        assert self._log is not None
        return await self._log.partition_count()

    def lag(self) -> dict[int, int]:
        """Return how many offsets lie between what is saved and the high watermark, per owned partition."""
        return {} if self._log is None else self._behind(self._log.end)

    def stable_lag(self) -> dict[int, int]:
        """Return how many of those offsets can be read already: the rest are in transactions that are still open."""
        return {} if self._log is None else self._behind(self._log.stable_end)

    def _behind(self, end_of: Callable[[int], int | None]) -> dict[int, int]:
        ends = {partition: end_of(partition) for partition in self.progress()} if self._joined else {}
        return {
            partition: max(0, end - offset)
            for partition, offset in self.progress().items()
            if (end := ends.get(partition)) is not None
        }

    def watermarks(self) -> dict[int, int]:
        """Return the watermark of each owned partition that has one, epoch ms."""
        owners = self._owners.values() if self._joined else ()
        return {owner.partition: owner.watermark for owner in owners if owner.watermark != NO_WATERMARK}

    async def _own(self, owner: PartitionOwner) -> None:
        assert self._log is not None
        started = time.monotonic()
        try:
            await owner.run()
        except Fenced as fence:
            logger.warning("fenced: %s; joining the group again", fence)
            owner.stop()
            await asyncio.sleep(max(0.0, REJOIN_SECONDS - (time.monotonic() - started)))
            self._log.rejoin()
        except IntentError as error:
            owner.stop()
            self.refuse(error)


def _trouble_of(owner: PartitionOwner) -> str:
    unclaimed = f"partition {owner.partition} is not claimed yet" if owner.record is None else ""
    return owner.trouble or unclaimed or owner.rebuilding.trouble

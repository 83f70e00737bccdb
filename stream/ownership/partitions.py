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
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from features.exceptions import IntentError
from features.store.customer_store import TOKEN_BYTES, CustomerStore
from stream.kafka.batches import RecordBatch
from stream.kafka.contract import RELEASE_SECONDS, Log
from stream.ownership.job import Job
from stream.ownership.log_check import START_OVER
from stream.ownership.owner import Fenced, OwnerConfig, PartitionOwner
from stream.ownership.rounds import Rounds
from stream.texts import counted

logger = logging.getLogger(__name__)


# Rounds at once, and room for owners that claim, look round or sweep meanwhile.
STORE_THREADS: Final = 6

# Two groups on one prefix fence each other for ever: don't let them make a storm of it.
REJOIN_SECONDS: Final = 1.0


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

    Attributes
    ----------
    refusal
        Why the worker must end, ``None`` as long as all is well.
    refused
        Set together with `refusal`.
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
    ) -> None:
        self.topic = topic
        self.refusal: IntentError | None = None
        self.refused = asyncio.Event()
        self._store = store
        self._batch_max = batch_max
        self._cache_customers = cache_customers
        self._state_ttl_ms = state_ttl_ms
        self._rebuild = rebuild
        self._token = secrets.token_bytes(TOKEN_BYTES)
        self._executor = ThreadPoolExecutor(STORE_THREADS, thread_name_prefix="store")
        self._rounds = Rounds(job, store, self._executor, round_max=batch_max, at_once=at_once)
        self._log: Log | None = None
        self._owners: dict[int, PartitionOwner] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._joined = False

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
            rounds=self._rounds,
            batch_max=self._batch_max,
            cache_customers=self._cache_customers // max(len(wanted), 1),
            state_ttl_ms=self._state_ttl_ms,
            rebuild=self._rebuild,
        )
        self._owners = {partition: PartitionOwner(partition, config) for partition in wanted}
        self._tasks = {
            partition: asyncio.create_task(self._own(owner), name=f"owner of {self.topic}-{partition}")
            for partition, owner in self._owners.items()
        }
        self._joined = True
        logger.info("owns %s of %s", counted(len(wanted), "partition"), self.topic)

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
        """Return the offset up to which each partition's states are saved: what Kafka may commit."""
        return {
            partition: owner.record.next_offset for partition, owner in self._owners.items() if owner.record
        }

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
        if parked := self.parked:
            more = f" (partitions {', '.join(map(str, parked))} are parked)" if len(parked) > 1 else ""
            return self._owners[parked[0]].parking.trouble + more
        for owner in self._owners.values():
            if owner.trouble:
                return owner.trouble
            if owner.record is None:
                return f"partition {owner.partition} is not claimed yet"
            if self._log is not None and (fault := self._log.corrupt(owner.partition)):
                return fault
            if owner.rebuilding.trouble:
                return owner.rebuilding.trouble
        return ""

    def lag(self) -> dict[int, int]:
        """Return how many offsets lie between what is saved and the end of the log, per owned partition."""
        assert self._log is not None
        lags = {}
        for partition, offset in self.progress().items():
            end = self._log.end(partition)
            if end is not None:
                lags[partition] = max(0, end - offset)
        return lags

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

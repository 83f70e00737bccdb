"""A batch of one partition on its way through a round, and what came of it."""

from __future__ import annotations

import asyncio

from features.price_table import NO_PRICES, PriceTable
from features.store.customer_store import NO_LINKS, Save
from features.store.log_mark import UNKNOWN_EPOCH
from features.store.partition_record import PartitionRecord
from stream.kafka.batches import RecordBatch
from stream.ownership.cache import StateCache
from stream.ownership.job import StateChanges
from stream.ownership.outbox import Outbox
from stream.ownership.timers import Timers


class PartitionBatch:
    """One partition's part in a round.

    Attributes
    ----------
    batch
        The records.
    record
        The partition's record before them.
    cache
        The partition's cached states.
    timers, outbox
        The partition's.
    prices
        What items cost, as of the last save.
    following
        The moment of the first timer (epoch ms) that does not come in the batch, 0 if there is none; ``None`` where
        none may come, so that nobody has asked.
    intended
        The record that is, or was to be, saved; ``None`` before the save.
    ended
        Whether the batch was saved (``False``: it was dropped before its round began), or why not.
    """

    def __init__(
        self,
        batch: RecordBatch,
        record: PartitionRecord,
        cache: StateCache,
        timers: Timers | None = None,
        outbox: Outbox | None = None,
        prices: PriceTable = NO_PRICES,
    ) -> None:
        self.batch = batch
        self.record = record
        self.cache = cache
        self.timers = timers or Timers()
        self.outbox = outbox or Outbox()
        self.prices = prices
        self.following: int | None = None
        self.intended: PartitionRecord | None = None
        self.ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._dropped = False
        self._prices_after = prices

    @property
    def watermark(self) -> int:
        """The partition's watermark before the batch, epoch milliseconds."""
        return self.record.watermark

    @property
    def awaited(self) -> bool:
        """Whether somebody still waits for the batch."""
        return not self.ended.done()

    def drop(self) -> None:
        """Take no part, unless the round has begun."""
        self._dropped = True

    def skipped(self) -> bool:
        """Whether nobody waits for the batch any more as its round begins."""
        if self._dropped and self.awaited:
            self.ended.set_result(False)
        return not self.awaited

    def intend(self, changes: StateChanges) -> Save:
        """Return what is to be saved: the changed states, and the partition's record after the batch."""
        new = self.record._replace(next_offset=self.batch.stop, watermark=changes.watermark)
        if self.batch.epoch != UNKNOWN_EPOCH:
            new = new._replace(leader_epoch=self.batch.epoch)
        if self.batch.records:
            last = self.batch.records[-1]
            new = new._replace(last_offset=last.offset, last_time=last.timestamp)
        if changes.links is not NO_LINKS:
            taken = tuple((partition, *last) for partition, last in sorted(changes.links.taken.items()))
            new = new._replace(links=new.links or any(changes.links.changed.values()), taken=taken)
        self._prices_after = self.prices if changes.prices is None else changes.prices.table
        return Save(
            self.batch.partition,
            self.record,
            new,
            changes.customers,
            changes.states,
            changes.erased,
            changes.timers,
            self.outbox.intended(changes.outbox),
            changes.links.changed,
            {} if changes.prices is None else changes.prices.stored,
        )

    def mark(self, save: Save, error: Exception | None) -> None:
        """Mark the batch as saved, cache its states, and keep what it has promised; or mark it as failed."""
        if error is not None:
            self.fail(error)
        elif self.awaited:
            self.cache.put(save.customers, save.states)
            self.cache.put_links(save.links)
            self.timers.saved(save.timers, self.following)
            self.outbox.saved(save.outbox)
            self.prices = self._prices_after
            self.ended.set_result(True)

    def fail(self, error: Exception) -> None:
        """Tell whoever waits that the job or the save failed."""
        if self.awaited:
            self.ended.set_exception(error)

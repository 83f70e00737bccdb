"""Mistakes that somebody could make in the rules of ownership, as patches; each must be found by the schedules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from features.exceptions import StoreConflict, StoreError
from features.state import States
from features.store import memory_store
from features.store.customer_store import LinkChanges, Pending, Save
from features.store.log_mark import LogMark
from features.store.memory_store import MemoryStore
from features.store.packed_states import to_packed
from features.store.partition_record import PartitionRecord
from stream.kafka.batches import Backlog, RecordBatch
from stream.kafka.contract import Bounds
from stream.ownership.cache import StateCache
from stream.ownership.job import StateChanges
from stream.ownership.loading import Found
from stream.ownership.log_check import LogCheck, Look
from stream.ownership.outbox import Outbox
from stream.ownership.owner import PartitionOwner
from stream.ownership.partition_batch import PartitionBatch
from stream.ownership.rounds import Rounds
from stream.ownership.saving import Saving
from stream.ownership.timers import Timers
from stream.scoring import pricing, scorer
from stream.scoring.batch import Batch


def _guard_by(*fields: str) -> Callable[..., None]:
    """Return a guard of the store that compares some fields of the record only."""

    def check(partition: int, stored: bytes | None, expected: PartitionRecord | None) -> None:
        found = None if stored is None else PartitionRecord.from_bytes(stored)
        if found is None or expected is None:
            same = found is expected
        else:
            same = all(getattr(found, field) == getattr(expected, field) for field in fields)
        if not same:
            raise StoreConflict("another record", found=found)

    return check


async def _settled_as_failed(self: PartitionOwner, record: PartitionRecord) -> None:
    self._cache.drop()
    self.record = record  # as if nothing had been saved
    await self._config.rounds.call(self._config.store.claim, self.partition, await _stored(self), record)
    await self._seek(record.next_offset)
    self._latest, self._in_doubt = None, False


async def _settled_as_saved(self: PartitionOwner, record: PartitionRecord) -> None:
    intended = None if self._latest is None else self._latest.intended
    self.record = intended or record
    await self._config.rounds.call(self._config.store.claim, self.partition, await _stored(self), self.record)
    await self._seek(self.record.next_offset)
    self._latest, self._in_doubt = None, False


async def _stored(self: PartitionOwner) -> PartitionRecord | None:
    return await self._config.rounds.call(self._config.store.record, self.partition)


async def _save_first(self: Rounds, parts: Sequence[PartitionBatch]) -> None:
    job = self._job
    try:
        batch = job.read([part.batch for part in parts], [part.watermark for part in parts])
        result = job.score(batch, await self.load(parts, batch.customers))
    except Exception as error:
        await self._retry(parts, error)
        return
    changed = zip(parts, result.changes, strict=True)
    saves = [(part, part.intend(changes)) for part, changes in changed if part.awaited]
    async with Saving(self._store, self._executor, [save for _, save in saves]) as saving:
        await self._save(saving, saves)
    await job.publish(result)


def _offer_anything(self: PartitionOwner, batch: RecordBatch) -> None:
    """Take a batch whenever it was fetched."""
    self._backlog.put(batch)
    self._arrived.set()


_take = Backlog.take


def _take_beyond_gaps(self: Backlog, expected: int) -> RecordBatch | None:
    batch = _take(self, expected)
    return None if batch is None else batch._replace(start=min(batch.start, expected))


_intend = PartitionBatch.intend


def _without_watermark(self: PartitionBatch, changes: StateChanges) -> Save:
    return _intend(self, changes._replace(watermark=self.record.watermark))


async def _going_on(self: LogCheck, bounds: Bounds) -> PartitionRecord:
    """Go on from Kafka's commit where the store has lost everything."""
    commit = await self._log.committed(self._partition)
    return PartitionRecord.beginning(commit.offset if commit else 0, bounds.partitions)


async def _rebuilt_silently_to_the_end(self: LogCheck, bounds: Bounds) -> PartitionRecord:
    return await self._again("it is lost", bounds, 0, LogMark(bounds.latest))


async def _always_fits(self: LogCheck, found: PartitionRecord, bounds: Bounds) -> Look:
    """Take any log for the one that was read."""
    return Look(None, found.scored)


async def _same_epoch(self: LogCheck, mark: LogMark, bounds: Bounds) -> None:
    """Take a log for the one that was read whatever its epochs and stamps are."""


def _silent_in_any_log(self: PartitionRecord, mark: LogMark) -> PartitionRecord:
    """Forget in which log the record is silent."""
    return self._replace(silent_until=mark.offset)


def _offset_of_commit(offset: int, text: str) -> LogMark:
    """Forget in which log the events were that a commit speaks of."""
    return LogMark(offset)


def _saved_in_two_steps(self: MemoryStore, saves: Sequence[Save]) -> list[StoreError | None]:
    """Write the states without the guard, then the record with it."""
    outcomes: list[StoreError | None] = []
    for save in saves:
        stored = self._contents.states.setdefault(save.partition, {})
        names = [f"{save.new.incarnation}:{customer}" for customer in save.customers]
        stored.update(zip(names, to_packed(save.states), strict=True))
        outcomes.append(self._outcome(save))
    return outcomes


def _loaded_without_guard(
    self: MemoryStore, partition: int, customers: Sequence[str], expected: PartitionRecord | None = None
) -> States:
    return _load(self, partition, customers)


_load = MemoryStore.load


async def _never_look(self: PartitionOwner, expected: int) -> None:
    """Trust the record as long as nothing comes."""


#: Schedules in which a mistake that shows in few of them was found; another change may move it to others.
SEEN_IN: Final = {
    "states are loaded without the guard": 1150,
    "a silence is not held against the log": 301,
    "batches of before a seek are folded": 19752,
    "who is there for a timer alone is assigned by the own id": 2964,
    "states are written without the guard": 14,
}

#: By what the mistake is: what is patched, and by what.
BUGS: Final[dict[str, tuple[Any, str, Any]]] = {
    "the cache is kept after a fall-back": (StateCache, "drop", lambda self: None),
    "the guard compares the owner only": (memory_store, "check_guard", _guard_by("token")),
    "an unanswered save counts as failed": (PartitionOwner, "_settle", _settled_as_failed),
    "an unanswered save counts as done": (PartitionOwner, "_settle", _settled_as_saved),
    "scores are published after the save": (Rounds, "_round", _save_first),
    "batches of before a seek are folded": (PartitionOwner, "offer", _offer_anything),
    "records that never came are passed over": (Backlog, "take", _take_beyond_gaps),
    "the watermark is not saved": (PartitionBatch, "intend", _without_watermark),
    "a lost store is taken for an empty one": (LogCheck, "_first", _going_on),
    "events that waited are taken for scored": (LogCheck, "_first", _rebuilt_silently_to_the_end),
    "a topic made again is not noticed": (LogCheck, "look", _always_fits),
    "a log that was cut is not noticed": (LogCheck, "_cut", _same_epoch),
    "states are loaded without the guard": (MemoryStore, "load", _loaded_without_guard),
    "a silent partition does not look round": (PartitionOwner, "_look_round", _never_look),
    "a silence is not held against the log": (PartitionRecord, "silenced", _silent_in_any_log),
    "a commit counts in any log": (LogMark, "from_commit", staticmethod(_offset_of_commit)),
    "timers of before are not looked for": (Timers, "begin", lambda self, earliest: None),
    "what an earlier save has promised is left": (Outbox, "found", lambda self, content: None),
    "timers are not kept up to date": (Timers, "saved", lambda self, changes, following: None),
    "states are written without the guard": (MemoryStore, "save_many", _saved_in_two_steps),
}


def _twice(self: PartitionBatch, changes: StateChanges) -> Save:
    return _intend(self, changes._replace(links=LinkChanges(changes.links.changed)))


def _without_links(self: PartitionBatch, changes: StateChanges) -> Save:
    return _intend(self, changes._replace(links=LinkChanges({}, changes.links.taken)))


def _handed_over_before_the_save(self: Outbox, content: bytes) -> bytes | None:
    return None


_found_of = Found.of


def _links_of_the_batch_alone(part: PartitionBatch, customers: Sequence[str], due: Sequence[str]) -> Found:
    found = _found_of(part, customers, due)
    known = len(customers)
    return found._replace(
        links=[link if at < known else None for at, link in enumerate(found.links)],
        missing_links=[at for at in found.missing_links if at < known],
    )


#: Mistakes in what partitions hand to each other; schedules with logins find them.
LOGIN_BUGS: Final[dict[str, tuple[Any, str, Any]]] = {
    "what comes twice is taken twice": (PartitionBatch, "intend", _twice),
    "links are forgotten": (PartitionBatch, "intend", _without_links),
    "hand-overs are not kept with the states": (Outbox, "intended", _handed_over_before_the_save),
    "what an earlier save has handed over is left": BUGS["what an earlier save has promised is left"],
    "links are kept after a fall-back": (StateCache, "drop", lambda self: None),
    "who is there for a timer alone is assigned by the own id": (
        Found,
        "of",
        staticmethod(_links_of_the_batch_alone),
    ),
}


def _without_prices(self: PartitionBatch, changes: StateChanges) -> Save:
    return _intend(self, changes._replace(prices=None))


def _prices_unsaved(self: PartitionBatch, changes: StateChanges) -> Save:
    return _intend(self, changes)._replace(prices={})


_promised = PartitionOwner._promised


def _prices_kept(self: PartitionOwner, pending: Pending) -> None:
    """Go on with the prices that the owner knew, whatever is stored."""
    known = self._prices
    _promised(self, pending)
    self._prices = known


_told = pricing.priced


def _told_nobody(*args: Any) -> list[pricing.Priced]:
    return [one._replace(handed=()) for one in _told(*args)]


_noted = pricing._noted


def _noted_at_the_end(batch: Batch, positions: NDArray[np.intp], lateness_ms: int) -> NDArray[np.int64]:
    """Take every price of a batch as noted behind all its events."""
    found = _noted(batch, positions, lateness_ms)
    return np.array([batch.watermarks[0]] * len(found), np.int64)


def _without_wishes(self: MemoryStore, *args: Any) -> States:
    states = _load(self, *args)
    for name in ("wish_items", "wish_prices", "wish_times"):
        states[name] = 0
    return states


#: Mistakes about prices; schedules with prices find them.
PRICE_BUGS: Final[dict[str, tuple[Any, str, Any]]] = {
    "prices are forgotten": (PartitionBatch, "intend", _without_prices),
    "prices are not saved": (PartitionBatch, "intend", _prices_unsaved),
    "prices are kept after a fall-back": (PartitionOwner, "_promised", _prices_kept),
    "other partitions are told nothing": (scorer, "priced", _told_nobody),
    "copies are not kept with the prices": (Outbox, "intended", _handed_over_before_the_save),
    "prices are noted at the end of their batch": (pricing, "_noted", _noted_at_the_end),
    "wish lists are not read again": (MemoryStore, "load", _without_wishes),
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Make the mistake within the block."""
    with patch.object(*(BUGS | LOGIN_BUGS | PRICE_BUGS)[name]):
        yield

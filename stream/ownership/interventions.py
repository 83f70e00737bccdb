"""What a person can do to a partition by hand: look at it, skip records, and set its watermark back.

A change claims the partition as a worker would: it raises the epoch and writes a token of its own, and is void if the
record has changed meanwhile. So a worker that owns the partition is fenced: it drops what it has under way, joins the
group again, and goes on from the new record.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from features.exceptions import IntentError, StoreConflict
from features.store.customer_store import CustomerStore
from features.store.partition_record import NO_WATERMARK, RESTORING, TOKEN_BYTES, PartitionRecord
from stream.kafka.clocks import is_appended
from stream.kafka.reading import TopicReader
from stream.settings import Settings
from stream.texts import counted, moment

logger = logging.getLogger(__name__)

# A worker that is busy saves up to a hundred times a second, and each save voids a change: some meet a gap at once.
_TRIES: Final = 200
_PAUSE_SECONDS: Final = 0.01

# How many offsets before a place are looked through for the last record; ten times as many if there is none.
_LOOK_BACK: Final = 100


class Extent(NamedTuple):
    """The first offset of a partition, and the one after its last record."""

    begin: int
    end: int


class Change(NamedTuple):
    """A partition's record before and after a change by hand."""

    before: PartitionRecord
    after: PartitionRecord


async def extents(settings: Settings) -> dict[int, Extent]:
    """Return what each partition of the events topic holds."""
    async with TopicReader(settings, settings.events_topic) as reader:
        return {p: Extent(begin, reader.ends[p]) for p, begin in reader.begins.items()}


async def append_time_before(settings: Settings, partition: int, offset: int) -> int | None:
    """Return when the broker appended the last record below an offset, epoch ms; ``None`` if there is none.

    Records of which a producer gave the time say nothing about it.
    """
    async with TopicReader(settings, settings.events_topic) as reader:
        begin, back = reader.begins[partition], _LOOK_BACK
        while offset > begin:
            start = max(begin, offset - back)
            times: list[int] = []
            async for _, records in reader.read({**reader.ends, partition: start}):
                times += [r.timestamp for r in records if r.offset < offset and is_appended(r)]
                if records[-1].offset >= offset:
                    break
            if times:
                return times[-1]
            if start == begin:
                break
            back *= 10
    return None


def skip(store: CustomerStore, partition: int, to: int, extent: Extent, reason: str) -> Change:
    """Have a partition go on at the offset ``to``; what lies before it is not scored.

    Raises
    ------
    IntentError
        That is not ahead, or outside of the topic; or the partition has no record.
    """

    def changed(found: PartitionRecord) -> PartitionRecord:
        if to <= found.next_offset:
            raise IntentError(
                f"partition {partition} goes on at offset {found.next_offset}, which is not before {to}: what is "
                "scored stays scored; give a higher offset"
            )
        if not extent.begin <= to <= extent.end:
            raise IntentError(
                f"partition {partition} holds offsets {extent.begin} to {extent.end}, and {to} lies outside of them: "
                "give an offset between them"
            )
        return found.moved(to)

    change = _change(store, partition, changed)
    logger.warning(
        "partition %s: skipped %s, offsets %s to %s: %s",
        partition, counted(to - change.before.next_offset, "offset"), change.before.next_offset, to - 1, reason,
    )  # fmt: skip
    return change


def reset_watermark(
    store: CustomerStore, partition: int, to_ms: int, reason: str, *, given: bool = True
) -> Change:
    """Set a partition's watermark back, epoch ms.

    Parameters
    ----------
    given
        Whether a person named the time, so that a message may speak of it; else it follows from the last arrival.

    Raises
    ------
    IntentError
        That is not back; or the partition has no record.
    """

    def changed(found: PartitionRecord) -> PartitionRecord:
        if found.watermark == NO_WATERMARK:
            raise IntentError(
                f"partition {partition} has no watermark yet, because it has accepted no event: nothing is to do"
            )
        if to_ms >= found.watermark and not given:
            raise IntentError(
                f"the watermark of partition {partition} is {moment(found.watermark)}, not later than events that "
                "arrived on time may leave it: nothing is to do; to set it back further, give a time with --to"
            )
        if to_ms >= found.watermark:
            raise IntentError(
                f"the watermark of partition {partition} is {moment(found.watermark)}, which is not after "
                f"{moment(to_ms)}: by hand it only goes back; give an earlier time"
            )
        return found._replace(watermark=to_ms)

    change = _change(store, partition, changed)
    logger.warning(
        "partition %s: watermark set back from %s to %s: %s",
        partition, moment(change.before.watermark), moment(to_ms), reason,
    )  # fmt: skip
    return change


def _change(
    store: CustomerStore, partition: int, changed: Callable[[PartitionRecord], PartitionRecord]
) -> Change:
    token = secrets.token_bytes(TOKEN_BYTES)
    before: PartitionRecord | None = None
    for _ in range(_TRIES):
        found = store.record(partition)
        if found is None:
            raise IntentError(
                f"Redis has no record of partition {partition}: check INTENT_REDIS and INTENT_REDIS_PREFIX, or start "
                "`intent worker`, which claims it"
            )
        if before is not None and found.token == token:
            return Change(before, found)  # it was written, only the answer was lost
        if found.next_offset == RESTORING:
            raise IntentError(
                f"the states of partition {partition} were being restored, and not to the end: run `intent restore` "
                "again, with --replace"
            )
        after = changed(found)._replace(epoch=found.epoch + 1, token=token)
        before = found
        try:
            store.claim(partition, found, after)
        except StoreConflict:
            time.sleep(_PAUSE_SECONDS)
            continue
        return Change(found, after)
    raise IntentError(
        f"partition {partition} changed {_TRIES} times while it was to be changed by hand: stop the worker that owns "
        "it, then try again"
    )

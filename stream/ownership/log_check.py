"""Whether the log is the one that a partition's states were made from, and what to do where it is not.

A record names the topic's id, the leader epoch of the last batch that was folded, and offset and append time of the
last record. So three things are noticed that offsets alone do not tell: a topic that was deleted and created again, a
log that lost its end and then grew beyond it, and a broker that was set back as a whole, epochs included. Going on
would leave events out without a word, and keep others that nobody has any more; so the owner refuses, and a person
chooses: give the log back, or build the states again.

While states are built again, events below `PartitionRecord.silent_until` are not published, since they were scored
before. That is said of one log, too, by a mark of the same kind: the record has it, and so has the metadata of each
commit to Kafka, should the store be lost. Where the log keeps less of it, the silence ends earlier; events that were
taken for scored meanwhile, and were not, are a reason to refuse.
"""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

from features.store.log_mark import NO_OFFSET, UNKNOWN_EPOCH, UNKNOWN_TOPIC, LogMark
from features.store.partition_record import RESTORING, PartitionRecord
from stream.exceptions import (
    LogCut,
    OffsetOutsideLog,
    OwnershipError,
    PartitionsChanged,
    RestoreUnfinished,
    StoreLost,
    TopicRecreated,
)
from stream.kafka.contract import Bounds, Log, TooOld
from stream.texts import moment

logger = logging.getLogger(__name__)

START_OVER: Final = (
    "build the states again from the topic with `intent worker --rebuild`, load them from an archived log with "
    "`intent restore`, or set another INTENT_REDIS_PREFIX"
)


def partitions_changed(topic: str, now: int, before: int) -> PartitionsChanged:
    """Return the error for a topic whose partition count is another one than before."""
    return PartitionsChanged(
        f"{topic} has {now} partitions, but had {before} when the states were written, and customers have moved "
        "between them: `intent archive` the events, `intent replay` them into topics of a new INTENT_TOPIC_PREFIX; or, "
        f"without the history of the moved, {START_OVER}"
    )


class Look(NamedTuple):
    """What the log says of a record: why they don't fit, if so, and what of the log was scored in any case."""

    error: OwnershipError | None
    scored: LogMark


class Cut(NamedTuple):
    """How it shows that a log lost what a mark names, and what it kept of that."""

    how: str
    kept: LogMark


class LogCheck:
    """Holds one partition's record against its log.

    Parameters
    ----------
    topic, partition
        The partition.
    log
        Where it is read from.
    rebuild
        Build states again that do not fit, instead of refusing.
    """

    def __init__(self, topic: str, partition: int, log: Log, *, rebuild: bool) -> None:
        self._name = f"partition {partition} of {topic}"
        self._topic = topic
        self._partition = partition
        self._log = log
        self._rebuild = rebuild

    async def record(self, found: PartitionRecord | None, bounds: Bounds) -> PartitionRecord:
        """Return the record from which to go on; the epoch and the token are still those of before.

        Raises
        ------
        OwnershipError
            A person has to choose.
        """
        if found is None:
            record = await self._first(bounds)
        else:
            look = await self.look(found, bounds)
            if look.error is None:
                record = await self._silenced(found, bounds, look.scored) if found.silent else found
            elif self._rebuild:
                record = await self._again(str(look.error), bounds, found.epoch, look.scored)
            else:
                raise look.error
        return record if bounds.topic_id is None else record._replace(topic_id=bounds.topic_id)

    async def stands(self, record: PartitionRecord, bounds: Bounds) -> bool:
        """Whether the log is still the one that was read, and the one in which the record is silent."""
        look = await self.look(record, bounds)
        return look.error is None and look.scored == record.scored

    async def look(self, found: PartitionRecord, bounds: Bounds) -> Look:
        """Hold the record against the log."""
        nothing = LogMark(bounds.earliest)
        if found.next_offset == RESTORING:
            return Look(
                RestoreUnfinished(
                    f"the states of {self._name} were being restored, and not to the end: run `intent restore` again, "
                    f"with --replace, or {START_OVER}"
                ),
                nothing,
            )
        if _another_topic(found.read, bounds):
            return Look(
                TopicRecreated(
                    f"the topic was created again: {self._topic} had the id {found.topic_id.hex()} when the states "
                    f"were written, and has {(bounds.topic_id or b'').hex()}; offset {found.next_offset} of "
                    f"{self._name} means nothing in it: name the right Kafka, {START_OVER}"
                ),
                nothing,
            )
        cut = await self._cut(found.read, bounds)
        scored = found.read if cut is None else cut.kept
        if found.silent and cut is None:
            cut = await self._cut(found.scored, bounds)
            scored = found.scored if cut is None else cut.kept
            if scored.offset >= found.next_offset:
                cut = None  # the states are right, only the silence ends earlier
        if found.partitions != bounds.partitions:
            return Look(
                partitions_changed(self._topic, bounds.partitions, found.partitions),
                scored,
            )
        if cut is not None:  # before the bounds: it knows how much of what was read is left
            return Look(self._lost(cut.how), cut.kept)
        if not bounds.earliest <= found.next_offset <= bounds.latest:
            return Look(
                OffsetOutsideLog(
                    f"{self._name} holds offsets {bounds.earliest} to {bounds.latest}, but the next one to read is "
                    f"{found.next_offset}: Kafka lost its newest events, or events expired before they were "
                    f"read: restore the log, {START_OVER}"
                ),
                scored,
            )
        return Look(None, scored)

    async def _kept(self, mark: LogMark, bounds: Bounds) -> LogMark:
        """Return what the log still has of what a mark names."""
        if _another_topic(mark, bounds):
            return LogMark(bounds.earliest)
        cut = await self._cut(mark, bounds)
        return mark if cut is None else cut.kept

    async def _cut(self, mark: LogMark, bounds: Bounds) -> Cut | None:
        """Return where a log of the same topic is not the one of the mark."""
        if mark.epoch != UNKNOWN_EPOCH:
            try:
                end = await self._log.epoch_end(self._partition, mark.epoch)
            except TooOld as error:
                logger.warning("%s: whether its log was cut cannot be checked: %s", self._name, error)
                return None
            if end is None or end < mark.offset:
                what = "does not know that epoch" if end is None else f"ends that epoch at offset {end}"
                kept = bounds.earliest if end is None else end
                return Cut(
                    f"its events up to offset {mark.offset}, of Kafka's leader epoch {mark.epoch}, were scored, "
                    f"but Kafka {what}",
                    LogMark(kept, mark.topic_id, mark.epoch if end is not None else UNKNOWN_EPOCH),
                )
        if bounds.earliest <= mark.last_offset < bounds.latest and mark.last_offset != NO_OFFSET:
            stands = await self._log.stamp_at(self._partition, mark.last_offset)
            if stands is None or stands[:2] != (mark.last_offset, mark.last_time):
                there = (
                    "none" if stands is None else f"one of {moment(stands.time)} at offset {stands.offset}"
                )
                return Cut(
                    f"the last record that was scored stood at offset {mark.last_offset} and came at "
                    f"{moment(mark.last_time)}, but there is {there}",
                    LogMark(bounds.earliest),
                )
        return None

    def _lost(self, how: str) -> LogCut:
        return LogCut(
            f"Kafka lost events of {self._name} that were read, and took others in their place: {how}. Restore the "
            f"log, or: {START_OVER}"
        )

    async def _first(self, bounds: Bounds) -> PartitionRecord:
        """Return the record of a partition that has none."""
        commit = await self._log.committed(self._partition)
        scored = None if commit is None else LogMark.from_commit(*commit)
        if self._rebuild and bounds.latest:
            kept = LogMark(bounds.latest) if scored is None else await self._kept(scored, bounds)
            return await self._again("there is no record of it", bounds, 0, kept)
        if scored is not None and scored.offset:  # at 0 there was nothing to lose
            raise StoreLost(
                f"Redis has no record of {self._name}, but Kafka has a commit at {scored.offset}: its states were "
                f"lost. Restore Redis; or {START_OVER}"
            )
        return PartitionRecord.beginning(bounds.earliest, bounds.partitions)

    async def _again(self, why: str, bounds: Bounds, epoch: int, scored: LogMark) -> PartitionRecord:
        """Return the record from which states are built again, silently as far as their events were scored."""
        record = PartitionRecord.beginning(bounds.earliest, bounds.partitions, epoch=epoch)
        record = await self._silenced(record, bounds, scored)
        logger.warning(
            "%s: building its states again from offset %s on (%s); nothing is published of events before offset %s, "
            "which were scored before",
            self._name, bounds.earliest, why, max(record.silent_until, bounds.earliest),
        )  # fmt: skip
        return record

    async def _silenced(self, record: PartitionRecord, bounds: Bounds, scored: LogMark) -> PartitionRecord:
        """Return the record, silent up to a mark, and in which log that is; as it is where it has passed the mark."""
        if scored.offset > bounds.latest and (scored.epoch == UNKNOWN_EPOCH or not record.silent):
            scored = LogMark(bounds.latest)
        until = scored.offset
        if until <= record.next_offset:
            return record._replace(silent_until=until) if record.silent else record
        if scored.last_offset == NO_OFFSET:
            last = await self._log.stamp_at(self._partition, until - 1)
            if last is not None and last.offset == until - 1:
                epoch = last.epoch if scored.epoch == UNKNOWN_EPOCH else scored.epoch
                scored = scored._replace(epoch=epoch, last_offset=last.offset, last_time=last.time)
        if record.silent and until < record.silent_until:
            logger.warning(
                "%s: Kafka lost events that were scored before, from offset %s on; what stands there now is scored",
                self._name, until,
            )  # fmt: skip
        return record.silenced(scored)


def _another_topic(mark: LogMark, bounds: Bounds) -> bool:
    return UNKNOWN_TOPIC != mark.topic_id != (bounds.topic_id or mark.topic_id)

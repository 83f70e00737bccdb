"""Whether the log is the one that a partition's states were made from, and what to do where it is not.

A record names the topic's id, the leader epoch of the last batch that was folded, and offset and append time of the
last record. So three things are noticed that offsets alone do not tell: a topic that was deleted and created again, a
log that lost its end and then grew beyond it, and a broker that was set back as a whole, epochs included. Going on
would leave events out without a word, and keep others that nobody has any more; so the owner refuses, and a person
chooses: give the log back, or build the states again.
"""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

from features.store.customer_store import (
    NO_OFFSET,
    RESTORING,
    UNKNOWN_EPOCH,
    UNKNOWN_TOPIC,
    PartitionRecord,
)
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


class Misfit(NamedTuple):
    """Why a record does not fit the log, and below which offset the log's events were scored nevertheless."""

    error: OwnershipError
    scored: int


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
            misfit = await self.misfit(found, bounds)
            if misfit is None:
                record = found
            elif self._rebuild:
                record = self._again(str(misfit.error), bounds, found.epoch, misfit.scored)
            else:
                raise misfit.error
        return record if bounds.topic_id is None else record._replace(topic_id=bounds.topic_id)

    async def misfit(self, found: PartitionRecord, bounds: Bounds) -> Misfit | None:
        """Return why the record does not fit the log, ``None`` if it does."""
        if found.next_offset == RESTORING:
            return Misfit(
                RestoreUnfinished(
                    f"the states of {self._name} were being restored, and not to the end: run `intent restore` again, "
                    f"with --replace, or {START_OVER}"
                ),
                bounds.earliest,
            )
        if UNKNOWN_TOPIC != found.topic_id != (bounds.topic_id or found.topic_id):
            return Misfit(
                TopicRecreated(
                    f"the topic was created again: {self._topic} had the id {found.topic_id.hex()} when the states "
                    f"were written, and has {(bounds.topic_id or b'').hex()}; offset {found.next_offset} of "
                    f"{self._name} means nothing in it: name the right Kafka, {START_OVER}"
                ),
                bounds.earliest,
            )
        if found.partitions != bounds.partitions:
            return Misfit(
                PartitionsChanged(
                    f"{self._topic} has {bounds.partitions} partitions, but had {found.partitions} when the states "
                    "were written, and customers have moved between them: `intent archive` the events, "
                    "`intent replay` them into topics of a new INTENT_TOPIC_PREFIX; or, without the history of the "
                    f"moved, {START_OVER}"
                ),
                found.next_offset,
            )
        cut = await self._cut(found, bounds)  # first: it knows how much of what was read is left
        if cut is not None:
            return cut
        if not bounds.earliest <= found.next_offset <= bounds.latest:
            return Misfit(
                OffsetOutsideLog(
                    f"{self._name} holds offsets {bounds.earliest} to {bounds.latest}, but the next one to read is "
                    f"{found.next_offset}: Kafka lost its newest events, or events expired before they were "
                    f"read: restore the log, {START_OVER}"
                ),
                found.next_offset,
            )
        return None

    async def _cut(self, found: PartitionRecord, bounds: Bounds) -> Misfit | None:
        """Return where a log that reaches far enough is not the one that was read."""
        if found.leader_epoch != UNKNOWN_EPOCH:
            try:
                end = await self._log.epoch_end(self._partition, found.leader_epoch)
            except TooOld as error:
                logger.warning("%s: whether its log was cut cannot be checked: %s", self._name, error)
                return None
            if end is None or end < found.next_offset:
                what = "does not know that epoch" if end is None else f"ends that epoch at offset {end}"
                return Misfit(
                    self._lost(
                        f"the states hold its events up to offset {found.next_offset}, of Kafka's leader epoch "
                        f"{found.leader_epoch}, but Kafka {what}"
                    ),
                    bounds.earliest if end is None else end,
                )
        if bounds.earliest <= found.last_offset < bounds.latest and found.last_offset != NO_OFFSET:
            stands = await self._log.stamp_at(self._partition, found.last_offset)
            if stands != (found.last_offset, found.last_time):
                there = (
                    "none" if stands is None else f"one of {moment(stands.time)} at offset {stands.offset}"
                )
                return Misfit(
                    self._lost(
                        f"the last record that was read stood at offset {found.last_offset} and came at "
                        f"{moment(found.last_time)}, but there is {there}"
                    ),
                    bounds.earliest,
                )
        return None

    def _lost(self, how: str) -> LogCut:
        return LogCut(
            f"Kafka lost events of {self._name} that were read, and took others in their place: {how}. Restore the "
            f"log, or: {START_OVER}"
        )

    async def _first(self, bounds: Bounds) -> PartitionRecord:
        """Return the record of a partition that has none."""
        committed = await self._log.committed(self._partition)
        if self._rebuild and bounds.latest:
            scored = bounds.latest if committed is None else committed
            return self._again("there is no record of it", bounds, 0, scored)
        if committed:  # at 0 there was nothing to lose
            raise StoreLost(
                f"Redis has no record of {self._name}, but Kafka has a commit at {committed}: its states were lost. "
                f"Restore Redis; or {START_OVER}"
            )
        return PartitionRecord.beginning(bounds.earliest, bounds.partitions)

    def _again(self, why: str, bounds: Bounds, epoch: int, scored: int) -> PartitionRecord:
        """Return the record from which states are built again, silently as far as their events were scored."""
        until = min(max(scored, bounds.earliest), bounds.latest)
        logger.warning(
            "%s: building its states again from offset %s on (%s); nothing is published of events before offset %s, "
            "which were scored before",
            self._name, bounds.earliest, why, until,
        )  # fmt: skip
        return PartitionRecord.beginning(bounds.earliest, bounds.partitions, epoch=epoch, silent_until=until)

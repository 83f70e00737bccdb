"""Arrivals of records to which their producers gave the time.

The arrival of an event is when the broker appended it. Where the topic gives records their producer's time, a single
wrong clock would move a watermark to any year, so a worker refuses as soon as such a batch comes and the topic is still
set so. Records from before the topic was set right stay in the log, though. Their time counts as their arrival as far
as the log bears it out: at most as the append time of the next record that has the broker's. That depends on the log
alone, so a replay comes to the same states. Where no such record has come yet, a time that is past is taken as it is
(what is appended later comes after it), and one that is to come parks the partition until either has changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from stream.kafka.batches import NEVER, RecordBatch
from stream.kafka.clocks import alone
from stream.kafka.contract import Appended, Log
from stream.texts import moment

_NOTHING: Final = Appended(None, -1)


class ArrivalUnknown(Exception):
    """A record has a time that is still to come, and nothing in the log says when it came.

    Parameters
    ----------
    behind
        The offset behind it.
    """

    def __init__(self, said: str, behind: int) -> None:
        super().__init__(said)
        self.behind = behind


class Arrivals:
    """Bounds the arrivals of one partition's records.

    Parameters
    ----------
    partition, log
        The partition, and where it is read from.
    now
        Returns the wall clock, epoch ms.
    """

    def __init__(self, partition: int, log: Log, now: Callable[[], int]) -> None:
        self._partition = partition
        self._log = log
        self._now = now
        self._next = _NOTHING  # the next one with the broker's time, as far as was looked

    async def bounded(self, batch: RecordBatch) -> RecordBatch:
        """Return the batch, or its beginning as far as one clock gave the times, with the bound of its arrivals.

        Raises
        ------
        TopicMismatch
            Producers gave the times, and the topic is still set so.
        ArrivalUnknown
            See there.
        """
        if not batch.created:
            return batch
        count, appended = alone(batch.records)
        if count < len(batch.records):
            batch = batch.until(batch.records[count].offset)
        if appended:
            return batch._replace(created=False)
        await self._log.check_appended()
        if self._next.time is None or self._next.offset < batch.stop:
            start = max(batch.stop, self._next.offset) if self._next.time is None else batch.stop
            self._next = await self._log.appended_after(self._partition, start)
        if self._next.time is not None:
            return batch._replace(clock=self._next.time)
        now = self._now()
        early = next((record for record in batch.records if record.timestamp > now), None)
        if early is not None:
            raise ArrivalUnknown(
                f"the record at offset {early.offset} has the time {moment(early.timestamp)}, which its producer gave "
                "it and which is still to come; when it came will be known with the next event of the partition",
                early.offset + 1,
            )
        return batch._replace(clock=NEVER)

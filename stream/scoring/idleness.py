"""Partitions that have fallen silent follow the event time of the others, or else nothing could be learned any more.

A label is final when every partition's event time has passed its horizon. Whether a partition is silent, and not only
slow, only its scorer knows: it has been at the log's end for a while. So it says so, as a record in both topics.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, Protocol

from aiokafka.errors import KafkaError

from features.exceptions import StoreError, UnreadableRecord
from features.store.customer_store import CustomerStore
from features.watermark import BEGINNING
from stream.ownership.partitions import Ownership
from stream.scoring.publisher import Output, Publishes
from stream.scoring.recorder import LearnerRecords

logger = logging.getLogger(__name__)

# How many looks fall into the time after which a partition is idle.
_LOOKS: Final = 12
_LOOK_SECONDS: Final = 5.0


class IdleRecorder(Protocol):
    """Makes the records that declare a partition idle: see `stream.scoring.recorder.Recorder.idle`."""

    def idle(self, offset: int, watermark: int) -> LearnerRecords:
        """Return the records."""
        ...


class Idleness:
    """Declares this worker's partitions idle.

    Parameters
    ----------
    ownership
        The partitions.
    store
        Knows the watermarks of all partitions, also of other workers'.
    recorder, publisher
        Write the records.
    partitions
        Partition count of the topic.
    seconds
        Silence at the log's end after which a partition is idle.
    clock
        Returns seconds since any fixed moment.
    """

    def __init__(
        self,
        ownership: Ownership,
        store: CustomerStore,
        recorder: IdleRecorder,
        publisher: Publishes,
        *,
        partitions: int,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ownership = ownership
        self._store = store
        self._recorder = recorder
        self._publisher = publisher
        self._partitions = partitions
        self._seconds = seconds
        self._clock = clock
        self._since: dict[int, tuple[int, float]] = {}  # offset, and since when nothing has come
        self._declared: dict[int, tuple[int, int]] = {}  # offset and watermark

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(min(_LOOK_SECONDS, self._seconds / _LOOKS))
            try:
                await self.look()
            except (KafkaError, StoreError, UnreadableRecord) as error:
                logger.warning("declaring partitions idle: %s; trying again", error)

    async def look(self) -> None:
        """Declare those idle that are, if event time has gone on elsewhere."""
        silent = self._silent()
        if not silent:
            return
        watermarks = await asyncio.to_thread(self._watermarks)
        newest = max(watermarks.values(), default=BEGINNING)
        news = {
            partition: (offset, newest)
            for partition, offset in silent.items()
            if newest > watermarks.get(partition, newest)
            and self._declared.get(partition) != (offset, newest)
        }
        if news:
            outputs = []
            for partition, (offset, watermark) in news.items():
                examples, outcomes = self._recorder.idle(offset, watermark)
                outputs.append(Output(partition, examples=examples, outcomes=outcomes))
            await self._publisher.publish(outputs)
            self._declared |= news

    def _silent(self) -> dict[int, int]:
        """Return the offset at which each silent partition stands."""
        now, lag = self._clock(), self._ownership.lag()
        progress = self._ownership.progress()
        since = {}
        for partition, offset in progress.items():
            former = self._since.get(partition)
            begun = former[1] if former is not None and former[0] == offset else now
            since[partition] = (offset, begun if lag.get(partition) == 0 else now)
        self._since = since
        return {p: offset for p, (offset, begun) in since.items() if now - begun >= self._seconds}

    def _watermarks(self) -> dict[int, int]:
        records = {number: self._store.record(number) for number in range(self._partitions)}
        return {number: record.watermark for number, record in records.items() if record is not None}

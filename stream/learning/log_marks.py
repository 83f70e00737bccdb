"""Of which logs the learner's progress speaks: its offsets mean nothing in a topic made again, or cut and grown again.

A snapshot keeps each topic's id and the leader epoch of the last batch that was read of every partition; see
`stream.ownership.log_check` for the same of the events topic.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final, Self

from features.exceptions import IntentError
from features.store.log_mark import UNKNOWN_EPOCH
from stream.exceptions import LogCut, TopicRecreated
from stream.kafka.contract import Bounds, Log, TooOld

logger = logging.getLogger(__name__)

_START_OVER: Final = "name the right Kafka, give the log back, or run `intent learner --start-over`"


class LogMarks:
    """The topics' ids and the leader epochs that were read.

    Parameters
    ----------
    topics
        Which there are.
    partitions
        Of each.
    """

    def __init__(self, topics: Iterable[str], partitions: int) -> None:
        self._ids = dict.fromkeys(topics, "")
        self._epochs = {topic: [UNKNOWN_EPOCH] * partitions for topic in self._ids}

    @classmethod
    def of(cls, stored: Any, topics: Iterable[str], partitions: int) -> Self:
        """Return what `stored` holds (`to_meta`); a snapshot of before has nothing, and is not checked once."""
        marks = cls(topics, partitions)
        if isinstance(stored, Mapping):
            for topic in marks._ids:
                marks._ids[topic] = str(stored[topic]["id"])
                marks._epochs[topic] = [int(epoch) for epoch in stored[topic]["epochs"]]
        return marks

    def to_meta(self) -> dict[str, Any]:
        """Return the stored form."""
        return {topic: {"id": self._ids[topic], "epochs": list(self._epochs[topic])} for topic in self._ids}

    async def check(
        self, topic: str, name: str, partition: int, log: Log, bounds: Bounds, offset: int
    ) -> None:
        """Hold a partition, of which everything below ``offset`` was read, against its log, and remember the topic.

        Raises
        ------
        TopicRecreated, LogCut
            It is another one.
        """
        found = "" if bounds.topic_id is None else bounds.topic_id.hex()
        known = self._ids[topic]
        if known and found and known != found:
            raise TopicRecreated(
                f"the topic was created again: {name} had the id {known} when the learner read it, and has {found}; "
                f"the learner's offsets mean nothing in it: {_START_OVER}"
            )
        error = await self.cut(topic, name, partition, log, offset)
        if error is not None:
            raise error
        self._ids[topic] = found or known

    async def cut(self, topic: str, name: str, partition: int, log: Log, offset: int) -> IntentError | None:
        """Return why the log is another one below ``offset``, ``None`` if nothing says so."""
        epoch = self._epochs[topic][partition]
        if epoch == UNKNOWN_EPOCH or offset < 0:
            return None
        try:
            end = await log.epoch_end(partition, epoch)
        except TooOld as error:
            logger.warning("%s-%s: whether its log was cut cannot be checked: %s", name, partition, error)
            return None
        if end is not None and end >= offset:
            return None
        what = "does not know that epoch" if end is None else f"ends that epoch at offset {end}"
        return LogCut(
            f"Kafka lost records of partition {partition} of {name} that were read, and took others in their place: "
            f"the learner is at offset {offset}, of leader epoch {epoch}, but Kafka {what}: {_START_OVER}"
        )

    def news(self, topic: str, partition: int, epoch: int) -> bool:
        """Whether another leader has written a batch than the last one that was read."""
        known = self._epochs[topic][partition]
        return epoch != known and UNKNOWN_EPOCH not in (epoch, known)

    def took(self, topic: str, partition: int, epoch: int) -> None:
        """Remember the leader epoch of a batch that was read."""
        if epoch != UNKNOWN_EPOCH:
            self._epochs[topic][partition] = epoch

"""Mistakes that somebody could make in how the learner keeps its place; each must be found by the schedules."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Final
from unittest.mock import patch

import numpy as np
from aiokafka.errors import KafkaError
from numpy.typing import NDArray

from stream.kafka.batches import RecordBatch
from stream.kafka.contract import Bounds, Log
from stream.kafka.producing import BoundedProducer
from stream.learner import Learner
from stream.learning.labels.cursors import Progress
from stream.learning.labels.waiting import Waiting
from stream.learning.learning import Learning, Refused, Source
from stream.learning.log_marks import LogMarks
from stream.learning.model.snapshot import Snapshot
from stream.learning.online_learner import OnlineLearner
from stream.learning.snapshot_store import Lease, Saved, SnapshotStore
from stream.learning.topic_buffers import TopicBuffers

_saved = Learning.saved


class _Former:
    """Hands out the snapshot of before the last one."""

    version = 0

    def __init__(self, online: OnlineLearner, former: Snapshot) -> None:
        self._online, self._former = online, former

    def snapshot(self) -> Snapshot:
        return self._former


def _cursors_of_now_and_the_model_of_before(self: Learning) -> Saved:
    online: Any = self.online
    now = online.snapshot()
    former = self.__dict__.get("former", now)
    self.__dict__["former"] = now
    self.online = _Former(online, former)  # type: ignore[assignment]
    try:
        return _saved(self)
    finally:
        self.online = online


def _commit_unguarded(
    self: SnapshotStore, expected: Lease | None, commands: Sequence[tuple[Any, ...]]
) -> None:
    with self._redis.pipeline() as pipe:
        pipe.multi()
        for command in commands:
            pipe.execute_command(*command)
        pipe.execute()


_begin = TopicBuffers.begin


async def _read_on_where_reading_stood(
    self: TopicBuffers, positions: dict[Source, int], marks: LogMarks | None = None
) -> None:
    stood = {
        (topic, partition): self.topics[topic].expected.get(partition, offset)
        for (topic, partition), offset in positions.items()
    }
    await _begin(self, stood, marks)


async def _any_topic(
    self: LogMarks, topic: str, name: str, partition: int, log: Log, bounds: Bounds, offset: int
) -> None:
    self._ids[topic] = "" if bounds.topic_id is None else bounds.topic_id.hex()


async def _any_log(self: LogMarks, topic: str, name: str, partition: int, log: Log, offset: int) -> None:
    """Take any log for the one that was read."""


def _all_is_new(
    self: Waiting, partition: int, generation: int, as_of: NDArray[np.int64], offset: NDArray[np.int64]
) -> NDArray[np.bool_]:
    return np.full(len(as_of), True)


def _where_reading_stands(self: Waiting) -> Progress:
    return Progress(
        learned=self._learned,
        examples=[own.examples for own in self._partitions],
        outcomes=[own.outcomes for own in self._partitions],
    )


async def _whatever_comes(
    self: TopicBuffers, assignment: int, seconds: float
) -> list[tuple[str, RecordBatch]]:
    """Take batches without a look at where they begin."""
    if not self._fetched and assignment == self._assignment:
        await self._wait(seconds)
    came = []
    for (topic, partition), batch in self._fetched.items():
        self._marks.took(topic, partition, batch.epoch)
        self.topics[topic].expected[partition] = batch.stop
        came.append((topic, batch))
    self._fetched.clear()
    return came if assignment == self._assignment else []


async def _without_letters(self: Learner, producer: BoundedProducer, refused: Sequence[Refused]) -> None:
    """Do not mind a letter that was not written."""
    with contextlib.suppress(KafkaError):
        await _bury(self, producer, refused)


_bury = Learner._bury


def _forget_nothing(self: SnapshotStore, lease: Lease) -> None:
    """Start over with what was learned before."""


#: By what the mistake is: what is patched, and by what.
LEARNER_BUGS: Final[dict[str, tuple[Any, str, Any]]] = {
    "the cursors are saved without the model": (Learning, "saved", _cursors_of_now_and_the_model_of_before),
    "the lease is not checked at a save": (SnapshotStore, "_commit", _commit_unguarded),
    "reading goes on where it stood before the snapshot was loaded": (
        TopicBuffers,
        "begin",
        _read_on_where_reading_stood,
    ),
    "a topic made again is not noticed": (LogMarks, "check", _any_topic),
    "a log that was cut is not noticed": (LogMarks, "cut", _any_log),
    "what was learned is learned again": (Waiting, "_beyond", _all_is_new),
    "examples that wait are taken for learned": (Waiting, "progress", _where_reading_stands),
    "records that never came are passed over": (TopicBuffers, "next", _whatever_comes),
    "a letter that was not written is passed over": (Learner, "_bury", _without_letters),
    "starting over keeps what was learned": (SnapshotStore, "forget", _forget_nothing),
}


@contextlib.contextmanager
def planted_in_learner(name: str) -> Iterator[None]:
    """Make the mistake within the block."""
    with patch.object(*LEARNER_BUGS[name]):
        yield

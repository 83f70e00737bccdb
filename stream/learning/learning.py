"""What the learner does with the records of its two topics, without Kafka, Redis and the clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self

import msgspec
from xxhash import xxh3_64_hexdigest

from features.bundle import Bundle
from features.exceptions import IntentError
from features.vector import schema_hash
from features.watermark import BEGINNING
from stream.kafka.batches import RecordBatch
from stream.learning.labels.cursors import Progress
from stream.learning.labels.waiting import Waiting
from stream.learning.log_marks import LogMarks
from stream.learning.model.advisor import scorer_part
from stream.learning.model.settings import LearningSettings
from stream.learning.model.snapshot import Snapshot
from stream.learning.online_learner import OnlineLearner
from stream.learning.records.examples import decode_examples
from stream.learning.records.outcomes import decode_outcomes
from stream.learning.report import Report, report_of
from stream.learning.snapshot_store import Saved, progress_of
from stream.messages.alert import Alert

EXAMPLES: Final = "examples"
OUTCOMES: Final = "outcomes"
TOPICS: Final = (EXAMPLES, OUTCOMES)

#: One of `TOPICS`, and a partition of it.
Source = tuple[str, int]


class PartitionsDiffer(IntentError):
    """The topics have another partition count than when the snapshot was saved."""


class LearningStatus(NamedTuple):
    """Where learning stands.

    Attributes
    ----------
    examples, mini_batches, positives
        What has been learned since this process began.
    dropped
        What will not be learned, by why (`stream.learning.labels.waiting.Waiting.dropped`).
    waiting
        Examples in memory.
    oldest_waiting_seconds
        Event time since the oldest example that waits, or could still come; ``None`` before any.
    label_delay_seconds
        Event time from ``as_of`` until the last mini-batch's labels were known, on average.
    """

    examples: int = 0
    mini_batches: int = 0
    positives: int = 0
    dropped: Mapping[str, int] = {}
    waiting: int = 0
    oldest_waiting_seconds: float | None = None
    label_delay_seconds: float = 0.0


class Learning:
    """Waits, labels and learns.

    Parameters
    ----------
    bundle
        Whose examples are learned.
    online
        What learns.
    waiting
        What holds examples back.

    Attributes
    ----------
    status
        Where it stands.
    marks
        Of which logs the progress is; whoever reads them keeps it up to date.
    """

    def __init__(self, bundle: Bundle, online: OnlineLearner, waiting: Waiting, marks: LogMarks) -> None:
        self.online = online
        self.waiting = waiting
        self.marks = marks
        self.status = LearningStatus()
        self._bundle = bundle
        self._features = schema_hash()

    @classmethod
    def begin(cls, bundle: Bundle, settings: LearningSettings, partitions: int) -> Self:
        """Return a learner that has read nothing."""
        waiting = Waiting.of(bundle.manifest, Progress.beginning(partitions))
        return cls(bundle, OnlineLearner(bundle, settings), waiting, LogMarks(TOPICS, partitions))

    @classmethod
    def resume(cls, bundle: Bundle, settings: LearningSettings, partitions: int, stored: bytes) -> Self:
        """Return the learner that a snapshot was taken of.

        A new bundle begins with an untrained model, but does not read again what was read.

        Raises
        ------
        IntentError
            The snapshot cannot be used; the message says what to do.
        """
        snapshot = Snapshot.from_bytes(stored)
        progress = progress_of(snapshot.meta.get("progress"))
        if len(progress.examples) != partitions:
            raise PartitionsDiffer(
                f"the topics have {partitions} partitions, but had {len(progress.examples)} when the snapshot was "
                "saved: run `intent learner --start-over`"
            )
        same = snapshot.meta.get("bundle") == bundle.manifest.version
        online = (
            OnlineLearner.restore(bundle, settings, snapshot) if same else OnlineLearner(bundle, settings)
        )
        marks = LogMarks.of(snapshot.meta.get("logs"), TOPICS, partitions)
        return cls(bundle, online, Waiting.of(bundle.manifest, progress), marks)

    def next(self, source: Source) -> int:
        """Return Kafka's offset from which a partition is to be read on; -1 for the earliest."""
        topic, partition = source
        if topic == EXAMPLES:
            return self.waiting.next_examples(partition)
        return self.waiting.next_outcomes(partition)

    def wanted(self) -> frozenset[Source]:
        """Return what has to be read on so that more can be learned."""
        return frozenset(
            (topic, number)
            for topic, numbers in zip(TOPICS, self.waiting.wanted(), strict=True)
            for number in numbers
        )

    def take(self, topic: str, batch: RecordBatch) -> list[Alert]:
        """Take the next records of a partition, learn what they make final, and return the alerts that begin."""
        for record in batch.records:
            value = record.value or b""
            if topic == EXAMPLES:
                scored = decode_examples(value, batch.partition, self._features)
                self.waiting.add_examples(batch.partition, record.offset, scored)
            else:
                self.waiting.add_outcomes(batch.partition, record.offset, decode_outcomes(value))
        if topic == EXAMPLES:
            self.waiting.pass_examples(batch.partition, batch.stop)
        else:
            self.waiting.pass_outcomes(batch.partition, batch.stop)
        alerts: list[Alert] = []
        examples, mini_batches, positives, *_, delay = self.status
        for mini_batch in self.waiting.release():
            alerts += self.online.learn(mini_batch.examples, mini_batch.labels)
            examples += len(mini_batch.labels)
            mini_batches += 1
            positives += int(mini_batch.labels.sum())
            if mini_batch.known_at is not None:
                delay = (mini_batch.known_at - float(mini_batch.examples.as_of.mean())) / 1000
        oldest, newest = self.waiting.oldest.time, self.waiting.newest
        self.status = LearningStatus(
            examples,
            mini_batches,
            positives,
            dict(self.waiting.dropped),
            self.waiting.waiting,
            None if BEGINNING in (oldest, newest) else max(newest - oldest, 0) / 1000,
            delay,
        )
        return alerts

    def report(self, snapshot: Snapshot | None = None) -> Report:
        """Return the live figures."""
        snapshot = snapshot or self.online.snapshot()
        return report_of(self.online, self._bundle, snapshot.meta["as_of"])

    def saved(self) -> Saved:
        """Return what is to be saved: the model and its figures together with how far they have come."""
        snapshot = self.online.snapshot()
        progress: Any = msgspec.to_builtins(self.waiting.progress())
        scorers = scorer_part(snapshot).to_bytes()
        return Saved(
            snapshot.with_meta(progress=progress, logs=self.marks.to_meta()).to_bytes(),
            scorers,
            f"{self._bundle.manifest.version}:{snapshot.version}:{xxh3_64_hexdigest(scorers)}",
            msgspec.json.encode(self.report(snapshot)),
        )

"""What the learner does with the records of its two topics, without Kafka, Redis and the clock."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

import msgspec
from xxhash import xxh3_64_hexdigest

from features.bundle import Bundle
from features.events import Reason, Rejection
from features.exceptions import IntentError
from features.vector import schema_hash
from features.watermark import BEGINNING
from stream.kafka.batches import RecordBatch
from stream.kafka.record_columns import Record, contents_of
from stream.learning.labels.cursors import Key, Progress
from stream.learning.labels.waiting import Waiting
from stream.learning.log_marks import LogMarks
from stream.learning.model.advisor import scorer_part
from stream.learning.model.settings import LearningSettings
from stream.learning.model.snapshot import Snapshot, snapshot_errors
from stream.learning.online_learner import OnlineLearner
from stream.learning.records.rows import read_examples, read_outcomes
from stream.learning.report import Report, report_of
from stream.learning.snapshot_store import Saved, passed_of, progress_of
from stream.messages.alert import Alert

logger = logging.getLogger(__name__)

EXAMPLES: Final = "examples"
OUTCOMES: Final = "outcomes"
TOPICS: Final = (EXAMPLES, OUTCOMES)

_REASONS: Final = {EXAMPLES: Reason.BAD_EXAMPLE, OUTCOMES: Reason.BAD_OUTCOME}

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
    bad
        Records that could not be read, by topic.
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
    bad: Mapping[str, int] = {}
    waiting: int = 0
    oldest_waiting_seconds: float | None = None
    label_delay_seconds: float = 0.0


class Refused(NamedTuple):
    """A record that is none of ours, or damaged: where it stands, and why it was left out."""

    topic: str
    partition: int
    record: Record
    rejection: Rejection


class Taken(NamedTuple):
    """What came of some batches: alerts that begin, records that cannot be read, and what was learned.

    Attributes
    ----------
    bundle
        Whose examples are learned.
    examples
        How many were learned.
    """

    alerts: Sequence[Alert]
    refused: Sequence[Refused]
    bundle: str
    examples: int

    @property
    def described(self) -> Mapping[str, str | int]:
        """See `stream.tracing.trace.Described`."""
        return {
            "intent.bundle": self.bundle,
            "intent.examples": self.examples,
            "intent.letters": len(self.refused),
        }


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
    bundle
        Whose examples are learned.
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
        self._bad: Counter[str] = Counter()
        self.bundle = bundle
        self._features = schema_hash()

    @classmethod
    def begin(cls, bundle: Bundle, settings: LearningSettings, partitions: int) -> Self:
        """Return a learner that has read nothing."""
        waiting = Waiting.of(bundle.manifest, Progress.beginning(partitions))
        return cls(bundle, OnlineLearner(bundle, settings), waiting, LogMarks(TOPICS, partitions))

    @classmethod
    def resume(
        cls,
        bundle: Bundle,
        settings: LearningSettings,
        partitions: int,
        stored: bytes,
        former: bytes | None = None,
    ) -> Self:
        """Return the learner that a snapshot was taken of.

        Another bundle than the snapshot's begins where its first example was passed over; if there was none yet, where
        reading stopped.

        Parameters
        ----------
        former
            The last snapshot of that other bundle, which goes on from there; without it, its model is untrained.

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
        gone_back = None if same or former is None else _gone_back(bundle, settings, former)
        with snapshot_errors():
            if same:
                online = OnlineLearner.restore(bundle, settings, snapshot)
            else:
                online = OnlineLearner(bundle, settings) if gone_back is None else gone_back[0]
            marks = LogMarks.of(snapshot.meta.get("logs"), TOPICS, partitions)
        passed = passed_of(snapshot.meta.get("passed", {}))
        place = passed.pop(bundle.manifest.version, None)
        progress = progress if place is None else place.progress
        if gone_back is not None and gone_back[1] is not None:  # what this model has learned counts once
            learned = gone_back[1] if progress.learned is None else max(progress.learned, gone_back[1])
            progress = msgspec.structs.replace(progress, learned=learned)
        return cls(bundle, online, Waiting.of(bundle.manifest, progress, passed), marks)

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

    def take(self, topic: str, batch: RecordBatch) -> Taken:
        """Take the next records of a partition, and learn what they make final."""
        return self.take_many([(topic, batch)])

    def take_many(self, came: Sequence[tuple[str, RecordBatch]]) -> Taken:
        """Take the next records of some partitions, and learn what they make final."""
        refused = [one for topic, batch in came for one in self._read(topic, batch)]
        for topic, batch in came:
            if topic == EXAMPLES:
                self.waiting.pass_examples(batch.partition, batch.stop)
            else:
                self.waiting.pass_outcomes(batch.partition, batch.stop)
        alerts: list[Alert] = []
        examples, mini_batches, positives, *_, delay = self.status
        for mini_batch in self.waiting.release():
            alerts += self.online.learn(mini_batch.examples, mini_batch.labels, mini_batch.customers)
            examples += len(mini_batch.labels)
            mini_batches += 1
            positives += int(mini_batch.labels.sum())
            if mini_batch.known_at is not None:
                delay = (mini_batch.known_at - float(mini_batch.examples.as_of.mean())) / 1000
        oldest, newest = self.waiting.oldest.time, self.waiting.newest
        learned = examples - self.status.examples
        self.status = LearningStatus(
            examples,
            mini_batches,
            positives,
            dict(self.waiting.dropped),
            dict(self._bad),
            self.waiting.waiting,
            None if BEGINNING in (oldest, newest) else max(newest - oldest, 0) / 1000,
            delay,
        )
        return Taken(alerts, refused, self.bundle.manifest.version, learned)

    def _read(self, topic: str, batch: RecordBatch) -> list[Refused]:
        """Add the records of a batch to what waits; return those that cannot be read."""
        records = contents_of(batch.records)
        if topic == EXAMPLES:
            examples = read_examples(records, self.bundle.manifest.version, self._features)
            known = set(self.waiting.passed)
            self.waiting.add_examples(batch.partition, examples)
            for other in self.waiting.passed.keys() - known:
                logger.info(
                    "examples of bundle %s are passed over: this learner learns those of %s; a learner that starts "
                    "with that bundle learns them from the first on", other, self.bundle.manifest.version,
                )  # fmt: skip
            unreadable = examples.unreadable
        else:
            outcomes = read_outcomes(records)
            self.waiting.add_outcomes(batch.partition, outcomes)
            unreadable = outcomes.unreadable
        self._bad[topic] += len(unreadable)
        return [
            Refused(topic, batch.partition, batch.records[at], Rejection(at, _REASONS[topic], text))
            for at, text in unreadable
        ]

    def report(self, snapshot: Snapshot | None = None) -> Report:
        """Return the live figures."""
        snapshot = snapshot or self.online.snapshot()
        return report_of(self.online, self.bundle, snapshot.meta["as_of"])

    def saved(self) -> Saved:
        """Return what is to be saved: the model and its figures together with how far they have come."""
        snapshot = self.online.snapshot()
        progress: Any = msgspec.to_builtins(self.waiting.progress())
        scorers = scorer_part(snapshot).to_bytes()
        return Saved(
            snapshot.with_meta(
                progress=progress,
                passed=msgspec.to_builtins(self.waiting.remembered()),
                logs=self.marks.to_meta(),
            ).to_bytes(),
            scorers,
            f"{self.bundle.manifest.version}:{snapshot.version}:{xxh3_64_hexdigest(scorers)}",
            msgspec.json.encode(self.report(snapshot)),
        )


def _gone_back(
    bundle: Bundle, settings: LearningSettings, former: bytes
) -> tuple[OnlineLearner, Key | None] | None:
    """Return what learned for a bundle before another one took its place, and up to which example it has learned.

    ``None`` where that cannot be used any more: the bundle then begins untrained, as a new one.
    """
    try:
        snapshot = Snapshot.from_bytes(former)
        with snapshot_errors():
            online = OnlineLearner.restore(bundle, settings, snapshot)
        return online, progress_of(snapshot.meta.get("progress")).learned
    except IntentError as error:
        logger.warning("what was learned for bundle %s is not used: %s", bundle.manifest.version, error)
        return None

"""Finds the record at which a job fails, so that it can become a dead letter and the others are scored.

A batch that fails `JOB_TRIES` times in a row is halved, and the half that fails is halved again, until one record
fails alone as often. It is handed to the job once more, marked as *poison* (`RecordBatch.poison`): the job rejects
it unread, with what was raised as the detail. Its letter is published and its partition moves past it like past any
rejected record, so states stay exact, the order is kept, and a repetition finds the same record again.

What is no record's fault must not turn a topic into letters. Outages don't count (see `stream.ownership.owner`), and
after `IN_A_ROW` letters between which nothing else was scored, of no partition, no further one is written: then the
job is broken, not the records.
"""

from __future__ import annotations

import logging
from typing import Final

from aiokafka.errors import (
    CorruptRecordException,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    RecordTooLargeError,
)
from aiokafka.errors import InvalidTimestampError as TimestampError

from stream.kafka.batches import RecordBatch

logger = logging.getLogger(__name__)

#: A batch that fails so often in a row will not mend by itself.
JOB_TRIES: Final = 5

#: So many records one after the other may be poison while nothing else is scored.
IN_A_ROW: Final = 10

_OF_A_RECORD: Final = (
    CorruptRecordException,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    RecordTooLargeError,
    TimestampError,
)


def concerns_a_record(error: KafkaError) -> bool:
    """Whether the broker refused something for what it holds, and not for the state that the broker is in."""
    return isinstance(error, _OF_A_RECORD)


class Bisection:
    """The search for the records of one partition at which the job fails.

    Parameters
    ----------
    name
        The partition, for the log.

    Attributes
    ----------
    failures
        How often what is tried now has failed in a row.
    """

    def __init__(self, name: str) -> None:
        self.failures = 0
        self._name = name
        self._tried = (-1, False)  # what failed last: where it starts, and whether it is a record alone
        self._until: int | None = None  # below this offset is a record that fails
        self._wary = False  # since something was halved: whole batches get no further tries
        self._marked: tuple[int, str] | None = None
        self._row = 0
        self._scored = -1  # batches of this worker when the row began

    def trial(self, batch: RecordBatch) -> RecordBatch:
        """Return the beginning of a batch that is to be tried now, as a rule all of it."""
        if not batch.records:
            return batch
        if self._marked is not None and batch.records[0].offset == self._marked[0]:
            return batch.until(self._marked[0] + 1)._replace(poison=self._marked[1])
        suspects = batch if self._until is None else batch.until(self._until)
        if self._until is None or not suspects.records:
            self._until = None
            return batch
        half = max(1, len(suspects.records) // 2)
        return suspects.until(suspects.records[half - 1].offset + 1)

    def passed(self, trial: RecordBatch) -> None:
        """Take note that a trial was done and saved."""
        self.failures = 0
        if trial.poison:
            self._marked = self._until = None
        elif self._until is None:
            self._wary = False
        elif trial.stop >= self._until:
            self._until = None  # what failed together does not fail in parts

    def failed(self, trial: RecordBatch, error: Exception, scored: int) -> bool:
        """Take note that the job failed on a trial; return whether going on with `trial` can help.

        Parameters
        ----------
        scored
            How many batches of this worker, of whichever partition, have been scored so far.
        """
        if trial.poison:  # it cannot even be rejected: later it gets another chance
            self._marked, self._row = None, self._row - 1
        if trial.poison or not trial.records:
            return False
        alone = len(trial.records) == 1
        self.failures = self.failures + 1 if self._tried == (trial.start, alone) else 1
        self._tried = trial.start, alone
        if self.failures == 1 and not self._wary:
            logger.error("%s: the job failed", self._name, exc_info=error)
        if alone:
            return self.failures < JOB_TRIES or self._mark(trial.records[0].offset, error, scored)
        if self._wary or self.failures >= JOB_TRIES:
            self._wary, self._until, self.failures = True, trial.stop, 0
        return True

    def _mark(self, offset: int, error: Exception, scored: int) -> bool:
        if scored != self._scored:
            self._scored, self._row = scored, 0
        if self._row >= IN_A_ROW:
            return False
        self._row += 1
        what = f"{type(error).__name__}: {error}"
        self._marked = offset, f"failed {self.failures} times alone, last with {what}"
        self._wary, self.failures = True, 0
        logger.error(
            "%s: the record at offset %s fails alone; it becomes a dead letter (poison)",
            self._name, offset, exc_info=error,
        )  # fmt: skip
        return True

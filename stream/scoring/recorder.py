"""What the scorer writes for the learner about each batch: examples, and what happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.bundle import Bundle
from features.columns import ERASE
from features.events import PURCHASE
from features.watermark import BEGINNING
from stream.kafka.batches import RecordBatch
from stream.learning.records import outcomes
from stream.learning.records.examples import Examples, encode_examples
from stream.learning.records.header import Header
from stream.learning.records.outcomes import Outcomes, encode_outcomes
from stream.scoring.engine import Scored
from stream.scoring.intake import Intake
from stream.scoring.sampling import Sampling


class Lessons(NamedTuple):
    """Records of the examples and of the outcomes topic."""

    examples: Sequence[bytes] = ()
    outcomes: Sequence[bytes] = ()


class Recorder:
    """Writes down what a bundle's scorer saw.

    Parameters
    ----------
    bundle
        Who scores.
    sampling
        Which events become examples.
    lateness_ms
        How late an event may be.
    """

    def __init__(self, bundle: Bundle, sampling: Sampling, lateness_ms: int) -> None:
        self._bundle = bundle.manifest.version
        self._features = bundle.manifest.features_version
        self._sampling = sampling
        self._lateness_ms = lateness_ms

    def lessons(
        self, batches: Sequence[RecordBatch], watermarks: Sequence[int], intake: Intake, scored: Scored
    ) -> list[Lessons]:
        """Return the records about each batch.

        Parameters
        ----------
        watermarks
            Of each batch's partition before the batch.
        intake, scored
            What was made of all batches together.
        """
        records = [record for batch in batches for record in batch.records]
        offsets = np.array([records[at].offset for at in intake.at], np.int64)
        types = intake.columns.type
        kept = self._sampling.keep(types[scored.rows], intake.columns.event_hash[scored.rows])
        sampled = np.flatnonzero(kept)
        told = np.sort(
            np.concatenate([scored.rows[types[scored.rows] == PURCHASE], np.flatnonzero(types == ERASE)])
        )
        ends = [0, *intake.ends]
        example_ends = np.searchsorted(scored.rows[sampled], ends).tolist()
        outcome_ends = np.searchsorted(told, ends).tolist()
        closes = np.array([records[at].offset for at in intake.closes], np.int64)
        close_ends = np.searchsorted(
            intake.closes, np.cumsum([0, *(len(batch.records) for batch in batches)])
        ).tolist()
        lessons = []
        for number, (batch, before) in enumerate(zip(batches, watermarks, strict=True)):
            header = Header(
                batch.start,
                batch.stop,
                intake.watermarks[number],
                tuple(closes[close_ends[number] : close_ends[number + 1]].tolist()),
                0,
                self._bundle,
                self._features,
            )
            mine = sampled[example_ends[number] : example_ends[number + 1]]
            own = told[outcome_ends[number] : outcome_ends[number + 1]]
            examples = self._examples(batch.partition, intake, scored, offsets, mine)
            happened = self._outcomes(intake, offsets, own, ends[number], before)
            lessons.append(
                Lessons(
                    list(encode_examples(header, examples, before)),
                    list(encode_outcomes(header, happened, before)),
                )
            )
        return lessons

    def idle(self, offset: int, watermark: int) -> Lessons:
        """Return the records that declare a partition idle.

        Parameters
        ----------
        offset
            Source offset of the next event.
        watermark
            How far event time is, told by the other partitions, epoch ms.
        """
        header = Header(offset, offset, watermark, (), 0, self._bundle, self._features)
        return Lessons(
            list(encode_examples(header, Examples.none(), watermark)),
            list(encode_outcomes(header, Outcomes.none(), watermark)),
        )

    def _examples(
        self,
        partition: int,
        intake: Intake,
        scored: Scored,
        offsets: NDArray[np.int64],
        at: NDArray[np.intp],
    ) -> Examples:
        """Return the scored events ``at`` these positions as examples."""
        columns, rows = intake.columns, scored.rows[at]
        picked = rows.tolist()
        kinds = columns.type[rows]
        whole = len(at) == len(scored.vectors)
        return Examples(
            np.full(len(at), partition, np.int32),
            offsets[rows],
            [columns.event_ids[row] for row in picked],
            [columns.customers[row] for row in picked],
            kinds,
            scored.as_of[at],
            self._sampling.weights(kinds),
            scored.segment[at],
            scored.logit[at],
            scored.vectors if whole else scored.vectors[at],
        )

    def _outcomes(
        self, intake: Intake, offsets: NDArray[np.int64], rows: NDArray[np.intp], first: int, before: int
    ) -> Outcomes:
        """Return the purchases and erasures in these ``rows`` of a batch that begins with row ``first``."""
        if not len(rows):
            return Outcomes.none()
        columns = intake.columns
        erased = columns.type[rows] == ERASE
        time = columns.time[rows]
        if erased.any():
            past = slice(first, int(rows[-1]) + 1)
            reached = np.where(columns.type[past] == ERASE, BEGINNING, columns.time[past] - self._lateness_ms)
            marks = np.maximum(np.maximum.accumulate(reached), before)
            time = np.where(erased, marks[rows - first], time)
        return Outcomes(
            np.where(erased, outcomes.ERASURE, outcomes.PURCHASE).astype(np.uint8),
            offsets[rows],
            time,
            [columns.customers[row] for row in rows.tolist()],
        )

"""The scorer: what happens to a batch of events, up to the broker's last acknowledgement."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from features.columns import ERASE
from features.store.customer_store import Loaded
from stream.kafka.batches import RecordBatch
from stream.kafka.records import arrival
from stream.learning.newest_advisor import NewestAdvisor
from stream.messages.dead_letter import dead_letter
from stream.ownership.job import Folded, Load, Turn
from stream.scoring.encoding import encode_scores, with_tombstones
from stream.scoring.engine import Engine, Scored, slots_of
from stream.scoring.intake import Intake, read_batches
from stream.scoring.metrics import ScorerMetrics
from stream.scoring.publisher import Output, Publisher
from stream.scoring.recommending import NewestRecommender
from stream.scoring.recorder import Recorder


@dataclass(slots=True)
class Scorer:
    """The `stream.ownership.job.Job` that scores events.

    Parameters
    ----------
    engine
        Folds and scores.
    publisher
        Writes scores and dead letters.
    metrics
        Counted once per batch.
    topic, partitions
        The events topic and its partition count.
    recorder
        Writes down what the learner needs; ``None`` where nothing is learned.
    newest
        Knows what has been learned; ``None`` where the network decides alone.
    recommending
        Knows what to recommend; ``None`` where scores are to carry nothing of it.
    clock
        Returns the wall clock, epoch ms; only ``scored_at`` comes from it.
    """

    engine: Engine
    publisher: Publisher
    metrics: ScorerMetrics
    topic: str
    partitions: int
    recorder: Recorder | None = None
    newest: NewestAdvisor | None = None
    recommending: NewestRecommender | None = None
    clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000

    async def run(self, turns: Sequence[Turn], load: Load) -> list[Folded]:
        """Score batches; what it returns is saved with the partitions' records.

        1. read: decode, check keys, judge against the watermarks
        2. load the customers' states, and their items where there are offers
        3. fold the events, score each, and add what to recommend
        4. produce scores, tombstones and dead letters, examples and outcomes, and wait for the acknowledgements
        """
        began = time.perf_counter()
        batches = [turn.batch for turn in turns]
        watermarks = [turn.watermark for turn in turns]
        intake = read_batches(batches, watermarks, self.engine, partitions=self.partitions)
        customers, slots = slots_of(intake.columns.customers)
        ends = _ends(slots, intake.ends)
        groups = [customers[start:end] for start, end in pairwise([0, *ends])]
        recommender = None if self.recommending is None else self.recommending.current
        loaded = await load(groups, items=recommender is not None)
        together = loaded[0].states if len(loaded) == 1 else np.concatenate([part.states for part in loaded])
        advisor = None if self.newest is None else self.newest.current
        scored = self.engine.score(intake.columns, customers, slots, together, advisor)
        erased = np.unique(slots[intake.columns.type == ERASE]).tolist()
        recommended = (
            None if recommender is None else recommender.recommend(scored, slots, _items(loaded, erased))
        )
        scores = encode_scores(
            self.engine.bundle, intake.columns, scored, self.clock(), recommended and recommended.each
        )
        outputs = self._outputs(batches, intake, scores, scored)
        if self.recorder is not None:
            lessons = self.recorder.lessons(batches, watermarks, intake, scored)
            outputs = [
                output._replace(**lesson._asdict()) for output, lesson in zip(outputs, lessons, strict=True)
            ]
        await self.publisher.publish(outputs)
        self.metrics.count(batches, intake, scored, time.perf_counter() - began)
        if recommended is not None:
            self.metrics.count_recommended(recommended)
        return [
            Folded(
                own,
                together[start:end],
                watermark,
                [customers[slot] for slot in erased if start <= slot < end],
            )
            for own, (start, end), watermark in zip(
                groups, pairwise([0, *ends]), intake.watermarks, strict=True
            )
        ]

    def _outputs(
        self, batches: Sequence[RecordBatch], intake: Intake, scores: list[tuple[str, bytes]], scored: Scored
    ) -> list[Output]:
        """Return what is to be written for each batch's partition."""
        records = with_tombstones(scores, intake.columns, scored)
        if len(batches) == 1:
            ends = [len(records)]
        else:
            rows = np.sort(np.append(scored.rows, np.flatnonzero(intake.columns.type == ERASE)))
            ends = np.searchsorted(rows, intake.ends).tolist()
        rejected = iter(intake.rejections)
        rejection = next(rejected, None)
        outputs, first = [], 0
        for batch, (start, end) in zip(batches, pairwise([0, *ends]), strict=True):
            letters = []
            while rejection is not None and rejection.index < first + len(batch.records):
                record = batch.records[rejection.index - first]
                letters.append(
                    dead_letter(record, self.topic, batch.partition, rejection, arrived_at=arrival(record))
                )
                rejection = next(rejected, None)
            first += len(batch.records)
            outputs.append(Output(batch.partition, records[start:end], letters))
        return outputs


def _items(loaded: Sequence[Loaded], erased: Sequence[int]) -> list[bytes | None]:
    """Return the items that the customers had, none for those erased: theirs are from before the erasure."""
    items = [one for part in loaded for one in part.items]
    for slot in erased:
        items[slot] = None
    return items


def _ends(slots: NDArray[np.int64], row_ends: Sequence[int]) -> list[int]:
    """Return for each batch how many customers there are up to its end: each has a partition of its own."""
    ends, known = [], 0
    for start, end in pairwise([0, *row_ends]):
        if end > start:
            known = max(known, int(slots[start:end].max()) + 1)
        ends.append(known)
    return ends

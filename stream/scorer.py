"""The scorer: what happens to a batch of events, up to the broker's last acknowledgement."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from stream.batches import RecordBatch
from stream.dead_letters import dead_letter
from stream.engine import Engine, slots_of
from stream.intake import read_batch
from stream.job import Claim, Folded
from stream.metrics import ScorerMetrics
from stream.publisher import Publisher
from stream.scores import encode_scores, with_tombstones


@dataclass(slots=True)
class Scorer:
    """The `stream.job.Job` that scores events.

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
    clock
        Returns the wall clock, epoch ms; only ``scored_at`` comes from it.
    """

    engine: Engine
    publisher: Publisher
    metrics: ScorerMetrics
    topic: str
    partitions: int
    clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000

    async def run(self, batch: RecordBatch, claim: Claim) -> Folded:
        """Score a batch; what it returns is saved with the partition's record.

        1. read: decode, check keys, judge against the watermark
        2. load the customers' states
        3. fold the events and score each
        4. produce scores, tombstones and dead letters, and wait for the acknowledgements
        """
        began = time.perf_counter()
        intake = read_batch(batch, self.engine, partitions=self.partitions, watermark=claim.watermark)
        customers, slots = slots_of(intake.columns.customers)
        states = await claim.load(customers)
        scored = self.engine.score(intake.columns, customers, slots, states)
        scores = encode_scores(self.engine.bundle, intake.columns, scored, self.clock())
        letters = [
            dead_letter(batch.records[r.index], self.topic, batch.partition, r) for r in intake.rejections
        ]
        await self.publisher.publish(
            batch.partition, with_tombstones(scores, intake.columns, scored), letters
        )
        self.metrics.count(batch, intake, scored, time.perf_counter() - began)
        return Folded(customers, states, intake.watermark)

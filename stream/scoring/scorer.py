"""The scorer: what happens to the batches of a round, up to the broker's last acknowledgement."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.events import LENIENT, Decoding, Reason
from features.fold import NO_ASIDES
from features.state import joined
from features.store.customer_store import NO_LINKS, LinkChanges, Loaded
from stream.decisions.rulebook import NO_ACTION
from stream.formats.contract import Format
from stream.kafka.batches import RecordBatch
from stream.kafka.keyed import KeyedRecords
from stream.kafka.signatures import HandOverKeys
from stream.kafka.topics import EventsTopic
from stream.learning.newest_advisor import NewestAdvisor
from stream.messages.dead_letter import DeadLetter, Erasure, dead_letter
from stream.ownership.job import StateChanges
from stream.ownership.log_check import partitions_changed
from stream.ownership.promised import HandOverRecord, pack_outbox
from stream.scoring.batch import Batch, RecordStatus
from stream.scoring.deciding import Concerned, Decisions, decisions
from stream.scoring.encoding import encode_scores, with_tombstones
from stream.scoring.engine import Engine, Scored
from stream.scoring.handing_over import HandingOver
from stream.scoring.intake import read_batches
from stream.scoring.keeping_promises import KeepingPromises
from stream.scoring.linking import Linked, linked
from stream.scoring.metrics import ScorerMetrics
from stream.scoring.pricing import priced, tables_after
from stream.scoring.publisher import Output, Publishes
from stream.scoring.recommending import NewestRecommender, Recommended, Recommender
from stream.scoring.recorder import LearnerRecords, Recorder

logger = logging.getLogger(__name__)


class Models(NamedTuple):
    """What of a scorer belongs to one bundle, and changes with it; see `Scorer` for the parts."""

    engine: Engine
    recorder: Recorder | None = None
    newest: NewestAdvisor | None = None
    recommending: NewestRecommender | None = None


@dataclass(frozen=True, slots=True)
class ScorerBatch:
    """The batches of a round as the scorer has read them: a `stream.ownership.job.JobBatch`.

    Attributes
    ----------
    batch
        The records.
    models
        What the whole round is scored with, whatever takes its place in between.
    recommender
        Adds recommendations to the scores, ``None`` where they are to carry none.
    began
        When the round began, in seconds of `time.perf_counter`.
    """

    batch: Batch
    models: Models
    recommender: Recommender | None
    began: float

    @property
    def customers(self) -> list[list[str]]:
        """See `stream.ownership.job.JobBatch.customers`."""
        return [self.batch.customers[own] for own in self.batch.customer_slices]

    @property
    def with_items(self) -> bool:
        """See `stream.ownership.job.JobBatch.with_items`."""
        return self.recommender is not None

    @property
    def reached(self) -> list[int]:
        """See `stream.ownership.job.JobBatch.reached`."""
        return list(self.batch.watermarks)


@dataclass(frozen=True, slots=True)
class ScorerResult:
    """What the scorer made of a round: a `stream.ownership.job.JobResult`.

    Attributes
    ----------
    read
        What it was made of.
    batch
        The records, once links were followed.
    scored, recommended
        The scores, and what they recommend.
    outputs
        What is to be written for each partition batch.
    changes
        What is to be saved for each partition batch.
    decided
        What was decided on each.
    identities
        What became of what said who is who (`stream.scoring.linking.OUTCOMES`).
    prices
        What became of prices (`features.price_table.PRICE_OUTCOMES`).
    """

    read: ScorerBatch
    batch: Batch
    scored: Scored
    recommended: Recommended | None
    outputs: Sequence[Output]
    changes: Sequence[StateChanges]
    decided: Sequence[Decisions]
    identities: Counter[str]
    prices: Counter[str]

    @property
    def described(self) -> Mapping[str, str | int]:
        """See `stream.ownership.job.JobResult.described`."""
        return {
            "intent.bundle": self.read.models.engine.bundle.manifest.version,
            "intent.scores": sum(len(output.scores) for output in self.outputs),
            "intent.letters": sum(len(output.letters) for output in self.outputs),
        }


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
        Counted once per round.
    topic, partitions
        The events topic and its partition count.
    recorder
        Writes down what the learner needs; ``None`` where nothing is learned.
    newest
        Knows what has been learned; ``None`` where the network decides alone.
    recommending
        Knows what to recommend; ``None`` where scores are to carry nothing of it.
    decoding
        How to take events that are not quite of the schema.
    form
        The form of the events, ``None`` for our own.
    clock
        Returns the wall clock, epoch ms; only ``scored_at`` and ``stale`` come from it.
    recount
        Asks how many partitions the topic has at this moment; ``None`` where nobody knows.
    max_age_ms
        Scores of events that reached the broker longer ago are marked as stale, and carry no action; ``None``: none.
    acting
        Whether actions are decided and published.
    hand_over_keys
        Know what workers have handed over; ``None`` where signatures are not asked for.
    ask_events
        Asks what the events topic takes at this moment; ``None`` where nobody knows.
    """

    engine: Engine
    publisher: Publishes
    metrics: ScorerMetrics
    topic: str
    partitions: int
    recorder: Recorder | None = None
    newest: NewestAdvisor | None = None
    recommending: NewestRecommender | None = None
    decoding: Decoding = LENIENT
    form: Format | None = None
    clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    max_age_ms: int | None = None
    recount: Callable[[], Awaitable[int]] | None = None
    acting: bool = True
    hand_over_keys: HandOverKeys | None = None
    ask_events: Callable[[], Awaitable[EventsTopic]] | None = None

    @property
    def models(self) -> Models:
        """What the next round is scored with."""
        return Models(self.engine, self.recorder, self.newest, self.recommending)

    def use(self, models: Models) -> None:
        """Score with another bundle from the next round on."""
        self.engine, self.recorder, self.newest, self.recommending = models
        self.metrics.use_model(models.engine.bundle.manifest.version)

    def read(self, batches: Sequence[RecordBatch], watermarks: Sequence[int]) -> ScorerBatch:
        """Decode, check keys, and judge against the watermarks."""
        began = time.perf_counter()
        batch = read_batches(
            batches,
            watermarks,
            self.engine,
            partitions=self.partitions,
            decoding=self.decoding,
            form=self.form,
            hand_over_keys=self.hand_over_keys,
        )
        recommender = None if self.recommending is None else self.recommending.current
        return ScorerBatch(batch, self.models, recommender, began)

    def score(self, read: ScorerBatch, loaded: Sequence[Loaded]) -> ScorerResult:
        """Fold and score events, add what to recommend, decide, and encode all that is to be written and saved."""
        batch, models, recommender = read.batch, read.models, read.recommender
        engine = models.engine
        states = joined(
            [
                part.states[: own.stop - own.start] if part.due else part.states
                for part, own in zip(loaded, batch.customer_slices, strict=True)
            ]
        )
        advisor = None if models.newest is None else models.newest.current
        concerned = Concerned.of(batch, states, loaded)
        found = linked(batch, loaded, [part.taken for part in loaded], engine.lateness_ms, engine.ttl_ms)
        prices = priced(batch, loaded, engine.bundle.manifest.currency, self.partitions, engine.lateness_ms)
        asides, assigning = NO_ASIDES, None
        if found is not None:
            batch, asides, assigning = found.batch, found.asides, found.assigning
        scored = engine.score(
            batch.columns, batch.customers, batch.slots, states, advisor, asides, assigning=assigning
        )
        erased = np.unique(batch.slots[batch.status[batch.rows] == RecordStatus.ERASE])
        recommended, outputs = None, [Output(part.partition) for part in batch.parts]
        if not all(part.silent for part in batch.parts):
            now = self.clock()
            stale = self._stale(batch, scored, now)
            if stale is not None:
                scored = scored._replace(action=np.where(stale, NO_ACTION, scored.action))
            if recommender is not None:
                recommended = recommender.recommend(scored, batch.slots, _items(loaded, erased.tolist()))
            each = None if recommended is None else recommended.each
            merged = None if found is None else found.merged(scored.rows)
            scores = encode_scores(engine.bundle, batch.columns, scored, now, each, stale, merged)
            outputs = self._outputs(batch, scores, scored, found, models.recorder)
        names = {} if recommender is None else recommender.item_names
        decided = list(
            decisions(
                engine,
                batch,
                scored,
                states,
                concerned,
                asides,
                acting=self.acting,
                item_names=names,
                prices=tables_after(prices, loaded),
            )
        )
        changes = [
            StateChanges(
                one.customers,
                one.states,
                watermark,
                [batch.customers[slot] for slot in erased.tolist() if own.start <= slot < own.stop],
                one.timers,
                *self._promised(found, at, one, prices[at].handed),
                prices[at].changed,
            )
            for at, (one, own, watermark) in enumerate(
                zip(decided, batch.customer_slices, batch.watermarks, strict=True)
            )
        ]
        return ScorerResult(
            read,
            batch,
            scored,
            recommended,
            outputs,
            changes,
            decided,
            Counter() if found is None else found.counts,
            sum((one.changed.counts for one in prices if one.changed is not None), Counter()),
        )

    def _promised(
        self, found: Linked | None, at: int, decided: Decisions, told: Sequence[HandOverRecord]
    ) -> tuple[bytes, LinkChanges]:
        """Return what a save of a partition batch promises, and which links it changes; ``told`` are copies of prices.

        Silent batches hand over, too: nobody knows whether a login among them was taken before. Whoever has what is
        handed over knows it by its place, and whoever has a price takes no older one.
        """
        if found is None:
            return pack_outbox(decided.actions, told), NO_LINKS
        handed = [*found.handed(at, self.partitions), *told]
        return pack_outbox(decided.actions, handed), found.changes(at)

    async def publish(self, result: ScorerResult) -> None:
        """Write scores, tombstones, dead letters, examples and outcomes; count them once they are acknowledged.

        Raises
        ------
        PartitionsChanged
            Events that seem to have come on a wrong partition came on the right one of a topic that has grown.
        """
        if any(rejection.reason is Reason.WRONG_PARTITION for rejection in result.read.batch.rejections):
            await self._check_partitions()
        await self.publisher.publish(result.outputs)
        read = result.read
        self.metrics.count(result.batch, result.scored, time.perf_counter() - read.began)
        self.metrics.count_identities(result.identities)
        self.metrics.count_prices(result.prices)
        self.metrics.count_latency(self._latencies(read.batch))
        if result.recommended is not None:
            self.metrics.count_recommended(result.recommended)
        for part, decided in zip(read.batch.parts, result.decided, strict=True):
            if decided.counts is not None and not part.silent:
                self.metrics.count_decided(decided.counts)

    async def act(self, promised: Sequence[tuple[int, bytes]]) -> None:
        """Write what is handed over and the actions that saves have promised."""
        handing_over = HandingOver(self.publisher, self.topic, self.clock, self.ask_events)
        await KeepingPromises(self.publisher, self.metrics, handing_over, self.acting).keep(promised)

    async def _check_partitions(self) -> None:
        """Ask for the partition count again before a producer is blamed for another one."""
        if self.recount is not None and (now := await self.recount()) != self.partitions:
            raise partitions_changed(self.topic, now, self.partitions)

    def _stale(self, batch: Batch, scored: Scored, now: int) -> NDArray[np.bool_] | None:
        """Return which scores come too late for an action; ``None`` where that is not asked."""
        if self.max_age_ms is None:
            return None
        return now - batch.appended[batch.rows[scored.rows]] > self.max_age_ms

    def _latencies(self, batch: Batch) -> NDArray[np.float64]:
        """Return the seconds since the records were appended to the log; clocks that differ make no negative ones."""
        return np.maximum(self.clock() - batch.appended, 0) / 1000

    def _outputs(
        self,
        batch: Batch,
        scores: KeyedRecords,
        scored: Scored,
        found: Linked | None,
        recorder: Recorder | None,
    ) -> list[Output]:
        """Return what is to be written for each partition batch: nothing for a silent one."""
        published = batch.status == RecordStatus.ERASE
        erased = published.nonzero()[0]
        published[batch.rows[scored.rows]] = True
        records = with_tombstones(
            scores, batch.columns, scored, batch.status[batch.rows] == RecordStatus.ERASE
        )
        letters = self._letters(batch)
        erasures = [Erasure(batch.records[at].key or b"", int(batch.arrival[at])) for at in erased.tolist()]
        rejected = np.array([rejection.index for rejection in batch.rejections], np.intp)
        learner = (
            [LearnerRecords()] * len(batch.parts)
            if recorder is None
            else recorder.records(batch, scored, found)
        )
        return [
            Output(part.partition)
            if part.silent
            else Output(part.partition, records[own], letters[refused], *for_learner, erasures[gone])
            for part, own, refused, gone, for_learner in zip(
                batch.parts,
                batch.split(published.nonzero()[0]),
                batch.split(rejected),
                batch.split(erased),
                learner,
                strict=True,
            )
        ]

    def _letters(self, batch: Batch) -> list[DeadLetter]:
        return [
            dead_letter(
                batch.records[at],
                self.topic,
                int(batch.partition[at]),
                rejection,
                arrived_at=int(batch.arrival[at]),
            )
            for at, rejection in ((rejection.index, rejection) for rejection in batch.rejections)
        ]


def _items(loaded: Sequence[Loaded], erased: Sequence[int]) -> list[bytes | None]:
    """Return the items that the customers had, none for those erased: theirs are from before the erasure."""
    items = list(chain.from_iterable(part.items for part in loaded))
    for slot in erased:
        items[slot] = None
    return items

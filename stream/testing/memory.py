"""A worker without servers: its scorer, its rounds and its decisions, between a log and a store in memory.

All that a worker does with events is done by the same code, so scores, actions and letters are those of the stream.
What belongs to the servers is not there: partitions (there is one), crashes, the wall clock, what was learned online,
offers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from features.bundle import Bundle
from features.identity import HAND_OVER_BYTES
from features.store.memory_store import MemoryStore
from features.store.partition_record import PartitionRecord
from stream.formats.contract import NATIVE
from stream.formats.registry import format_of
from stream.kafka.batches import RecordBatch
from stream.logs.windows import Windows
from stream.messages.action import Action
from stream.messages.dead_letter import DeadLetter
from stream.messages.score import Score
from stream.ownership.cache import StateCache
from stream.ownership.outbox import Outbox
from stream.ownership.partition_batch import PartitionBatch
from stream.ownership.promised import HandOverRecord
from stream.ownership.rounds import Rounds
from stream.ownership.timers import Timers
from stream.scoring.engine import engine_of
from stream.scoring.metrics import ScorerMetrics
from stream.scoring.publisher import Output
from stream.scoring.scorer import Scorer
from stream.setting_values import NATIVE_NAME
from stream.settings import Settings
from stream.testing.emitter import MemoryEmitter
from stream.testing.events import AnyLog, SentRecord, records_of, rows_of
from stream.testing.results import ByCustomer, Messages, Results

_PARTITION: Final = 0
# Records of a round, as a worker has them.
_BATCH: Final = 4_000
_CACHED: Final = 10_000


@dataclass(slots=True)
class _Record:
    """A record of the events topic; see `stream.kafka.batches.Record`."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class _Topics(Messages):
    """What a worker writes, in place of its publisher."""

    events_bytes = HAND_OVER_BYTES

    def __init__(self) -> None:
        super().__init__()
        self.handed: list[tuple[bytes, bytes]] = []

    def fits(self, record: HandOverRecord) -> bool:
        """See `stream.scoring.publisher.Publisher.fits`."""
        return True

    async def publish(self, outputs: Sequence[Output]) -> None:
        """Take what came of batches, as a broker would."""
        for output in outputs:
            for customer, value in output.scores:
                self.take_score(customer, value)
            for customer, value in output.actions:
                self.take_action(customer, value)
            for erasure in output.erasures:
                self.take_erasure(erasure.key)
            self.letters += output.letters
            self.handed += [(key.encode(), value) for _, key, value in output.handed]


class MemoryStack:
    """Scores events in this process, as a worker does.

    Parameters
    ----------
    settings
        Name the bundle, and how to score; nothing in them that concerns Kafka or Redis counts.

    Attributes
    ----------
    emitter
        Takes events of the shop's own code, as `stream.EventEmitter` does.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.emitter = MemoryEmitter(settings.events_topic, self._send)
        self._topics = _Topics()
        self._waiting: list[SentRecord] = []
        self._windows = Windows(1, settings.lateness_ms)
        self._store = MemoryStore()
        self._now = 0
        engine = engine_of(settings, Bundle.load(settings.bundle, key=settings.bundle_key))
        self._scorer = Scorer(
            engine,
            self._topics,
            ScorerMetrics(engine.bundle.manifest.version),
            settings.events_topic,
            1,
            decoding=settings.decoding,
            form=format_of(settings.format),
            clock=lambda: self._now,
            acting=bool(settings.actions_topic),
        )
        self._record = PartitionRecord.beginning(0, 1)
        self._store.claim(_PARTITION, None, self._record)
        self._cache, self._timers, self._outbox = StateCache(_CACHED), Timers(), Outbox()
        self._headers = [] if settings.format == NATIVE_NAME else [NATIVE]

    def replay(self, log: AnyLog) -> Results:
        """Score a log, and return all that has come out so far.

        Parameters
        ----------
        log
            The path of a log (Parquet, CSV or JSON lines), a table in the log's schema, or a list of events: objects,
            dictionaries, or JSON as a shop sends it.
        """
        self._waiting += records_of(log)
        self.finish()
        return self.results

    @property
    def results(self) -> Results:
        """All that has come out so far."""
        return Results(self.scores, self.actions, self.letters)

    @property
    def scores(self) -> ByCustomer[Score]:
        """The scores by customer, oldest first."""
        return ByCustomer(lambda: self._finished().scores)

    @property
    def actions(self) -> ByCustomer[Action]:
        """The actions by customer, oldest first."""
        return ByCustomer(lambda: self._finished().by_customer())

    @property
    def letters(self) -> list[DeadLetter]:
        """What was refused."""
        return list(self._finished().letters)

    def finish(self) -> None:
        """Score all that was sent."""
        if self._waiting:
            asyncio.run(self._run())

    def _send(self, record: SentRecord) -> int:
        self._waiting.append(record)
        return self._record.next_offset + len(self._waiting) - 1

    def _finished(self) -> _Topics:
        self.finish()
        return self._topics

    async def _run(self) -> None:
        with ThreadPoolExecutor(1) as executor:
            rounds = Rounds(self._scorer, self._store, executor, round_max=_BATCH, at_once=1)
            while self._waiting:
                sent, self._waiting = self._waiting, []
                for start, stop, _ in self._windows.of(rows_of(sent)):
                    await self._score(rounds, sent[start:stop])

    async def _score(self, rounds: Rounds, sent: Sequence[SentRecord]) -> None:
        """Score records, and then what is handed over because of them."""
        left = list(sent)
        while left:
            taken, left = left[:_BATCH], left[_BATCH:]
            left += await self._take(rounds, taken)
            while self._timers.reached_by(self._record.watermark):  # more than one round takes
                left += await self._take(rounds, [])

    async def _take(self, rounds: Rounds, sent: Sequence[SentRecord]) -> list[SentRecord]:
        """Have a batch scored and saved, publish what the save has promised, and return what it hands over."""
        start = self._record.next_offset
        records = [
            _Record(start + at, one.arrived_at, one.key, one.value, self._headers)
            for at, one in enumerate(sent)
        ]
        if sent:
            self._now = max(self._now, sent[-1].arrived_at)
        batch = RecordBatch(_PARTITION, records, start, start + len(records))
        part = PartitionBatch(batch, self._record, self._cache, self._timers, self._outbox)
        await rounds.take(part)
        assert part.intended is not None  # it was saved
        self._record = part.intended
        if self._outbox.content:
            await rounds.act(_PARTITION, self._outbox.content)
        handed, self._topics.handed = self._topics.handed, []
        return [SentRecord(key, value, self._now) for key, value in handed]

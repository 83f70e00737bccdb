"""Schedules by their seeds, and what must be true after each of them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from features import state
from features.bundle import Bundle
from features.state import DAY_MS
from features.store.customer_store import NO_WATERMARK, Loaded
from stream.kafka.batches import Record, RecordBatch
from stream.scoring.engine import Engine
from stream.scoring.metrics import ScorerMetrics
from stream.scoring.recorder import Recorder
from stream.scoring.sampling import Sampling
from stream.scoring.scorer import Scorer
from tests.simulation.kafka import Broker
from tests.simulation.shop import PARTITIONS, emitted
from tests.simulation.world import Faults, World

_LATENESS_MS = 15 * 60_000
_LOGS = 64  # distinct logs; what must come of each is worked out once
_RECORDS = 28


class Truth(NamedTuple):
    """What must be stored and published of a log, one entry per partition or set for all."""

    states: list[dict[str, bytes]]
    scores: set[bytes]
    erased: set[str]
    letters: set[tuple[int, int]]


class Schedules:
    """Runs schedules with one bundle.

    Parameters
    ----------
    faults
        How often things go wrong.
    """

    def __init__(self, bundle: Bundle, faults: Faults | None = None) -> None:
        self._faults = faults
        self._bundle = bundle
        self._metrics = ScorerMetrics("simulated")
        self._engine = Engine(bundle, lateness_ms=_LATENESS_MS, ttl_ms=400 * DAY_MS, holdout=0.1)
        self._engine.warm_up()
        self.truth = lru_cache(_LOGS)(lambda log: self._truth(emitted(log, _RECORDS)))

    def run(self, seed: int) -> list[str]:
        """Run one schedule, and return its story.

        Raises
        ------
        AssertionError
            Something is stored or published that must not be, or is missing; tells the seed and what happened.
        """
        log = seed % _LOGS
        broker = Broker(
            emitted(log, _RECORDS),
            examples=[[] for _ in range(PARTITIONS)],
            outcomes=[[] for _ in range(PARTITIONS)],
        )
        world = World(seed, broker, self.scorer, self._faults)
        try:
            world.run()
            self._check(world, self.truth(log))
            assert not world.unhandled, f"errors that nobody awaited: {world.unhandled}"
        except BaseException as error:
            story = "\n".join(world.story)
            raise AssertionError(f"schedule {seed}: {error!r}\n{story}") from error
        return world.story

    def scorer(self, publisher: Any) -> Scorer:
        """Return the real scorer."""
        recorder = Recorder(self._bundle, Sampling(self._bundle.manifest.example_types, {}), _LATENESS_MS)
        return Scorer(
            self._engine,
            publisher,
            self._metrics,
            "events",
            PARTITIONS,
            recorder=recorder,
            clock=lambda: 0,
        )

    def _check(self, world: World, first: Truth) -> None:
        truth = first if world.replaced is None else self._truth(world.broker.events)
        changed = world.replaced is not None
        for partition, expected in enumerate(truth.states):
            assert world.store.states(partition) == expected, f"other states in partition {partition}"
        scores, tombstones = _published(world.broker.scores)
        for missing in truth.scores - scores:
            raise AssertionError(f"not published: {missing!r}")
        letters = {(letter.partition, letter.offset) for letter in world.broker.letters}
        assert truth.erased <= tombstones, "tombstones are missing"
        assert truth.letters <= letters, "letters are missing"
        if changed:
            return  # until it is noticed, events of one log are scored with states of another
        for wrong in scores - truth.scores:
            raise AssertionError(f"must not be published: {wrong!r}")
        assert tombstones == truth.erased, "other tombstones"
        assert letters == truth.letters, "other letters"

    def _truth(self, log: list[list[Record]]) -> Truth:
        """Score every partition's log in one go, without any fault."""
        truth = Truth([], set(), set(), set())
        for partition, records in enumerate(log):
            scorer = self.scorer(None)
            stop = records[-1].offset + 1 if records else 0
            read = scorer.read([RecordBatch(partition, records, 0, stop)], [NO_WATERMARK])
            [customers] = read.customers
            result = scorer.score(read, [Loaded(state.empty(len(customers)), ())])
            [changes], [output] = result.changes, result.outputs
            kept = zip(
                changes.customers, state.to_bytes(changes.states), changes.states["events"], strict=True
            )
            truth.states.append({customer: raw for customer, raw, events in kept if events})
            scores, erased = _published(output.scores)
            truth.scores.update(scores)
            truth.erased.update(erased)
            truth.letters.update((letter.partition, letter.offset) for letter in output.letters)
        return truth


def _published(records: Iterable[tuple[str, bytes | None]]) -> tuple[set[bytes], set[str]]:
    """Return distinct scores, and the customers with a tombstone."""
    scores, tombstones = set(), set()
    for customer, value in records:
        if value is None:
            tombstones.add(customer)
        else:
            scores.add(value)
    return scores, tombstones

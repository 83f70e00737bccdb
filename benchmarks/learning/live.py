"""What the learner costs beside live workers: a small record per round and partition, and labels as late as in life.

Both topics are made up while they are read, so that nothing but the learner is in memory. Time is event time: every
`STEP_MS` the learner takes what is new, as far as it wants to read, and only that is measured. The same events come
once more in full batches; what is learned has to be the same to the bit.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import cramjam
import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.workload import PARTITIONS, write_bundle
from features.bundle import Bundle
from features.vector import WIDTH, schema_hash
from stream.kafka.batches import RecordBatch
from stream.learning.learning import EXAMPLES, OUTCOMES, Learning
from stream.learning.model.settings import LearningSettings
from stream.learning.records.examples import Examples, encode_examples, layout
from stream.learning.records.header import Header, pack
from stream.learning.records.outcomes import ERASURE, PURCHASE, Outcomes, encode_outcomes
from stream.learning.records.texts import lengths_of, texts_to_bytes

RATE: Final = 2_000  # events per second
ROUND_MS: Final = 20
FULL_MS: Final = 2_000
STEP_MS: Final = 100  # as the learner paces itself at the end of a log

_START: Final = 1_736_121_600_000
_FETCH_MS: Final = 20_000  # of a partition: about 1 MiB of examples
_POOL: Final = 100_003
_CUSTOMERS: Final = 4_001  # of each partition
_PURCHASES: Final = 40  # one of so many events
_ERASURES: Final = 20_011

Step = Callable[[str], AbstractContextManager[object]]


@dataclass(slots=True)
class Record:
    """A record as the learner needs it."""

    offset: int
    value: bytes
    timestamp: int = 0
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


class Run(NamedTuple):
    """What one way of writing cost.

    Attributes
    ----------
    learned
        Examples.
    share
        CPU seconds per second of event time, once labels come.
    filling
        The same before: outcomes are read, and examples begin to wait.
    waiting
        Examples in memory, at most.
    example_bytes
        Memory that the process gained, by ``waiting``.
    weights
        All that was learned.
    """

    learned: int
    share: float
    filling: float
    waiting: int
    example_bytes: float
    weights: bytes


class Events:
    """Made-up events, all columns functions of their number; partitions take turns.

    Parameters
    ----------
    rate
        Events per second.
    rounds, round_ms
        How many rounds the workers write, and how much event time each takes; then a record closes each partition.
    lateness_ms
        By how much an event is late at most.
    """

    def __init__(self, bundle: Bundle, rate: int, rounds: int, round_ms: int, lateness_ms: int) -> None:
        chance = np.random.default_rng(1)
        self.rounds = rounds
        self.round_ms = round_ms
        self._rate = rate
        self._lateness_ms = lateness_ms
        self._bundle = bundle.manifest.version
        self._features = schema_hash()
        self._vectors = chance.gamma(0.6, 20.0, size=(_POOL, WIDTH)).astype(np.float32)
        self._logit = chance.normal(-2.0, 1.0, _POOL)
        late = chance.exponential(20_000, _POOL) * (chance.random(_POOL) < 0.2)
        self._late = np.minimum(late, lateness_ms - FULL_MS).astype(np.int64)

    def fetch(self, topic: str, partition: int, first: int, now: int) -> RecordBatch | None:
        """Return what one fetch brings from a round on: all that is new at ``now``, about 1 MiB at most."""
        last = min(now // self.round_ms, first + max(_FETCH_MS // self.round_ms, 1), self.rounds)
        values = self._records(topic, partition, np.arange(first, last + 1)) if last > first else []
        if now > self.rounds * self.round_ms and last == self.rounds >= first:
            values.append(self._close(topic, partition))
        records = [Record(at, value) for at, value in enumerate(values, first)]
        return RecordBatch(partition, records, first, first + len(records)) if records else None

    def _offsets(self, partition: int, rounds: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the source offsets at which rounds begin."""
        return np.maximum(-(-(rounds * self.round_ms * self._rate // 1000 - partition) // PARTITIONS), 0)

    def _header(self, start: int, stop: int, at_ms: int, rows: int, closes: tuple[int, ...] = ()) -> Header:
        return Header(
            start, stop, _START + at_ms - self._lateness_ms, closes, rows, self._bundle, self._features
        )

    def _records(self, topic: str, partition: int, rounds: NDArray[np.int64]) -> list[bytes]:
        """Return the records of all rounds but the last, which only ends them."""
        begins = self._offsets(partition, rounds)
        offset = np.arange(begins[0], begins[-1])
        number = offset * PARTITIONS + partition
        row = number % _POOL
        time = _START + number * 1000 // self._rate - self._late[row]
        bought, erased = number * 13 % _PURCHASES == 0, number % _ERASURES == 0
        some = np.flatnonzero((bought | erased) == (topic == OUTCOMES))
        cuts = np.searchsorted(offset[some], begins)
        ends = (rounds * self.round_ms).tolist()[1:]
        heads = [
            self._header(start, stop, end, high - low)
            for (start, stop), (low, high), end in zip(
                pairwise(begins.tolist()), pairwise(cuts.tolist()), ends, strict=True
            )
        ]
        customer = [f"customer-{partition}-{one}" for one in (number[some] * 31 // 7 % _CUSTOMERS).tolist()]
        if topic == OUTCOMES:
            # As of an erasure the watermark is that of the last event before it, whatever the rounds are.
            told = np.where(
                bought[some], time[some], _START + number[some] * 1000 // self._rate - self._lateness_ms
            )
            kind = np.where(bought[some], PURCHASE, ERASURE).astype(np.uint8)
            outcomes = Outcomes(kind, offset[some], told, customer)
            return [
                next(encode_outcomes(head, outcomes[low:high], head.watermark))
                for head, (low, high) in zip(heads, pairwise(cuts.tolist()), strict=True)
            ]
        body = np.zeros(len(some), layout(1))
        for name, column in (
            ("offset", offset[some]),
            ("as_of", time[some]),
            ("logit", self._logit[row[some]]),
        ):
            body[name][:, 0] = column
        body["vector"][:, 0] = self._vectors[row[some]]
        body["weight"], body["segment"][:, 0] = 1.0, row[some] % 4
        ids = [f"0b8a4d0e-5e4a-4c60-8c3e-{one:012d}" for one in number[some].tolist()]
        return [
            pack(b"PIex", head, _compressed(body[low:high], [*ids[low:high], *customer[low:high]]))
            for head, (low, high) in zip(heads, pairwise(cuts.tolist()), strict=True)
        ]

    def _close(self, topic: str, partition: int) -> bytes:
        at = int(self._offsets(partition, np.array([self.rounds]))[0])
        header = self._header(at, at + 1, self.rounds * self.round_ms, 0, (at,))
        if topic == OUTCOMES:
            return next(encode_outcomes(header, Outcomes.none(), header.watermark))
        return next(encode_examples(header, Examples.none(), header.watermark))


def _compressed(body: NDArray[np.void], texts: list[str]) -> bytes:
    """Return the body of a record, as `encode_examples` makes it, in a fifth of the time."""
    columns = b"".join(body[name].tobytes() for name in body.dtype.names or ())
    return bytes(cramjam.lz4.compress_block(columns + texts_to_bytes(texts, lengths_of(texts))))


def live_figures(step: Step, rate: int, learned: float, horizon: float, lateness: float) -> dict[str, Any]:
    """Measure the learner beside live workers, and beside a replay in full batches.

    Parameters
    ----------
    rate
        Events per second.
    learned, horizon, lateness
        Minutes of event time: those that are learned come after the other two.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_bundle(Path(folder))
        bundle = Bundle.load(Path(folder))
    bundle.manifest = msgspec.structs.replace(bundle.manifest, horizon_seconds=horizon * 60)
    with step(f"Learning {learned:g} minutes of {rate:,} events a second, in small records"):
        small = play(bundle, rate, learned, lateness, ROUND_MS)
    with step("The same in full batches"):
        full = play(bundle, rate, learned, lateness, FULL_MS)
    return {
        "rate": rate,
        "minutes": learned,
        "horizon_minutes": horizon,
        "lateness_minutes": lateness,
        "round_ms": ROUND_MS,
        "examples": small.learned,
        "core_share": small.share,
        "core_share_filling": small.filling,
        "core_share_full_batches": full.share,
        "waiting": small.waiting,
        "bytes_per_waiting_example": small.example_bytes,
        "equal_to_the_bit": small.weights == full.weights,
    }


def play(bundle: Bundle, rate: int, learned: float, lateness: float, round_ms: int) -> Run:
    """Learn from workers whose rounds take so long; after horizon and lateness for so many minutes."""
    lateness_ms = round(lateness * 60_000)
    delay_ms = round(bundle.manifest.horizon_seconds * 1000) + lateness_ms
    end_ms = delay_ms + round(learned * 60_000)
    events = Events(bundle, rate, end_ms // round_ms, round_ms, lateness_ms)
    how = LearningSettings(lateness_seconds=lateness_ms / 1000)
    learning = Learning.begin(bundle, how, PARTITIONS)
    gc.collect()
    resident, spent, waiting, most = _resident(), [0.0, 0.0], 0, 0
    for now in range(STEP_MS, end_ms + 1, STEP_MS):
        for topic in (OUTCOMES, EXAMPLES):
            spent[now > delay_ms] += _step(events, learning, topic, now)[0]
        waiting = max(waiting, learning.status.waiting)
        if now % 60_000 == 0:
            most = max(most, _resident() - resident)
    while any(_step(events, learning, topic, end_ms + 1)[1] for topic in (OUTCOMES, EXAMPLES)):
        pass
    arrays = learning.online.snapshot().arrays
    return Run(
        learning.status.examples,
        spent[1] / (learned * 60),
        spent[0] / (delay_ms / 1000),
        waiting,
        most / max(waiting, 1),
        b"".join(arrays[name].tobytes() for name in sorted(arrays)),
    )


def _step(events: Events, learning: Learning, topic: str, now: int) -> tuple[float, bool]:
    """Take what is wanted and there; return the CPU seconds, and whether there was something."""
    began = time.process_time()
    wanted = [
        (partition, max(learning.next((t, partition)), 0)) for t, partition in learning.wanted() if t == topic
    ]
    asked = time.process_time() - began
    came = [
        (topic, batch)
        for partition, at in sorted(wanted)
        if (batch := events.fetch(topic, partition, at, now)) is not None
    ]
    began = time.process_time()
    if came:
        learning.take_many(came)
    return asked + time.process_time() - began, bool(came)


def _resident() -> int:
    """Return the memory of this process, bytes."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * 4096

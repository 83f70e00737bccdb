"""A worker is killed, and three workers are restarted in turn, while a shop emits events at a steady rate.

All is measured by the broker's clock: when it appended each score, against when the shop emitted the score's event.
A partition is silent from a score, or from the first event that waits after it if that is later, to the next score.
"""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import httpx
import numpy as np
import redis
from aiokafka import AIOKafkaConsumer, TopicPartition
from numpy.typing import NDArray

from benchmarks.contenders import WORKER, worker_environment
from benchmarks.latency import sent_at, until_joined
from benchmarks.peers.job import Task
from benchmarks.program import Program
from benchmarks.scale.customers import write_states
from benchmarks.scale.rates import wait_ready
from benchmarks.workload import PARTITIONS, make_topics
from stream.services.process import free_port

_PREFIX: Final = "steady."
_TOPICS: Final = tuple(_PREFIX + name for name in ("events", "scores", "dead-letters", "actions"))
_OWNED: Final = re.compile(r'^intent_lag_events\{partition="(\d+)"', re.MULTILINE)
_SEEN_BEFORE_MS: Final = 86_400_000
_ANSWER_SECONDS: Final = 30.0
# The shop is ended when nobody needs it any longer.
_SHOP_SECONDS: Final = 600.0
# Fast enough again: no event of a partition waits longer than this (milliseconds).
_CAUGHT_UP_MS: Final = 500

Say = Callable[[str], None]


class Way(NamedTuple):
    """A way to restart a worker.

    Attributes
    ----------
    title
        For people.
    named
        Whether workers have names of their own (static membership).
    new_first
        Whether the new one starts before the old one ends.
    """

    title: str
    named: bool
    new_first: bool


#: How a worker may be restarted, by name.
WAYS: Final = {
    "names": Way("named: stops, starts again", True, False),
    "no-names": Way("unnamed: stops, starts again", False, False),
    "no-names-new-first": Way("unnamed: a new one starts first", False, True),
    "names-new-first": Way("named: a new one takes the name", True, True),
}


class Takeover(NamedTuple):
    """Seconds after the kill; ``first`` and ``last`` of the partitions that the killed worker had.

    Attributes
    ----------
    partitions
        How many those are.
    first, last
        When a first event of the first and of the last of them was scored.
    caught_up
        When no event of them waited longer than half a second any more.
    """

    partitions: int
    first: float
    last: float
    caught_up: float


class Restart(NamedTuple):
    """What one restart did.

    Attributes
    ----------
    silence
        The longest silence of a partition, seconds.
    silent
        How many partitions were silent for more than a second.
    latency
        The longest that an event waited for its score, seconds.
    took
        From the signal, or the start of the new worker, until it was ready and the old one had ended, seconds.
    """

    silence: float
    silent: int
    latency: float
    took: float


class Scores(NamedTuple):
    """Partitions of all scores, and when each was appended and its event sent (epoch ms)."""

    partition: NDArray[np.int64]
    appended: NDArray[np.float64]
    sent: NDArray[np.float64]

    def silences(self, since: float, until: float) -> dict[int, tuple[float, float]]:
        """Return the longest silence of each partition that ended between the moments, ms, and when it ended."""
        found = {}
        for partition in np.unique(self.partition).tolist():
            own = self.partition == partition
            appended, sent = self.appended[own], self.sent[own]
            within = np.flatnonzero((appended[1:] > since) & (appended[1:] <= until)) + 1
            if len(within):
                silent = appended[within] - np.maximum(appended[within - 1], sent[within])
                at = int(np.argmax(silent))
                found[partition] = float(silent[at]), float(appended[within[at]])
        return found

    def latencies(self, since: float, until: float) -> NDArray[np.float64]:
        """Return how long the events waited that were scored between the moments, ms."""
        within = (self.appended > since) & (self.appended <= until)
        return (self.appended - self.sent)[within]

    def caught_up(self, partitions: set[int], since: float) -> float:
        """Return when the last event of the partitions that had waited too long was scored."""
        late = np.isin(self.partition, list(partitions)) & (self.appended > since)
        late &= self.appended - self.sent > _CAUGHT_UP_MS
        return float(self.appended[late].max(initial=since))


@dataclass
class _Fleet:
    """Workers of one group, and a shop."""

    task: Task
    way: str
    stack: ExitStack
    started: int = 0
    ports: dict[Program, int] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        environment = worker_environment(self.task, _PREFIX)
        return environment | {"INTENT_GROUP": f"{environment['INTENT_GROUP']}-{self.way}"}

    def start(self, name: str) -> Program:
        """Start a worker, and return without waiting for it."""
        self.started += 1
        port = free_port()
        environment = self.environment | {"INTENT_HTTP_PORT": str(port)}
        if WAYS[self.way].named:
            environment |= {"INTENT_GROUP_INSTANCE": name, "INTENT_SESSION_TIMEOUT": "2m"}
        log = self.task.folder / f"{name}-{self.started}-{self.task.run}.log"
        worker = self.stack.enter_context(Program(WORKER, environment, log))
        self.ports[worker] = port
        return worker

    def wait_ready(self, worker: Program) -> None:
        """Wait until a worker has partitions."""
        wait_ready(worker, f"http://127.0.0.1:{self.ports[worker]}")

    def owned(self, worker: Program) -> set[int]:
        """Return the partitions that a worker has."""
        text = httpx.get(f"http://127.0.0.1:{self.ports[worker]}/metrics", timeout=_ANSWER_SECONDS).text
        return set(map(int, _OWNED.findall(text)))

    def begin(self, number: int) -> list[Program]:
        """Start so many workers, and wait until they share the partitions."""
        members = [self.start(f"worker-{number}") for number in range(number)]
        group = self.environment["INTENT_GROUP"]
        asyncio.run(until_joined(self.task.kafka, group, members, members=number))
        for member in members:
            self.wait_ready(member)
        return members

    @contextmanager
    def load(self, rate: int, customers: int) -> Iterator[None]:
        """Let a shop emit so many events a second within the block."""
        environment = {
            "BENCH_RATE": str(rate),
            "BENCH_SECONDS": str(_SHOP_SECONDS),
            "BENCH_PREFIX": _PREFIX,
            "BENCH_KAFKA": self.task.kafka,
            "BENCH_CUSTOMERS": str(customers),
        }
        log = self.task.folder / f"shop-{self.task.run}.log"
        with Program((sys.executable, "-m", "benchmarks.latency"), environment, log) as shop:
            yield
            shop.check()


def takeover(task: Task, *, customers: int, rate: int, seconds: float, say: Say) -> Takeover:
    """Kill one of two workers that score events of known customers, and see when the other has taken over.

    Parameters
    ----------
    seconds
        Time before the kill; what comes after it is watched for at least the session timeout and as long again.
    """
    say(f"writing {customers:,} states")
    _prepare(task, customers)
    with ExitStack() as stack:
        fleet = _Fleet(task, "no-names", stack)
        killed, _ = fleet.begin(2)
        lost = fleet.owned(killed)
        with fleet.load(rate, customers):
            say(f"two workers score {rate:,} events/s, then one is killed")
            time.sleep(seconds)
            killed.end(signal.SIGKILL)
            at = _now()
            time.sleep(seconds + 20)
    scores = asyncio.run(_scores(task))
    ends = [end for partition, (_, end) in scores.silences(at, np.inf).items() if partition in lost]
    if len(ends) < len(lost):
        raise killed.failure(f"left {len(lost)} partitions, of which {len(ends)} were taken over")
    caught_up = scores.caught_up(lost, at)
    return Takeover(len(lost), (min(ends) - at) / 1000, (max(ends) - at) / 1000, (caught_up - at) / 1000)


def rolling(
    task: Task, ways: list[str], *, customers: int, rate: int, seconds: float, say: Say
) -> dict[str, list[Restart]]:
    """Restart each of three workers in turn, in each of the ways.

    Parameters
    ----------
    seconds
        Time before each restart, and after the last one.
    """
    say(f"writing {customers:,} states")
    _prepare(task, customers)
    windows: dict[str, list[tuple[float, float, float]]] = {}
    for name in ways:
        say(WAYS[name].title)
        windows[name] = _rolled(task, name, customers, rate, seconds)
    scores = asyncio.run(_scores(task))
    return {name: [_restart(scores, *window) for window in found] for name, found in windows.items()}


def _rolled(
    task: Task, name: str, customers: int, rate: int, seconds: float
) -> list[tuple[float, float, float]]:
    """Return of each restart when it began, when it was over, and until when its traces are looked for (epoch ms)."""
    windows, way = [], WAYS[name]
    with ExitStack() as stack:
        fleet = _Fleet(task, name, stack)
        group = fleet.environment["INTENT_GROUP"]
        members = fleet.begin(3)
        with fleet.load(rate, customers):
            time.sleep(seconds)
            for number, old in enumerate(members):
                began = _now()
                if not way.new_first:
                    old.end()
                new = fleet.start(f"worker-{number}")
                fleet.wait_ready(new)
                if way.new_first:
                    old.end(None if way.named else signal.SIGTERM)
                asyncio.run(until_joined(task.kafka, group, [new], members=3))
                over = _now()
                time.sleep(seconds)
                windows.append((began, over, _now()))
    return windows


def _restart(scores: Scores, began: float, over: float, until: float) -> Restart:
    silences = [silent for silent, _ in scores.silences(began, until).values()]
    return Restart(
        max(silences) / 1000,
        sum(silent > 1000 for silent in silences),
        float(scores.latencies(began, until).max()) / 1000,
        (over - began) / 1000,
    )


def _prepare(task: Task, customers: int) -> None:
    asyncio.run(make_topics(task.kafka, *_TOPICS))
    with redis.Redis.from_url(task.redis) as client:
        client.flushall()
    write_states(task, customers, int(_now()) - _SEEN_BEFORE_MS)


def _now() -> float:
    return time.time() * 1000


async def _scores(task: Task) -> Scores:
    """Return all scores that there are."""
    ahead = (time.time_ns() - time.monotonic_ns()) / 1e6  # of the shop's clock
    consumer = AIOKafkaConsumer(
        bootstrap_servers=task.kafka, auto_offset_reset="earliest", isolation_level="read_committed"
    )
    await consumer.start()
    partition, appended, sent = list[int](), list[int](), list[float]()
    try:
        partitions = [TopicPartition(_TOPICS[1], number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for tp, records in (await consumer.getmany(timeout_ms=1000)).items():
                for record in records:
                    partition.append(tp.partition)
                    appended.append(record.timestamp)
                    sent.append(sent_at(record.value) / 1e6 + ahead)
    finally:
        await consumer.stop()
    return Scores(np.array(partition), np.array(appended, np.float64), np.array(sent))

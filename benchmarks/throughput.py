"""Events per second of each contender over the same preloaded topic.

A contender is a process of its own. It is timed by the broker: every record in its topic of scores carries
the time at which the broker appended it, so the rate is the number of scores after the first append, divided
by the time from the first append to the last. Starting, importing and joining the group are not in it, and
nothing that watches the process slows it down but a question for the end of the topic four times a second.

A Java virtual machine is slow until it has compiled what it does often, so the later half of each run is
measured by itself as well. Processor time is that of the contender with all its child processes; the broker's
and Redis's is beside it, because some contenders leave them more to do than others.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import redis
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.contenders import (
    ACTIONS,
    DEAD_LETTERS,
    EVENTS,
    SCORES,
    WORKER,
    Contender,
    contenders,
    worker_environment,
)
from benchmarks.peers.checking import Check, Expected
from benchmarks.peers.job import Task
from benchmarks.program import Program, processor_seconds
from benchmarks.workload import PARTITIONS, make_topics
from features.bundle import BANDS, Bundle
from features.offers import CustomerItems, Offer, OfferPolicy
from features.partition import partitions_of
from features.store.keys import items_keys
from features.store.offer_store import OfferStore
from stream.services.process import free_port

# Until the first score: imports, the compiler's cache, joining the group. TensorFlow is in none of the
# contenders.
_START_SECONDS: Final = 120.0
# Nothing new for this long although the topic is not exhausted: the contender hangs.
_SILENT_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.25


class Run(NamedTuple):
    """One run of a contender.

    Attributes
    ----------
    rate
        Events a second.
    events, seconds
        What that was measured over.
    work
        Microseconds of processor time an event. Where a machine has other things to do, it says more than the rate.
    late_rate, late_work
        The same over the later half.
    servers
        Microseconds of processor time an event of each server.
    check
        Whether the scores are right; ``None`` where nothing says what is.
    """

    rate: float
    events: int
    seconds: float
    work: float
    late_rate: float
    late_work: float
    servers: Mapping[str, float]
    check: Check | None


# Processor time is told in steps of this (seconds); what took less than one took as good as one.
_TICK: Final = 1 / os.sysconf("SC_CLK_TCK")


class _Look(NamedTuple):
    """How many scores there were, and the processor time until then: the contender's, each server's."""

    scored: int
    spent: float
    servers: dict[str, float]


async def run(
    contender: Contender,
    task: Task,
    events: int,
    *,
    settings: Mapping[str, str] | None = None,
    prepare: Callable[[], None] | None = None,
    servers: Mapping[str, int] | None = None,
    expected: Expected | None = None,
) -> Run:
    """Let a contender score the preloaded topic, and return its rate.

    Parameters
    ----------
    events
        How many records the topic holds.
    settings
        For our worker, beside or instead of the usual ones.
    prepare
        Called when Redis and the topic of scores are empty, before the contender starts.
    servers
        Process ids of the servers whose processor time is measured as well, by name.
    expected
        Some of the right scores of a contender that is checked.
    """
    await make_topics(task.kafka, SCORES, DEAD_LETTERS, ACTIONS)
    redis.Redis.from_url(task.redis).flushall()
    if prepare is not None:
        prepare()
    ours = contender.command == WORKER
    environment = worker_environment(task, "bench.") if ours else task.environment()
    environment |= {**contender.settings, **(settings or {})}
    log = task.folder / f"{contender.name}-{task.run}.log"
    scores = [TopicPartition(SCORES, partition) for partition in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(bootstrap_servers=task.kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        with ExitStack() as beside:
            if contender.traced:
                environment |= _collected(task.folder, beside)
            program = beside.enter_context(Program(contender.command, environment, log))
            keep = expected.customers if expected is not None and contender.checked else frozenset[bytes]()
            watched = _Watched(program, consumer, scores, servers or {}, keep)
            looks = await _until_scored(watched, events, contender.seconds)
            share = len(watched.times) / await watched.count()
        times = np.sort(watched.times)
        check = None
        if contender.checked and expected is not None:
            check = expected.check(watched.kept, complete=len(times) >= events)
        return _run_of(times, [look._replace(scored=round(share * look.scored)) for look in looks], check)
    finally:
        await consumer.stop()


def _collected(folder: Path, stack: ExitStack) -> dict[str, str]:
    """Start a collector of spans; return the variables that lead to it."""
    port = free_port()
    command = (sys.executable, "-m", "benchmarks.collector", str(port))
    stack.enter_context(Program(command, {}, folder / "collector.log"))
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}


class _Watched:
    """A contender at work and what it has written so far.

    Attributes
    ----------
    times
        When the broker appended each score that was read (epoch ms).
    kept
        The scores of the customers to keep.
    """

    def __init__(
        self,
        program: Program,
        consumer: AIOKafkaConsumer,
        partitions: list[TopicPartition],
        servers: Mapping[str, int],
        keep: frozenset[bytes],
    ) -> None:
        self.program, self.times, self.kept = program, list[int](), list[bytes]()
        self._consumer, self._partitions, self._servers, self._keep = consumer, partitions, servers, keep

    async def count(self) -> int:
        """Return the sum of the partitions' ends: the scores, and the markers of transactions."""
        return sum((await self._consumer.end_offsets(self._partitions)).values())

    async def read(self) -> int:
        """Read the scores that have come since; return how many there are, without markers."""
        if not self._consumer.assignment():  # not before: it would fetch beside the contender
            self._consumer.assign(self._partitions)
        ends = await self._consumer.end_offsets(self._partitions)
        while any([await self._consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await self._consumer.getmany(timeout_ms=1000)).values():
                self.times += [record.timestamp for record in records]
                self.kept += [record.value for record in records if record.key in self._keep]
        return len(self.times)

    def look(self, scored: int) -> _Look:
        """Return the processor time until now."""
        servers = {name: processor_seconds(pid) for name, pid in self._servers.items()}
        return _Look(scored, self.program.processor_seconds(), servers)


async def _until_scored(watched: _Watched, events: int, seconds: float) -> list[_Look]:
    """Wait for the scores; return looks at the processor time: when there were some, in the middle, and at the end."""
    program, looks = watched.program, list[_Look]()
    began = changed = time.monotonic()
    first, seen = 0.0, 0
    while seen < events and not (first and time.monotonic() - first > seconds):
        await asyncio.sleep(_LOOK_SECONDS)
        program.check()
        now, count = time.monotonic(), await watched.count()
        if count > seen:
            first, seen, changed = first or now, count, now
            middle = seen >= events / 2 or now - first > seconds / 2
            if seen >= events or len(looks) < (2 if middle else 1):
                looks.append(watched.look(seen))
        elif first and now - changed > _SILENT_SECONDS:
            raise program.failure(f"stands still after {seen} of {events} events")
        elif not first and now - began > _START_SECONDS:
            raise program.failure(f"scored nothing within {_START_SECONDS:.0f} s")
    if seen < events:
        looks.append(watched.look(seen))
        await watched.read()
    else:
        await _until_read(watched, events)
    return looks


async def _until_read(watched: _Watched, events: int) -> None:
    """Read all scores, also the last ones, for which markers of transactions were counted."""
    changed, seen = time.monotonic(), await watched.read()
    while seen < events:
        await asyncio.sleep(_LOOK_SECONDS)
        watched.program.check()
        now, count = time.monotonic(), await watched.read()
        if count > seen:
            seen, changed = count, now
        elif now - changed > _SILENT_SECONDS:
            raise watched.program.failure(f"stands still after {seen} of {events} events")


def _run_of(times: np.ndarray, looks: Sequence[_Look], check: Check | None) -> Run:
    """Return the run: from the first look to the last, and from the middle one."""
    begin, middle, end = looks[0], looks[-2:][0], looks[-1]
    rate, seconds = _rate(times)
    late_rate, _ = _rate(times[len(times) // 2 :])
    return Run(
        rate,
        len(times),
        seconds,
        _work(end.spent - begin.spent, begin, end),
        late_rate,
        _work(end.spent - middle.spent, middle, end),
        {name: _work(spent - begin.servers[name], begin, end) for name, spent in end.servers.items()},
        check,
    )


def _work(spent: float, since: _Look, until: _Look) -> float:
    """Return the microseconds an event."""
    return 1e6 * max(spent, _TICK) / max(until.scored - since.scored, 1)


def _rate(times: np.ndarray) -> tuple[float, float]:
    """Return the events a second after the first append, and the seconds."""
    seconds = max(int(times[-1]) - int(times[0]), 1) / 1000
    return int(np.count_nonzero(times > times[0])) / seconds, seconds


async def _customers(task: Task) -> list[str]:
    """Return the customers whose events the preloaded topic holds."""
    consumer = AIOKafkaConsumer(bootstrap_servers=task.kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [TopicPartition(EVENTS, partition) for partition in range(PARTITIONS)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        keys: set[bytes] = set()
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                keys.update(record.key for record in records)
    finally:
        await consumer.stop()
    return [key.decode() for key in sorted(keys)]


def write_offers(task: Task, customers: Sequence[str]) -> None:
    """Write what `intent recommend --write` writes when every customer is known: ten items and ten new ones each."""
    prefix = worker_environment(task, "bench.")["INTENT_REDIS_PREFIX"]
    loaded = Bundle.load(task.bundle)
    popular = [f"i{number}" for number in range(10)]
    offers = [
        Offer(segment=segment.id, segment_name=segment.name, band=band, offer="win_back",
              text="A time-limited incentive to come back", items=popular)
        for segment in loaded.segmenter.segments
        for band in BANDS
    ]  # fmt: skip
    policy = OfferPolicy(
        version="benchmark", bundle=loaded.manifest.version, partitions=PARTITIONS, created_at="",
        offers=offers, popular=popular,
    )  # fmt: skip
    of = partitions_of([customer.encode() for customer in customers], PARTITIONS).tolist()
    chosen = np.random.default_rng(0).integers(0, 2_000, (len(customers), 20)).tolist()
    entries = {}
    for customer, partition, items in zip(customers, of, chosen, strict=True):
        names = [f"i{item}" for item in items]
        entry = CustomerItems(policy.version, names[:10], names[10:])
        entries[items_keys(prefix, partition, [customer])[0]] = entry.to_bytes()
    with redis.Redis.from_url(task.redis) as client:
        client.mset(entries)  # directly: nobody has a state yet
    with closing(OfferStore(task.redis, prefix)) as store:
        store.write(policy, [])


class Result(NamedTuple):
    """All runs of a contender; `rate` is their median."""

    contender: Contender
    runs: list[Run]

    @property
    def rate(self) -> float:
        """Median events/s."""
        return self.median(lambda run: run.rate)

    def median(self, figure: Callable[[Run], float]) -> float:
        """Return the median of a figure over the runs."""
        return statistics.median(map(figure, self.runs))

    def check(self) -> Check | None:
        """Return the checks of all runs, added up."""
        checks = [run.check for run in self.runs if run.check is not None]
        if not checks:
            return None
        return Check(sum(check.compared for check in checks), sum(check.wrong for check in checks))


async def compare(
    task: Task,
    events: int,
    *,
    seconds: float,
    rounds: int,
    names: Sequence[str],
    on_progress: Callable[[str, Run | None], None],
    servers: Mapping[str, int] | None = None,
    expected: Expected | None = None,
) -> dict[str, Result]:
    """Run the contenders ``rounds`` times in turns: a machine is never equally fast for long.

    Parameters
    ----------
    names
        The contenders to run.
    on_progress
        Called with a title before a run, and with its result after it.
    servers, expected
        See `run`.
    """
    known = contenders(seconds)
    results = {name: Result(known[name], []) for name in names}
    customers = await _customers(task) if "offers" in names else []
    warm_up = [name for name in ("plain", "ours") if name in names] or list(names[:1])
    order = [(name, False) for name in warm_up]
    order += [(name, True) for _ in range(rounds) for name in names]
    for number, (name, counts) in enumerate(order):
        contender = known[name]
        on_progress(contender.title if counts else f"{contender.title} (warming up)", None)
        named = task._replace(run=f"{task.run}-{number}")
        prepare = partial(write_offers, named, customers) if name == "offers" else None
        result = await run(contender, named, events, prepare=prepare, servers=servers, expected=expected)
        if counts:
            results[name].runs.append(result)
            on_progress(contender.title, result)
    return results

"""Events per second of each contender over the same preloaded topic.

A contender is a process of its own. It is timed by the broker: every record in its topic of scores carries
the time at which the broker appended it, so the rate is the number of scores after the first append, divided
by the time from the first append to the last. Starting, importing and joining the group are not in it, and
nothing that watches the process slows it down but a question for the end of the topic four times a second.
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import psutil
import redis
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.peers.job import Task
from benchmarks.workload import PARTITIONS, make_topics
from features.bundle import BANDS, Bundle
from features.offers import CustomerItems, Offer, OfferPolicy
from features.partition import partitions_of
from features.store.keys import items_keys
from features.store.offer_store import OfferStore
from stream.services.process import free_port

EVENTS: Final = "bench.events"
SCORES: Final = "bench.scores"
DEAD_LETTERS: Final = "bench.dead-letters"
ACTIONS: Final = "bench.actions"

# Until the first score: imports, the compiler's cache, joining the group. TensorFlow is in none of the
# contenders.
_START_SECONDS: Final = 120.0
# Nothing new for this long although the topic is not exhausted: the contender hangs.
_SILENT_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 15.0
_LOOK_SECONDS: Final = 0.25


@dataclass(frozen=True)
class Contender:
    """A program that scores the events of a topic.

    Attributes
    ----------
    name, title
        For JSON, for people.
    command
        What starts it.
    seconds
        It is ended this long after its first score, unless it has scored everything by then.
    settings
        Of our worker, beside the usual ones.
    traced
        Whether it sends spans to a collector, a process beside it.
    """

    name: str
    title: str
    command: Sequence[str]
    seconds: float
    settings: Mapping[str, str] = field(default_factory=dict)
    traced: bool = False


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
    """

    rate: float
    events: int
    seconds: float
    work: float


class ContenderFailed(RuntimeError):
    """A contender ended, or went silent, before it had scored enough."""


# Processor time is told in steps of this (seconds); what took less than one took as good as one.
_TICK: Final = 1 / os.sysconf("SC_CLK_TCK")
_POLICY: Final = Path(__file__).with_name("policy.yaml")

#: Our worker with ever more to do, the least first; "traced" is beside the others.
BURDENS: Final = ("scores", "traced", "acts", "reasons")

WORKER: Final = (sys.executable, "-c", "from stream.cli import main; main()", "worker")


def _peer(module: str) -> Sequence[str]:
    return (sys.executable, "-m", f"benchmarks.peers.{module}")


def contenders(seconds: float) -> dict[str, Contender]:
    """Return all contenders; those that take minutes for the whole topic are ended after ``seconds``.

    "offers" is our worker with items and offers in Redis for every customer: each score carries them. "scores", "acts"
    and "reasons" are our worker with ever more to do: nothing but scores, a policy with timers, and reasons as well.
    "traced" is "scores" with one round of a hundred traced.
    """
    whole = 300.0
    bare = {"INTENT_ACTIONS_TOPIC": "", "INTENT_REASONS": "off"}
    acts = {"INTENT_POLICY": str(_POLICY), "INTENT_REASONS": "off"}
    traces = bare | {"INTENT_TRACING": "otlp", "INTENT_TRACING_SAMPLE": "0.01"}
    listed = (
        Contender("ours", "intent worker", WORKER, whole),
        Contender("offers", "intent worker, items in every score", WORKER, whole),
        Contender("scores", "intent worker, no actions, no reasons", WORKER, whole, bare),
        Contender(
            "traced",
            "intent worker, no actions, no reasons, 1 % of rounds traced",
            WORKER,
            whole,
            traces,
            True,
        ),
        Contender("acts", "intent worker, policy and timers", WORKER, whole, acts),
        Contender(
            "reasons",
            "intent worker, policy, timers and reasons",
            WORKER,
            whole,
            acts | {"INTENT_REASONS": "medium"},
        ),
        Contender("plain", "consume and produce, no work", _peer("plain"), whole),
        Contender("faust", "Faust, idiomatic, 32 at once", _peer("faust_idiomatic"), seconds),
        Contender("quix", "Quix Streams, RocksDB", _peer("quix"), seconds),
        Contender("bytewax", "Bytewax, in memory", _peer("bytewax"), seconds),
    )
    return {contender.name: contender for contender in listed}


def worker_environment(task: Task, prefix: str) -> dict[str, str]:
    """Return the worker's settings for a run with topics that start with ``prefix`` and states of its own."""
    return {
        "INTENT_KAFKA": task.kafka,
        "INTENT_LEARNING": "off",  # no peer does it; `make bench-learning` measures what it costs
        "INTENT_REDIS": task.redis,
        "INTENT_TOPIC_PREFIX": prefix,
        "INTENT_REDIS_PREFIX": f"bench-{task.run}",
        "INTENT_GROUP": f"bench-ours-{task.run}",
        "INTENT_BUNDLE": str(task.bundle),
        "INTENT_HTTP_PORT": "0",
    }


class Program:
    """A contender's process, with a log, ended at the end of the ``with`` block.

    Parameters
    ----------
    command
        What starts it.
    environment
        Added to this process's own.
    log
        Where its output goes.
    """

    def __init__(self, command: Sequence[str], environment: dict[str, str], log: Path) -> None:
        self._command, self._log = command, log
        root = str(Path(__file__).resolve().parent.parent)
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        self._environment = os.environ | {"PYTHONPATH": path} | environment

    def __enter__(self) -> Program:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=self._log.parent,  # no .env of the project's
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def processor_seconds(self) -> float:
        """Return how much processor time the process has taken."""
        times = psutil.Process(self._process.pid).cpu_times()
        return times.user + times.system

    def check(self) -> None:
        """Raise `ContenderFailed` if the process has ended."""
        if self._process.poll() is not None:
            raise self.failure(f"ended with exit code {self._process.returncode}")

    def failure(self, what: str) -> ContenderFailed:
        """Return the error with the end of the log."""
        tail = " | ".join(self._log.read_text(errors="replace").strip().splitlines()[-4:])[-800:]
        return ContenderFailed(f"{' '.join(self._command[1:4])} {what}: {tail or 'its log is empty'}")


async def run(
    contender: Contender,
    task: Task,
    events: int,
    *,
    settings: Mapping[str, str] | None = None,
    prepare: Callable[[], None] | None = None,
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
            work = await _until_scored(program, consumer, scores, events, contender.seconds)
        return _rate(await _append_times(consumer, scores), work)
    finally:
        await consumer.stop()


def _collected(folder: Path, stack: ExitStack) -> dict[str, str]:
    """Start a collector of spans; return the variables that lead to it."""
    port = free_port()
    command = (sys.executable, "-m", "benchmarks.collector", str(port))
    stack.enter_context(Program(command, {}, folder / "collector.log"))
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}


async def _until_scored(
    program: Program, consumer: AIOKafkaConsumer, scores: list[TopicPartition], events: int, seconds: float
) -> float:
    """Return the microseconds of processor time an event, from the first look at which there are scores."""
    began = changed = time.monotonic()
    first, seen = 0.0, 0
    scored, spent = 0, 0.0
    while seen < events and not (first and time.monotonic() - first > seconds):
        await asyncio.sleep(_LOOK_SECONDS)
        program.check()
        now, count = time.monotonic(), sum((await consumer.end_offsets(scores)).values())
        if count > seen:
            if not first:
                scored, spent = count, program.processor_seconds()
            first, seen, changed = first or now, count, now
        elif first and now - changed > _SILENT_SECONDS:
            raise program.failure(f"stands still after {seen} of {events} events")
        elif not first and now - began > _START_SECONDS:
            raise program.failure(f"scored nothing within {_START_SECONDS:.0f} s")
    return 1e6 * max(program.processor_seconds() - spent, _TICK) / max(seen - scored, 1)


async def _append_times(consumer: AIOKafkaConsumer, scores: list[TopicPartition]) -> np.ndarray:
    """Return the time (epoch ms) at which the broker appended each record."""
    consumer.assign(scores)
    ends = await consumer.end_offsets(scores)
    times: list[int] = []
    while any([await consumer.position(tp) < end for tp, end in ends.items()]):
        for records in (await consumer.getmany(timeout_ms=1000)).values():
            times += [record.timestamp for record in records]
    return np.array(times)


def _rate(times: np.ndarray, work: float) -> Run:
    first, last = int(times.min()), int(times.max())
    after, seconds = int(np.count_nonzero(times > first)), (last - first) / 1000
    return Run(after / seconds, len(times), seconds, work)


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
        return statistics.median(run.rate for run in self.runs)


async def compare(
    task: Task,
    events: int,
    *,
    seconds: float,
    rounds: int,
    names: Sequence[str],
    on_progress: Callable[[str, Run | None], None],
) -> dict[str, Result]:
    """Run the contenders: peers once, ours (whatever it has to do) and plain ``rounds`` times in turns.

    The machine is never equally fast for long, so those are compared pair by pair.

    Parameters
    ----------
    names
        The contenders to run.
    on_progress
        Called with a title before a run, and with its result after it.
    """
    known = contenders(seconds)
    results = {name: Result(known[name], []) for name in names}
    again = [name for name in ("ours", "offers", *BURDENS, "plain") if name in names]
    customers = await _customers(task) if "offers" in names else []
    warm_up = [name for name in ("plain", "ours") if name in names] or again[:1]
    order = [(name, False) for name in warm_up]
    order += [(name, True) for _ in range(rounds) for name in again]
    order += [(name, True) for name in names if name not in again]
    for number, (name, counts) in enumerate(order):
        contender = known[name]
        on_progress(contender.title if counts else f"{contender.title} (warming up)", None)
        named = task._replace(run=f"{task.run}-{number}")
        prepare = partial(write_offers, named, customers) if name == "offers" else None
        result = await run(contender, named, events, prepare=prepare)
        if counts:
            results[name].runs.append(result)
            on_progress(contender.title, result)
    return results

"""Two workers against one, many customers against few, and learning on against off, all on a preloaded topic."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Final, NamedTuple

import httpx
import msgspec

from benchmarks.contenders import EVENTS, WORKER, contenders, worker_environment
from benchmarks.latency import until_joined
from benchmarks.learning.cost import LEARNING_TOPICS, publish_snapshot
from benchmarks.peers.job import Task
from benchmarks.program import Program
from benchmarks.scale import workers
from benchmarks.scale.customers import write_states
from benchmarks.throughput import Run, run
from benchmarks.workload import Records, fill_topic, held_back, make_topics, simulated
from stream.services.process import free_port

_LEARNER: Final = (*WORKER[:-1], "learner")
_READY_SECONDS: Final = 120.0
#: The customers who emit what is dealt out to others, one for so many events: each of them comes time and again.
_EVENTS_EACH: Final = 30
_SEEN_BEFORE_MS: Final = 86_400_000

Say = Callable[[str], None]


class Rates(NamedTuple):
    """All runs of one way."""

    runs: list[Run]

    @property
    def rate(self) -> float:
        """Median events a second."""
        return statistics.median(run.rate for run in self.runs)

    @property
    def work(self) -> float:
        """Median processor time an event of all workers, microseconds."""
        return statistics.median(run.work for run in self.runs)

    def server(self, name: str) -> float | None:
        """Return the median processor time an event of another process, microseconds."""
        found = [run.servers[name] for run in self.runs if name in run.servers]
        return statistics.median(found) if found else None


class Ratios(NamedTuple):
    """Medians over the rounds: of the rate of one way by that of another, and of the processor time an event."""

    rate: float
    work: float

    @classmethod
    def of(cls, one: Rates, other: Rates) -> Ratios:
        """Return those of two ways that ran in turns."""
        pairs = list(zip(one.runs, other.runs, strict=True))
        return cls(
            statistics.median(first.rate / second.rate for first, second in pairs),
            statistics.median(first.work / second.work for first, second in pairs),
        )


async def two_against_one(
    task: Task, servers: Mapping[str, int], *, events: int, customers: int, rounds: int, say: Say
) -> dict[str, Rates]:
    """Let one worker and two of one group score a topic, which they can read once all have their partitions."""
    records = simulated(events, customers)
    found = {"1": Rates([]), "2": Rates([])}
    for number in range(rounds + 1):
        for name, rates in (
            found.items() if number else [("1", Rates([]))]
        ):  # the first run warms the broker up
            say(f"{name} worker{'s' * (name != '1')}, {_round(number, rounds)}")
            named = task._replace(run=f"{task.run}-workers{number}{name}")
            rates.runs.append(await _together(named, records, int(name), servers))
    return found


async def _together(task: Task, records: Records, number: int, servers: Mapping[str, int]) -> Run:
    environment = worker_environment(task, "bench.")
    contender = replace(contenders(0.0)["ours"], name="workers", command=(*workers.COMMAND, str(number)))
    await make_topics(task.kafka, EVENTS)

    async def begin(commit: Callable[[], Any]) -> None:
        await until_joined(task.kafka, environment["INTENT_GROUP"], [], members=number)
        await commit()

    async with held_back(task.kafka, EVENTS, records) as commit:
        found, _ = await asyncio.gather(
            run(contender, task, len(records), settings=environment, servers=servers), begin(commit)
        )
    return found


async def many_against_few(
    task: Task,
    servers: Mapping[str, int],
    *,
    events: int,
    few: int,
    many: int,
    known: bool,
    rounds: int,
    say: Say,
) -> dict[tuple[str, int], Rates]:
    """Let the same sessions, or single events, come from few customers and from many, and only score them.

    With a policy it would be another comparison: many customers have many more actions due.

    Parameters
    ----------
    known
        Whether Redis has a state of each customer before, so that states are loaded, too.

    Returns
    -------
    By shape (``sessions``, ``even``) and number of customers.
    """
    found = {(shape, customers): Rates([]) for shape in ("sessions", "even") for customers in (few, many)}
    emitting = max(events // _EVENTS_EACH, 1)
    for shape in ("sessions", "even"):
        say(f"simulating {shape} of {few:,} and of {many:,} customers")
        logs = {
            customers: simulated(events, emitting, even=shape == "even", among=customers)
            for customers in (few, many)
        }
        seen = int(msgspec.json.decode(logs[few].values[0])["event_time"]) - _SEEN_BEFORE_MS
        for number in range(rounds):
            for customers, records in logs.items():
                say(f"{shape}, {customers:,} customers, {_round(number + 1, rounds)}")
                named = task._replace(run=f"{task.run}-{shape}{number}-{customers}")
                await make_topics(task.kafka, EVENTS)
                await fill_topic(task.kafka, EVENTS, records)
                prepare = _Known(named, customers, seen) if known else None
                measured = await run(
                    contenders(0.0)["scores"], named, len(records), prepare=prepare, servers=servers
                )
                found[shape, customers].runs.append(measured)
    return found


class _Known(NamedTuple):
    """Writes the states of customers when it is called."""

    task: Task
    customers: int
    seen_ms: int

    def __call__(self) -> None:
        write_states(self.task, self.customers, self.seen_ms)


async def learning_against_none(
    task: Task, servers: Mapping[str, int], *, events: int, customers: int, rounds: int, say: Say
) -> dict[str, Rates]:
    """Let the worker score without learning and with it, beside a learner; with it, it asks the online model."""
    records = simulated(events, customers)
    await make_topics(task.kafka, EVENTS)
    await fill_topic(task.kafka, EVENTS, records)
    found = {"off": Rates([]), "on": Rates([])}
    for number in range(rounds + 1):
        for learning, rates in found.items() if number else [("off", Rates([]))]:
            say(f"learning {learning}, {_round(number, rounds)}")
            named = task._replace(run=f"{task.run}-learning{number}{learning}")
            await make_topics(task.kafka, *LEARNING_TOPICS, retention_ms="-1")
            with ExitStack() as beside:
                learner = _Learner(named, dict(servers), beside)
                measured = await run(
                    contenders(0.0)["ours"],
                    named,
                    len(records),
                    settings={"INTENT_LEARNING": learning},
                    prepare=learner if learning == "on" else None,
                    servers=learner.servers,
                )
            rates.runs.append(measured)
    return found


class _Learner(NamedTuple):
    """Publishes a snapshot and starts a learner when it is called."""

    task: Task
    servers: dict[str, int]
    beside: ExitStack

    def __call__(self) -> None:
        publish_snapshot(self.task)
        port = str(free_port())
        environment = worker_environment(self.task, "bench.") | {
            "INTENT_LEARNING": "on",
            "INTENT_HTTP_PORT": port,
        }
        log = self.task.folder / f"learner-{self.task.run}.log"
        learner = self.beside.enter_context(Program(_LEARNER, environment, log))
        wait_ready(learner, f"http://127.0.0.1:{port}")
        self.servers["learner"] = learner.pid


def wait_ready(program: Program, url: str) -> None:
    """Wait until a worker or a learner says that it is ready."""
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        program.check()
        try:
            if httpx.get(f"{url}/readyz").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass  # it does not listen yet
        if time.monotonic() > deadline:
            raise program.failure(f"was not ready within {_READY_SECONDS:.0f} s")
        time.sleep(0.1)


def _round(number: int, rounds: int) -> str:
    return f"round {number} of {rounds}" if number else "warming up"

"""``python -m benchmarks``: throughput, cost per step, and latency, as tables or as one JSON object."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import latency, steps, throughput
from benchmarks.contenders import EVENTS, SCORES, contenders
from benchmarks.engine import set_bands
from benchmarks.peers import jvm
from benchmarks.peers.checking import Expected
from benchmarks.peers.job import Task
from benchmarks.throughput import Result, Run
from benchmarks.workload import Records, fill_topic, make_topics, simulated, write_bundle
from stream.services.services import EmbeddedServices

#: What we want to reach: our rate as a multiple of a contender's; and milliseconds.
RATE_GOALS = {
    "plain": 0.8, "java": 1.1, "streams": 2.0, "streams-rocksdb": 2.0, "flink": 2.0, "bytewax": 8.0, "quix": 12.0,
    "faust": 100.0,
}  # fmt: skip
#: Events a second of one process that only scores, and its microseconds of processor time an event.
OWN_RATE, OWN_WORK_US = 200_000, 5.5
#: Whom the others are compared with: their job is to score, and no more.
_COMPARED = ("scores", "ours")
#: Our rate with policy and timers, and with reasons as well, by that without; with reasons by that with the others; and
#: with one round of a hundred traced by that without.
BURDEN_GOALS = {
    ("acts", "scores"): None,
    ("reasons", "acts"): 0.9,
    ("reasons", "scores"): 0.8,
    ("traced", "scores"): 0.98,
}
#: At 5,000 events/s and less, and at more.
LATENCY_GOALS_MS = {"p50": 8.0, "p99": 20.0}
BUSY_LATENCY_GOALS_MS = {"p50": 25.0, "p99": 60.0}
_BUSY = 5_500

_STEP_EVENTS = 200_000
_WIDTH = 140  # of tables that go into a file

_console = Console(stderr=True)


class Burden(NamedTuple):
    """What more to do leaves of our rate, and of the events in a second of processor time: medians over the rounds."""

    rate: float
    work: float


class Measured(NamedTuple):
    """All that a run found."""

    results: dict[str, Result]
    costs: steps.Steps | None
    delay: latency.Latency | None

    def ratios(self) -> dict[str, float]:
        """Return our rate as a multiple of each other contender's, both in the later half of their runs.

        A Java virtual machine has compiled by then. The ratio to plain is the median over the pairs.
        """
        ours = self.own
        if ours is None:
            return {}
        rate = ours.median(_late)
        ratios = {
            name: rate / result.median(_late) for name, result in self.results.items() if name in RATE_GOALS
        }
        if "plain" in ratios:
            ratios["plain"] = statistics.median(self.pairs())
        return ratios

    @property
    def own(self) -> throughput.Result | None:
        """Whom the others are compared with."""
        return next((self.results[name] for name in _COMPARED if name in self.results), None)

    def pairs(self) -> list[float]:
        """Return our rate by that of plain, for each pair of runs of a round."""
        assert self.own is not None
        both = zip(self.own.runs, self.results["plain"].runs, strict=True)
        return [one.late_rate / other.late_rate for one, other in both]

    def burdens(self) -> dict[tuple[str, str], Burden]:
        """Return what is left with more to do of what there is with less."""
        found = {}
        for more, less in BURDEN_GOALS:
            if more in self.results and less in self.results:
                pairs = list(zip(self.results[more].runs, self.results[less].runs, strict=True))
                found[more, less] = Burden(
                    statistics.median(one.rate / other.rate for one, other in pairs),
                    statistics.median(other.work / one.work for one, other in pairs),
                )
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, rounded; what was not measured is ``None``."""
        names = ("ours", "faust", "quix", "bytewax", "plain", "java", "streams", "streams-rocksdb", "flink")
        found: dict[str, Any] = {name: None for name in names}
        found |= {name: round(result.rate) for name, result in self.results.items()}
        found["ratios"] = {name: round(ratio, 3) for name, ratio in self.ratios().items()}
        found["burdens"] = {
            f"{more} by {less}": {name: float(f"{ratio:.3g}") for name, ratio in burden._asdict().items()}
            for (more, less), burden in self.burdens().items()
        }
        found["events"] = {name: result.runs[-1].events for name, result in self.results.items()}
        found["runs"] = {name: [round(run.rate) for run in self.results[name].runs] for name in self.results}
        found["late"] = {name: round(result.median(_late)) for name, result in self.results.items()}
        found["work_us"] = {
            name: {who: float(f"{work:.3g}") for who, work in _work(result).items()}
            for name, result in self.results.items()
        }
        found["checks"] = {
            name: check._asdict() for name, result in self.results.items() if (check := result.check())
        }
        found["steps_us"] = found["steps_work_us"] = found["latency_ms"] = None
        if self.costs is not None:
            found["steps_us"] = {step: round(cost.elapsed, 3) for step, cost in self.costs.costs.items()}
            found["steps_work_us"] = {step: round(cost.work, 3) for step, cost in self.costs.costs.items()}
        if self.delay is not None:
            found["latency_ms"] = {
                name: round(getattr(self.delay, name), 2) for name in ("p50", "p90", "p99")
            }
        return found


def main(
    *,
    events: Annotated[int, typer.Option(min=1000, help="Events in the topic.")] = 600_000,
    customers: Annotated[int, typer.Option(min=1, help="Customers that emit them.")] = 20_000,
    even: Annotated[bool, typer.Option(help="Deal events to customers at random: no sessions.")] = False,
    seconds: Annotated[float, typer.Option(help="For how long slow peers are measured.")] = 12.0,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each contender, in turns.")] = 3,
    only: Annotated[
        str, typer.Option(help="What to measure, by commas: contenders, 'steps' and 'latency'.")
    ] = "ours,plain,scores,traced,acts,reasons,faust,quix,bytewax,java,streams,streams-rocksdb,flink,steps,latency",
    rate: Annotated[int, typer.Option(min=1, help="Events/s while latency is measured.")] = 5000,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Compare our worker with its peers on one real Kafka and Redis: throughput, cost per step, latency."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # new topics have no leader for a moment
    wanted = only.split(",")
    if unknown := set(wanted) - {*contenders(seconds), "steps", "latency"}:
        raise typer.BadParameter(
            f"{sorted(unknown)[0]!r} is nothing that can be measured", param_hint="--only"
        )
    wanted = _to_be_had(wanted)
    with _console.status("simulating a log"):
        records = simulated(events, customers, even=even)
    with tempfile.TemporaryDirectory(prefix="intent-bench-") as folder:
        with _console.status("starting Kafka and Redis"):
            services = EmbeddedServices().start()
        try:
            task = Task(
                services.kafka, services.redis, EVENTS, SCORES,
                Path(folder, "bundle"), Path(folder), secrets.token_hex(4),
            )  # fmt: skip
            pids = {"broker": services.kafka_server.pid, "Redis": services.redis_server.pid}
            servers = {name: pid for name, pid in pids.items() if pid is not None}
            measured = asyncio.run(
                _measure(task, records, wanted, seconds=seconds, rounds=rounds, rate=rate, servers=servers)
            )
        finally:
            services.stop()
    if as_json:
        print(json.dumps(measured.as_dict()))
    else:
        _print(measured, records, customers, even)


def _to_be_had(wanted: list[str]) -> list[str]:
    """Build the peers in Java if some are wanted; return what can be measured."""
    known = contenders(0.0)
    java = [name for name in wanted if name in known and known[name].java]
    if not java or jvm.built():
        return wanted
    try:
        with _console.status("building the peers in Java (the first time, Maven downloads 280 MB)"):
            jvm.build()
    except jvm.NotBuilt as error:
        _console.print(f"Skipping {', '.join(java)}: {error}.", soft_wrap=True, markup=False)
        return [name for name in wanted if name not in java]
    return wanted


async def _measure(
    task: Task,
    records: Records,
    wanted: list[str],
    *,
    seconds: float,
    rounds: int,
    rate: int,
    servers: Mapping[str, int],
) -> Measured:
    write_bundle(task.bundle)
    set_bands(task.bundle, records.of_partition(0))
    await make_topics(task.kafka, EVENTS)
    await fill_topic(task.kafka, EVENTS, records)
    names = [name for name in contenders(seconds) if name in wanted]
    results, costs, delay = {}, None, None
    if names:
        results = await throughput.compare(
            task,
            len(records),
            seconds=seconds,
            rounds=rounds,
            names=names,
            on_progress=_say,
            servers=servers,
            expected=Expected.of(task, records),
        )
    if "steps" in wanted:
        _console.print("[dim]cost per step")
        costs = await steps.measure(task, min(_STEP_EVENTS, len(records)))
    if "latency" in wanted:
        _console.print(f"[dim]latency at {rate} events/s")
        delay = await latency.measure(task._replace(run=f"{task.run}-live"), rate=rate, seconds=15.0)
    return Measured(results, costs, delay)


def _say(title: str, run: Run | None) -> None:
    if run is None:
        _console.print(f"[dim]{title}")
    else:
        _console.print(
            f"  {run.rate:,.0f} events/s ({run.events:,} events in {run.seconds:.1f} s, "
            f"{run.work:.1f} us of processor time an event)"
        )


def _print(measured: Measured, records: Records, customers: int, even: bool) -> None:
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    shape = "dealt at random" if even else "in sessions"
    console.print(
        f"{len(records):,} events of {records.mean_bytes:.0f} bytes, {customers:,} customers, {shape}"
    )
    if measured.results:
        console.print(_rates(measured))
        console.print(_works(measured))
        for line in _burdens(measured):
            console.print(line)
    if measured.costs is not None:
        console.print(_costs(measured.costs))
        for line in _verdict(measured):
            console.print(line)
    if measured.delay is not None:
        console.print(_delays(measured.delay))


def _rates(measured: Measured) -> Table:
    table = Table(title="Throughput")
    for name in ("", "events/s", "runs", "later half", "events", "ours is", "goal"):
        table.add_column(name, justify="left" if name == "" else "right")
    ratios = measured.ratios()
    for name, result in measured.results.items():
        runs = " ".join(f"{run.rate / 1000:.1f}k" for run in result.runs)
        ratio = f"{ratios[name]:.2f} x" if name in ratios else ""
        goal = RATE_GOALS.get(name)
        table.add_row(
            result.contender.title, f"{result.rate:,.0f}", runs,
            f"{result.median(_late):,.0f}", f"{result.runs[-1].events:,}", ratio,
            "" if goal is None else f"{goal:g} x",
        )  # fmt: skip
    if measured.own is not None:
        table.caption = f"ours: {measured.own.contender.title}; ratios are those of the later half"
    if "plain" in ratios:
        by_plain = ", ".join(f"{pair:.2f}" for pair in measured.pairs())
        table.caption = f"{table.caption}; by plain, round by round: {by_plain}"
    return table


def _late(run: throughput.Run) -> float:
    return run.late_rate


def _work(result: Result) -> dict[str, float]:
    """Return the medians of the processor time an event: of the contender, and of each server."""
    found = {
        "own": result.median(lambda run: run.work),
        "own, later half": result.median(lambda run: run.late_work),
    }
    for server in result.runs[0].servers:
        found[server] = statistics.median(run.servers[server] for run in result.runs)
    return found


def _works(measured: Measured) -> Table:
    table = Table(
        title="Processor time, microseconds per event",
        caption="wrong: of the scores compared with those that the job has to have",
    )
    table.add_column("")
    works = {name: _work(result) for name, result in measured.results.items()}
    for who in next(iter(works.values())):
        table.add_column(who, justify="right")
    table.add_column("wrong", justify="right")
    for name, result in measured.results.items():
        check = result.check()
        checked = "" if check is None else f"{check.wrong:,} of {check.compared:,}"
        table.add_row(result.contender.title, *(f"{work:.1f}" for work in works[name].values()), checked)
    return table


def _burdens(measured: Measured) -> list[str]:
    """Say what policy, timers and reasons leave of our rate."""
    lines = []
    for (more, less), burden in measured.burdens().items():
        titles = [measured.results[name].contender.title for name in (more, less)]
        goal = BURDEN_GOALS[more, less]
        lines.append(
            f"{titles[0]} / {titles[1]}: {burden.rate:.2f} of the rate, {burden.work:.2f} by processor time"
            + ("" if goal is None else f" (goal {goal:g})")
        )
    return lines


def _costs(found: steps.Steps) -> Table:
    table = Table(
        title="Our cost per step, microseconds per event",
        caption=f"batches of {found.batch_events:.0f} events and {found.batch_customers:.0f} customers, "
        f"{found.events:,} events; the sum takes the cached load",
    )
    for name in ("step", "takes", "of it our work"):
        table.add_column(name, justify="left" if name == "step" else "right")
    for step, cost in found.costs.items():
        table.add_row(steps.STEPS[step], f"{cost.elapsed:.2f}", f"{cost.work:.2f}")
    table.add_section()
    elapsed = sum(cost.elapsed for step, cost in found.costs.items() if step != "load_cold")
    table.add_row("sum", f"{elapsed:.2f}", f"{found.work:.2f}")
    return table


def _verdict(measured: Measured) -> list[str]:
    """Say what was missed, and which steps hold it."""
    assert measured.costs is not None
    missed = [name for name, goal in RATE_GOALS.items() if measured.ratios().get(name, goal) < goal]
    if measured.own is not None:
        missed += [f"{OWN_RATE:,} events/s"] * (measured.own.rate < OWN_RATE)
        missed += [f"{OWN_WORK_US} us an event"] * (_work(measured.own)["own"] > OWN_WORK_US)
    if not missed:
        return []
    ranked = sorted(measured.costs.costs.items(), key=lambda item: -item[1].work)
    leading = ", ".join(f"{step} {cost.work:.2f}" for step, cost in ranked[:4])
    return [
        f"Goals missed: {', '.join(missed)}.",
        f"One process works {measured.costs.work:.1f} us for an event, so it cannot score more than "
        f"{1e6 / measured.costs.work:,.0f} a second; most of it is {leading}.",
    ]


def _delays(found: latency.Latency) -> Table:
    table = Table(
        title=f"From event to score at {found.rate:,.0f} events/s, milliseconds",
        caption="from the producer's clock at the send to the score in a consumer's hands, "
        f"{found.events:,} events",
    )
    for name in ("p50", "p90", "p99"):
        table.add_column(name, justify="right")
    table.add_row(*(f"{getattr(found, name):.1f}" for name in ("p50", "p90", "p99")))
    goals = LATENCY_GOALS_MS if found.rate < _BUSY else BUSY_LATENCY_GOALS_MS
    table.add_row(*(f"goal {goals[name]:g}" if name in goals else "" for name in ("p50", "p90", "p99")))
    return table


if __name__ == "__main__":
    typer.run(main)

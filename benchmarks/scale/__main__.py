"""``python -m benchmarks.scale`` (``make bench-scale``): a table, or one JSON object, of each part."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.contenders import EVENTS, SCORES
from benchmarks.peers.job import Task
from benchmarks.scale import rates, restarts
from benchmarks.scale.rates import Rates, Ratios
from benchmarks.scale.restarts import WAYS, Restart, Takeover
from benchmarks.workload import write_bundle
from stream.services.services import EmbeddedServices

PARTS: Final = ("workers", "customers", "learning", "takeover", "rolling")
#: How many times as fast few customers may be as many; what learning has to leave of the rate; seconds.
CUSTOMERS_GOALS: Final = {"sessions": 1.2, "even": 1.4}
LEARNING_GOAL: Final = 0.85
TAKEOVER_GOAL: Final = 12.0
SILENCE_GOAL: Final = 1.0

_err = Console(stderr=True)


def main(
    *,
    only: Annotated[str, typer.Option(help="Parts, by commas.")] = ",".join(PARTS),
    events: Annotated[
        int, typer.Option(min=1000, help="Events in the topic of the first three parts.")
    ] = 1_000_000,
    customers: Annotated[
        tuple[int, int],
        typer.Option(help="Few and many customers; states of the last two parts are of many."),
    ] = (10_000, 1_000_000),
    known: Annotated[
        bool, typer.Option("--known/--new", help="Whether Redis has states of few and many customers before.")
    ] = True,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each way, in turns.")] = 3,
    rate: Annotated[int, typer.Option(min=1, help="Events/s while workers are killed and restarted.")] = 2000,
    seconds: Annotated[float, typer.Option(min=1, help="Time before each kill and restart.")] = 8.0,
    ways: Annotated[str, typer.Option(help="Ways of restarting, by commas.")] = ",".join(WAYS),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Measure two workers against one, many customers, learning, a takeover, and rolling restarts."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # new topics have no leader for a moment
    parts, restarting = only.split(","), ways.split(",")
    for asked, there, option in ((parts, PARTS, "--only"), (restarting, tuple(WAYS), "--ways")):
        if unknown := set(asked) - set(there):
            raise typer.BadParameter(
                f"{sorted(unknown)[0]!r} is none of {', '.join(there)}", param_hint=option
            )
    few, many = customers
    console, said = Console(width=110), dict[str, Any]()

    def say(what: str) -> None:
        _err.print(f"[dim]{what}")

    def tell(part: str, values: dict[str, Any], table: Table) -> None:
        said[part] = values
        if not as_json:
            console.print(table)  # now: the other parts take minutes

    with tempfile.TemporaryDirectory(prefix="intent-scale-") as folder:
        with _err.status("starting Kafka and Redis"):
            services = EmbeddedServices().start()
        try:
            task = Task(
                services.kafka, services.redis, EVENTS, SCORES,
                Path(folder, "bundle"), Path(folder), secrets.token_hex(4),
            )  # fmt: skip
            write_bundle(task.bundle)
            pids = {"broker": services.kafka_server.pid, "Redis": services.redis_server.pid}
            servers = {name: pid for name, pid in pids.items() if pid is not None}
            if "workers" in parts:
                of_workers = asyncio.run(
                    rates.two_against_one(task, servers, events=events, customers=few, rounds=rounds, say=say)
                )
                tell("workers", _values(of_workers), _workers(of_workers, events, few))
            if "customers" in parts:
                of_customers = asyncio.run(
                    rates.many_against_few(
                        task, servers, events=events, few=few, many=many, known=known, rounds=rounds, say=say
                    )
                )
                named = {f"{shape}, {number}": found for (shape, number), found in of_customers.items()}
                tell("customers", _values(named), _customers(of_customers, events, few, many, known))
            if "learning" in parts:
                of_learning = asyncio.run(
                    rates.learning_against_none(
                        task, servers, events=events, customers=few, rounds=rounds, say=say
                    )
                )
                tell("learning", _values(of_learning), _learning(of_learning, events, few))
            if "takeover" in parts:
                taken = restarts.takeover(
                    task._replace(run=f"{task.run}-takeover"),
                    customers=many,
                    rate=rate,
                    seconds=seconds,
                    say=say,
                )
                tell("takeover", _rounded(taken._asdict()), _takeover(taken, many, rate))
            if "rolling" in parts:
                rolled = restarts.rolling(
                    task._replace(run=f"{task.run}-rolling"), restarting,
                    customers=many, rate=rate, seconds=seconds, say=say,
                )  # fmt: skip
                plain = {way: [_rounded(one._asdict()) for one in found] for way, found in rolled.items()}
                tell("rolling", plain, _rolling(rolled, many, rate))
        finally:
            services.stop()
    if as_json:
        print(json.dumps(said))


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in values.items()}


def _values(found: Mapping[str, Rates]) -> dict[str, Any]:
    return {
        name: {
            "rate": round(one.rate),
            "runs": [round(run.rate) for run in one.runs],
            "events": one.runs[-1].events,
            "work_us": round(one.work, 2),
            "servers_us": {server: round(one.server(server) or 0.0, 2) for server in one.runs[0].servers},
        }
        for name, one in found.items()
    }


def _table(title: str, caption: str | None, *columns: str) -> Table:
    table = Table(title=title, caption=caption)
    for at, name in enumerate(columns):
        table.add_column(name, justify="right" if at else "left")
    return table


def _row(name: str, one: Rates, *servers: str) -> list[str]:
    runs = " ".join(f"{run.rate / 1000:.1f}k" for run in one.runs)
    costs = [one.server(server) for server in servers]
    return [
        name, f"{one.rate:,.0f}", runs, f"{one.work:.1f}", *("" if cost is None else f"{cost:.1f}" for cost in costs),
    ]  # fmt: skip


_COSTS: Final = ("events/s", "runs", "µs/event, workers")


def _workers(found: Mapping[str, Rates], events: int, customers: int) -> Table:
    ratios = Ratios.of(found["2"], found["1"])
    table = _table(
        f"Workers of one group: {events:,} events, {customers:,} customers",
        f"two by one: {ratios.rate:.2f} of the rate, {ratios.work:.2f} of the processor time an event",
        "workers", *_COSTS, "broker", "Redis",
    )  # fmt: skip
    for name, one in found.items():
        table.add_row(*_row(name, one, "broker", "Redis"))
    return table


def _customers(
    found: Mapping[tuple[str, int], Rates], events: int, few: int, many: int, known: bool
) -> Table:
    lines = []
    for shape, goal in CUSTOMERS_GOALS.items():
        one, other = found[shape, few], found[shape, many]
        ratios = Ratios.of(one, other)
        redis = (other.server("Redis") or 0.0) / max(one.server("Redis") or 0.0, 1e-9)
        lines.append(
            f"{shape}: few by many {ratios.rate:.2f} of the rate (goal {goal:g} at most); many by few "
            f"{1 / ratios.work:.2f} of the worker's processor time, {redis:.2f} of Redis'"
        )
    table = _table(
        f"Customers, {'all known to Redis' if known else 'all new'}: {events:,} events",
        "\n".join(lines),
        "customers",
        *_COSTS,
        "Redis",
    )
    for (shape, number), one in found.items():
        table.add_row(*_row(f"{number:,}, {shape}", one, "Redis"))
    return table


def _learning(found: Mapping[str, Rates], events: int, customers: int) -> Table:
    ratios = Ratios.of(found["on"], found["off"])
    table = _table(
        f"Learning, with a learner beside the worker: {events:,} events, {customers:,} customers",
        f"on by off: {ratios.rate:.2f} of the rate (goal {LEARNING_GOAL:g}), {1 / ratios.work:.2f} of the events per "
        "second of the worker's processor time",
        "learning", *_COSTS, "learner", "broker",
    )  # fmt: skip
    for name, one in found.items():
        table.add_row(*_row(name, one, "learner", "broker"))
    return table


def _takeover(found: Takeover, customers: int, rate: int) -> Table:
    table = _table(
        f"One of two workers is killed: {customers:,} customers, {rate:,} events/s",
        f"goal: {TAKEOVER_GOAL:g} s at most",
        "seconds after the kill", "",
    )  # fmt: skip
    table.add_row(f"the first of its {found.partitions} partitions goes on", f"{found.first:.1f}")
    table.add_row("the last one goes on", f"{found.last:.1f}")
    table.add_row("no event waits for more than half a second", f"{found.caught_up:.1f}")
    return table


def _rolling(found: Mapping[str, list[Restart]], customers: int, rate: int) -> Table:
    table = _table(
        f"Three workers are restarted in turn: {customers:,} customers, {rate:,} events/s",
        f"goal: {SILENCE_GOAL:g} s of silence at most. Where the old worker stops first and has a name, its partitions "
        "wait while the new one starts.",
        "way, restart", "longest silence, s", "partitions silent > 1 s", "longest latency, s", "restart takes, s",
    )  # fmt: skip
    for way, all_of_it in found.items():
        table.add_section()
        for number, one in enumerate(all_of_it, 1):
            table.add_row(
                f"{WAYS[way].title}, {number}" if number == 1 else f"{number}",
                f"{one.silence:.2f}", f"{one.silent}", f"{one.latency:.2f}", f"{one.took:.1f}",
            )  # fmt: skip
    return table


if __name__ == "__main__":
    typer.run(main)

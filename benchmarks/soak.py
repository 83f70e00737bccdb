"""Hours in miniature: is the memory of worker, learner and Redis flat? ``python -m benchmarks.soak`` (``make soak``).

Starts a broker, a Redis, a worker and a learner. First every customer comes once, as fast as the worker takes it; then,
for ``--minutes``, customers come who were never there before, and those who came first expire, so that Redis always
holds about ``--customers`` states and all are replaced within ``--turnover`` minutes. An hour of event time passes in a
minute. Said at the end: resident memory over time with its trend, what a customer costs in Redis and on its disk, and
what an event takes of the disk of each topic.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import psutil
import redis
from aiokafka import AIOKafkaProducer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.workload import PARTITIONS, write_bundle
from features.partition import partitions_of
from features.store.redis_store import RedisStore
from stream.kafka.records import ARRIVED_AT
from stream.kafka.topics import create_topics
from stream.services.process import free_port
from stream.services.services import EmbeddedServices
from stream.settings import Settings

#: Event time passes so much faster than the clock.
FASTER: Final = 60
_SESSION: Final = ("view_item", "add_to_cart", "view_item")
_PRODUCED: Final = 6_000
_SAMPLE_SECONDS: Final = 5.0
# The worker may be so many events behind while the first ones come.
_AHEAD: Final = 200_000
# A step of the sweep looks at some thousand keys at most: it has to come more often where time passes faster.
_SWEEP_SECONDS: Final = 0.4
_MIB: Final = 1 << 20


class Sample(NamedTuple):
    """What was measured at a moment; resident bytes of each process, and what Redis says."""

    at: float
    worker: int
    learner: int
    redis: int
    used: int
    states: int


class Sampler(threading.Thread):
    """Measures now and then."""

    def __init__(self, processes: Sequence[psutil.Process], client: redis.Redis) -> None:
        super().__init__(daemon=True)
        self.samples: list[Sample] = []
        self._processes, self._client = processes, client
        self._ended = threading.Event()

    def run(self) -> None:
        """Measure until the end."""
        while not self._ended.wait(_SAMPLE_SECONDS):
            resident = [process.memory_info().rss for process in self._processes]
            info: Any = self._client.info("memory")
            count: Any = self._client.dbsize()
            self.samples.append(Sample(time.monotonic(), *resident, int(info["used_memory"]), int(count)))

    def end(self) -> None:
        """Stop measuring."""
        self._ended.set()
        self.join()


class Shop:
    """Emits sessions of customers who were never there before."""

    def __init__(self, settings: Settings, first_ms: int) -> None:
        self.events = 0
        self._settings = settings
        self._now_ms = first_ms
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> Shop:
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._settings.kafka,
            max_batch_size=500_000,
            linger_ms=5,
            enable_idempotence=True,
        )
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._producer is not None
        await self._producer.stop()

    async def emit(self, sessions: int, span_ms: float) -> None:
        """Emit whole sessions, whose events are spread over a span of event time."""
        assert self._producer is not None
        first = self.events // len(_SESSION)
        customers = [b"c%d" % number for number in range(first, first + sessions)]
        homes = partitions_of(customers, PARTITIONS).tolist()
        for at, kind in enumerate(_SESSION):
            time_ms = int(self._now_ms + span_ms * at / len(_SESSION))
            headers = [(ARRIVED_AT, b"%d" % time_ms)]
            for number, (customer, home) in enumerate(zip(customers, homes, strict=True)):
                value = (
                    b'{"event_id":"%b-%d","customer_id":"%b","type":"%b","event_time":%d,"item_id":"i%d","price":%d.5,'
                    b'"quantity":1}'
                    % (customer, at, customer, kind.encode(), time_ms, number % 997, number % 90)
                )
                await self._producer.send(
                    self._settings.events_topic, value, customer, partition=home, headers=headers
                )
        self.events += sessions * len(_SESSION)
        self._now_ms += int(span_ms)

    async def flushed(self) -> None:
        """Wait until Kafka has everything."""
        assert self._producer is not None
        await self._producer.flush()


@contextmanager
def _running(settings: Settings, command: str, before: str = "") -> Iterator[psutil.Process]:
    """Run a worker or a learner."""
    values = settings.masked() | {"redis": settings.redis_url, "http_port": free_port()}
    environment = os.environ | {f"INTENT_{n.upper()}": str(v) for n, v in values.items() if v is not None}
    program = f"{before}from stream.cli import main; main()"
    process = subprocess.Popen([sys.executable, "-c", program, command], env=environment)
    try:
        yield psutil.Process(process.pid)
        assert process.poll() is None, f"the {command} has ended"
    finally:
        process.terminate()
        process.wait()


def _behind(store: RedisStore, shop: Shop) -> int:
    records = [store.record(partition) for partition in range(PARTITIONS)]
    return shop.events - sum(0 if record is None else max(record.next_offset, 0) for record in records)


async def _soak(
    settings: Settings, customers: int, minutes: float, turnover: float, sampler: Sampler
) -> tuple[Shop, int]:
    """Return the shop at the end, and how many samples the filling took."""
    start = time.time_ns() // 1_000_000 - int((minutes + turnover + 60) * 60_000 * FASTER)
    with closing(RedisStore(settings.redis_url, settings.redis_prefix)) as store, Progress() as progress:
        bar = progress.add_task("filling", total=customers)
        async with Shop(settings, start) as shop:
            sampler.start()
            filling_ms = turnover * 60_000 * FASTER  # all expire over the first turnover
            step = _PRODUCED // len(_SESSION)
            for done in range(0, customers, step):
                await shop.emit(min(step, customers - done), filling_ms * step / customers)
                progress.update(bar, completed=done)
                while _behind(store, shop) > _AHEAD:
                    await asyncio.sleep(0.05)
            await shop.flushed()
            while _behind(store, shop) > 0:
                await asyncio.sleep(0.5)
            filled = len(sampler.samples)
            bar, began = progress.add_task("soaking", total=minutes * 60), time.monotonic()
            rate = customers / (turnover * 60)
            emitted = 0
            while (passed := time.monotonic() - began) < minutes * 60:
                due = int(rate * passed)
                if due > emitted:
                    await shop.emit(due - emitted, (due - emitted) / rate * 1_000 * FASTER)
                    emitted = due
                progress.update(bar, completed=passed)
                await asyncio.sleep(0.05)
            await shop.flushed()
            while _behind(store, shop) > 0:
                await asyncio.sleep(0.5)
            return shop, filled


def _disk(folder: Path, topic: str) -> int:
    return sum(file.stat().st_size for part in folder.glob(f"**/{topic}-*") for file in part.glob("*.log"))


def _trend(samples: Sequence[Sample], name: str) -> tuple[float, float, float]:
    """Return the mean of the first and of the last third in MiB, and the trend in MiB an hour."""
    values = np.array([getattr(sample, name) for sample in samples]) / _MIB
    times = np.array([sample.at for sample in samples])
    third = max(len(values) // 3, 1)
    slope = float(np.polyfit(times - times[0], values, 1)[0]) * 3_600
    return float(values[:third].mean()), float(values[-third:].mean()), slope


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument(
        "--turnover", type=float, default=10.0, help="minutes in which all states are replaced"
    )
    said = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="soak") as name,
        EmbeddedServices(Path(name) / "servers") as servers,
    ):
        folder = Path(name)
        write_bundle(folder / "bundle")
        settings = Settings(
            _env_file=None, kafka=servers.kafka, redis=servers.redis, bundle=folder / "bundle", partitions=PARTITIONS,
            state_ttl=f"{said.turnover * FASTER:.0f}m",
        )  # fmt: skip
        create_topics(settings)
        swept = (
            "import stream.ownership.owner as owner; "
            f"owner.ROUND_SECONDS, owner.SWEEP_SECONDS = {said.turnover * 15}, {_SWEEP_SECONDS}; "
        )
        with (
            closing(redis.Redis.from_url(servers.redis)) as client,
            _running(settings, "worker", swept) as worker,
            _running(settings, "learner") as learner,
        ):
            pid = servers.redis_server.pid
            assert pid is not None
            sampler = Sampler([worker, learner, psutil.Process(pid)], client)
            try:
                shop, filled = asyncio.run(
                    _soak(settings, said.customers, said.minutes, said.turnover, sampler)
                )
            finally:
                sampler.end()
            _tell(settings, said.customers, shop, sampler.samples, filled, folder)
            _tell_saved(client, sampler.samples[-1], folder)


def _tell(
    settings: Settings, customers: int, shop: Shop, samples: Sequence[Sample], filled: int, folder: Path
) -> None:
    console = Console(width=110)
    soaked = samples[filled + len(samples[filled:]) // 10 :]  # after a tenth, caches are full
    table = Table(
        title=f"{(soaked[-1].at - soaked[0].at) / 60:.0f} minutes of soaking, {shop.events:,} events in all"
    )
    for heading in ("resident memory", "first third, MiB", "last third, MiB", "trend, MiB an hour"):
        table.add_column(heading, justify="left" if heading.startswith("resident") else "right")
    for label in ("worker", "learner", "redis"):
        first, last, slope = _trend(soaked, label)
        table.add_row(label, f"{first:,.0f}", f"{last:,.0f}", f"{slope:+,.0f}")
    table.add_section()
    thirds = soaked[: len(soaked) // 3 or 1], soaked[-(len(soaked) // 3 or 1) :]
    keys = [sum(one.states for one in third) / len(third) for third in thirds]
    used = [sum(one.used / one.states for one in third) / len(third) for third in thirds]
    table.add_row("keys in Redis", *(f"{count:,.0f}" for count in keys), "")
    table.add_row("bytes used a key", *(f"{count:,.0f}" for count in used), "")
    console.print(table)
    full, now = samples[filled - 1], samples[-1]
    console.print(
        f"Redis when all {customers:,} customers had come: {full.states:,} keys, {full.used / _MIB:,.0f} MiB used, "
        f"{full.used / full.states:,.0f} bytes a key."
    )
    console.print(f"Now: {now.states:,} keys, {now.used / _MIB:,.0f} MiB used.")
    for topic in (
        settings.events_topic, settings.scores_topic, settings.actions_topic, settings.examples_topic,
        settings.outcomes_topic,
    ):  # fmt: skip
        console.print(f"{topic}: {_disk(folder, topic) / shop.events:,.0f} bytes of disk an event")


def _tell_saved(client: redis.Redis, now: Sample, folder: Path) -> None:
    """Have Redis write its snapshot beside its work, and say how large that is."""
    client.bgsave()
    while True:
        info: Any = client.info("persistence")
        if not info["rdb_bgsave_in_progress"]:
            break
        time.sleep(0.5)
    saved = sum(file.stat().st_size for file in folder.glob("**/*.rdb"))
    print(f"Its snapshot on disk has {saved / _MIB:,.0f} MiB, {saved / now.states:,.0f} bytes a key.")


if __name__ == "__main__":
    main()

"""Workers as processes of their own, which are never left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx
from kafka import KafkaConsumer, TopicPartition

from features.exceptions import StoreError
from features.store.partition_record import PartitionRecord
from features.store.redis_store import RedisStore
from stream.services.process import free_port
from stream.settings import Settings
from stream.testing.forked import Forked
from stream.testing.worker_process import variables, without_settings

ROOT: Final = Path(__file__).parents[2]

# Bounds every wait. A worker starts in 3 s, and takes the partitions of a killed one over after 10 s more; two
# busy cores make a multiple of that.
PATIENCE: Final = 60.0

# A process may be asked for its state, or its end be noticed, this much later on a busy machine.
SLACK_SECONDS: Final = 3.0

# In a new checkout the first workers also compile; several at once share the cores.
_FIRST_START: Final = 240.0

_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.2

_SAMPLE: Final = re.compile(r"^(\w+(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)


def until(
    fact: Callable[[], object], what: str, *, seconds: float = PATIENCE, pause: float | None = None
) -> None:
    """Wait until ``fact`` holds; look every ``pause`` seconds.

    By default looks become rarer the longer it takes: each costs the worker that is asked time, too.
    """
    deadline, wait = time.monotonic() + seconds, _PAUSE if pause is None else pause
    while not fact():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(wait)
        wait = min(1.1 * wait, _LONGEST_PAUSE) if pause is None else pause


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment in which a command finds these settings, and no others."""
    return without_settings(os.environ) | variables(settings) | {"PYTHONPATH": str(ROOT)}


def intent(*arguments: str, first: Sequence[str] = ()) -> list[str]:
    """Return the command line ``intent ...``, whether it is installed or not; see `Worker` for ``first``."""
    program = "; ".join((*first, "from stream.cli import main", "main()"))
    return [sys.executable, "-c", program, *arguments]


class Worker:
    """``intent worker``, its health port and its log.

    Parameters
    ----------
    settings
        Where everything is; port 0 is replaced by a free one.
    log
        The file that takes all that the worker prints.
    arguments
        Further ones of the command line.
    command
        The process: ``worker``, or ``learner``, which has the same health port.
    first
        Statements that the process runs before, for example to shorten a wait.
    """

    def __init__(
        self,
        settings: Settings,
        log: Path,
        *arguments: str,
        command: str = "worker",
        first: Sequence[str] = (),
    ) -> None:
        self.port = settings.http_port or free_port()
        self.log = log
        log.write_bytes(b"")
        own = environment(settings.model_copy(update={"http_port": self.port}))
        self.process: Forked | subprocess.Popen[bytes]
        if first:
            with log.open("ab") as file:
                self.process = subprocess.Popen(
                    intent(command, *arguments, first=first),
                    env=own, cwd=log.parent, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                )  # fmt: skip
        else:
            self.process = Forked([command, *arguments], own, log.parent, log)
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10.0)

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def status(self, path: str) -> int:
        """Return the HTTP status, 0 where nobody listens yet."""
        try:
            return self._client.get(path).status_code
        except httpx.TransportError:
            return 0

    def get(self, path: str) -> httpx.Response:
        return self._client.get(path)

    def metrics(self) -> dict[str, float]:
        """Return every sample of ``/metrics`` by its name, labels included."""
        return {name: float(value) for name, value in _SAMPLE.findall(self.get("/metrics").text)}

    def wait_ready(self) -> None:
        until(
            lambda: self.check() and self.status("/readyz") == httpx.codes.OK,
            "the worker is ready",
            seconds=_FIRST_START,
        )

    def check(self) -> bool:
        """Fail with the end of the log if the worker has ended by itself."""
        assert self.running, f"the worker ended with {self.process.returncode}: {self.tail()}"
        return True

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it as a crash would."""
        self.send(signal.SIGKILL)
        self.wait()

    def stop(self) -> tuple[int, float]:
        """Ask it to end; return the exit code and how many seconds it took."""
        began = time.monotonic()
        self.send(signal.SIGTERM)
        return self.wait(), time.monotonic() - began

    def wait(self, seconds: float = PATIENCE) -> int:
        """Return the exit code."""
        code = self.process.wait(seconds)
        self._client.close()
        return code

    def lines(self) -> list[str]:
        """Return what it has printed."""
        return self.log.read_text(errors="replace").splitlines()

    def tail(self) -> str:
        return "\n".join(self.lines()[-30:])


class Fleet:
    """All workers of a test, and how far they have come together.

    Use it as a context manager: what still runs at the end is killed, and the logs are printed, which pytest
    shows if the test has failed.
    """

    def __init__(self, settings: Settings, directory: Path) -> None:
        self.settings = settings
        self.workers: list[Worker] = []
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._store = RedisStore(settings.redis_url, settings.redis_prefix)
        self._consumer = KafkaConsumer(
            bootstrap_servers=settings.kafka, enable_auto_commit=False, **settings.kafka_python_security()
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            if worker.running:
                worker.kill()
            print(f"--- {worker.log.name} (exit code {worker.process.returncode})\n{worker.tail()}")
        self._store.close()
        self._consumer.close()

    def start(
        self,
        *arguments: str,
        settings: Settings | None = None,
        command: str = "worker",
        first: Sequence[str] = (),
    ) -> Worker:
        """Start one more worker, or a learner."""
        log = self._directory / f"{command}{len(self.workers)}.log"
        worker = Worker(settings or self.settings, log, *arguments, command=command, first=first)
        self.workers.append(worker)
        return worker

    def ready(
        self,
        *arguments: str,
        settings: Settings | None = None,
        command: str = "worker",
        first: Sequence[str] = (),
    ) -> Worker:
        """Start one more worker or a learner and wait until it is ready."""
        worker = self.start(*arguments, settings=settings, command=command, first=first)
        worker.wait_ready()
        return worker

    def ends(self, topic: str) -> dict[int, int]:
        """Return the offset after the last record of every partition."""
        partitions = [TopicPartition(topic, number) for number in range(self.settings.partitions)]
        found: Mapping[TopicPartition, int] = self._consumer.end_offsets(partitions)
        return {tp.partition: offset for tp, offset in found.items()}

    def records(self) -> dict[int, PartitionRecord]:
        """Return the stored record of every partition that has one; none while Redis is away."""
        try:
            found = {number: self._store.record(number) for number in range(self.settings.partitions)}
        except StoreError:
            return {}
        return {number: record for number, record in found.items() if record is not None}

    def saved(self) -> int:
        """Return how many events the stored states contain."""
        return sum(record.next_offset for record in self.records().values())

    def finish(self, *workers: Worker) -> None:
        """Wait until the states contain all events that the topic holds; ``workers`` must live until then."""
        ends = self.ends(self.settings.events_topic)

        until(
            lambda: have_all(self.records(), ends) or any(not worker.check() for worker in workers),
            "all events are scored",
        )


def have_all(records: Mapping[int, PartitionRecord], ends: Mapping[int, int]) -> bool:
    """Whether the states of partitions contain all events up to the ends of the topic."""
    return all(
        end == 0 or (number in records and records[number].next_offset == end) for number, end in ends.items()
    )


def service(fleet: Fleet, settings: Settings, *arguments: str) -> Worker:
    """Start ``intent serve`` and wait until it answers."""
    port = free_port()
    own = settings.model_copy(update={"serve_port": port, "http_port": port})
    return fleet.ready(*arguments, settings=own, command="serve")

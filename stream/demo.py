"""A whole deployment on this machine for the time of a block: servers, topics, a worker, and the live page."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from features.decoding import Undecodable, decoded
from features.log import iterate_log, log_rows
from stream.exceptions import ServiceError
from stream.kafka.newest import NewestRecords
from stream.kafka.reading import TopicReader
from stream.kafka.topics import create_topics
from stream.logs.experiment import read_actions
from stream.logs.replay import ReplayReport, replay
from stream.messages.score import Score, decode_score
from stream.services.process import free_port, guard, unguard
from stream.services.services import EmbeddedServices
from stream.settings import Settings, load_settings

#: Partitions of the demo's topics; one worker takes them all.
PARTITIONS: Final = 4
#: How long it takes to send the events that somebody watches.
WATCHED: Final = timedelta(minutes=20)

# A worker is ready within seconds. Its first start on a machine compiles: a minute, or several on a busy one.
_READY_SECONDS: Final = 600.0

# The worker's counters move while it works; a silence this long means that it hangs.
_SILENCE_SECONDS: Final = 60.0

_POLL_SECONDS: Final = 0.1
# New scores are looked at this often: eyes follow no faster.
_LOOK_SECONDS: Final = 0.5

Progress = Callable[[int, int], None]
OnScores = Callable[[list[Score]], None]


@dataclass(frozen=True, slots=True)
class DemoRun:
    """The result of a replay through Kafka, Faust and Redis.

    Attributes
    ----------
    scores
        Every record of the scored topic, partition by partition.
    events, duplicates, dead_letters
        Records in the events topic, repetitions that the worker dropped, records in the dead-letter topic.
    events_per_second
        From the replay's start to the last score.
    actions
        Every record of the actions topic; see `stream.logs.experiment.Actions`.
    """

    scores: list[Score]
    events: int
    duplicates: int
    dead_letters: int
    events_per_second: float
    actions: pa.Table


def run(
    log: Path,
    bundle: Path,
    *,
    holdout: float | None = None,
    on_services: Progress | None = None,
    on_progress: Progress | None = None,
    on_scores: OnScores | None = None,
) -> DemoRun:
    """Replay a log through an embedded deployment and collect the scores; see `deployed` and `Deployment.stream`."""
    with deployed(bundle, holdout=holdout, on_services=on_services) as deployment:
        return deployment.stream(log, on_progress=on_progress, on_scores=on_scores)


@contextmanager
def deployed(
    bundle: Path, *, holdout: float | None = None, on_services: Progress | None = None
) -> Iterator[Deployment]:
    """Start servers, topics and a worker, and end them with the block.

    Parameters
    ----------
    holdout
        Share of customers that is left alone; by default that of the settings.
    on_services
        Progress of downloading the broker, the first time.

    Raises
    ------
    ServiceError
        A server or the worker does not start.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="intent-demo-")))
        services = EmbeddedServices(folder / "servers")
        services.start(on_services)
        stack.callback(services.stop)
        settings = load_settings(
            kafka=services.kafka,
            redis=services.redis,
            bundle=bundle,
            partitions=PARTITIONS,
            http_port=free_port(),
            **({} if holdout is None else {"holdout": holdout}),
        )
        create_topics(settings)
        worker = stack.enter_context(_started("worker", settings, folder))
        _wait_ready(worker, f"http://{settings.http_host}:{settings.http_port}")
        yield Deployment(settings, folder, worker)


class Deployment:
    """Servers and a worker that wait for events.

    Parameters
    ----------
    settings
        Where everything is.
    folder
        Takes the logs of processes.
    worker
        Scores.
    """

    def __init__(self, settings: Settings, folder: Path, worker: _Process) -> None:
        self._settings = settings
        self._folder = folder
        self._processes = [worker]

    def stream(
        self, log: Path, *, on_progress: Progress | None = None, on_scores: OnScores | None = None
    ) -> DemoRun:
        """Replay a log as fast as the worker scores it, and return what it said.

        Parameters
        ----------
        on_progress
            Called with events done by the worker and events in all.
        on_scores
            Called with the newest scores, twice a second while the worker scores.

        Raises
        ------
        ServiceError
            The worker ends, or makes no progress.
        """
        settings = self._settings
        began = time.monotonic()
        with ThreadPoolExecutor(1) as beside, NewestRecords(settings, settings.scores_topic) as newest:
            sending = beside.submit(replay, settings, log)
            look = None if on_scores is None else partial(_look, newest, on_scores)
            report, counters = _finish(
                self._processes[0], settings, sending, log_rows(log), on_progress, look
            )
        seconds = time.monotonic() - began
        scores, dead_letters = asyncio.run(_collect(settings))
        return DemoRun(
            scores,
            report.events,
            int(counters["intent_duplicates_total"]),
            dead_letters,
            report.events / seconds,
            read_actions(settings, None).table,
        )

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Start the service, and a learner where its packages are installed; yield the address of the live page.

        Raises
        ------
        ServiceError
            The service does not start.
        """
        settings = self._settings.model_copy(
            update={"serve_host": "127.0.0.1", "serve_port": self._port(), "serve_keys": None}
        )
        address = f"http://127.0.0.1:{settings.serve_port}"
        with ExitStack() as stack:
            service = stack.enter_context(_started("serve", settings, self._folder))
            self._processes.append(service)
            if find_spec("river") is not None:
                own = settings.model_copy(update={"http_port": free_port()})
                self._processes.append(stack.enter_context(_started("learner", own, self._folder)))
            _wait_ready(service, address)
            yield f"{address}/"

    def watch(self, log: Path) -> None:
        """Send a log's events within `WATCHED`, at an even pace of event time, and then wait for ever.

        Raises
        ------
        ServiceError
            A process ended.
        """
        replay(self._settings, log, speed=f"{pace(log):.3f}x", on_progress=lambda done, total: self._check())
        while True:
            self._check()
            time.sleep(1.0)

    def _check(self) -> None:
        for process in self._processes:
            process.check()

    def _port(self) -> int:
        """Return the port of the settings, or a free one where it is taken."""
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("127.0.0.1", self._settings.serve_port))
            except OSError:
                return free_port()
            return int(tried.getsockname()[1])


def pace(log: Path) -> float:
    """Return how many times as fast as life a log passes within `WATCHED`; a shorter one passes as it was."""
    return max(span_ms(log) / 1000 / WATCHED.total_seconds(), 1.0)


def span_ms(log: Path) -> int:
    """Return the time from a log's first event to its last one."""
    times = pa.chunked_array([table["event_time"].cast(pa.int64()) for table in iterate_log(log)])
    return int(pc.max(times).as_py()) - int(pc.min(times).as_py())


@dataclass(frozen=True, slots=True)
class _Process:
    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        if self.process.poll() is not None:
            lines = self.log.read_text(errors="replace").strip().splitlines()
            raise ServiceError(
                f"`intent {self.name}` stopped: {lines[-1] if lines else 'it printed no message'}"
            )


@contextmanager
def _started(command: str, settings: Settings, folder: Path) -> Iterator[_Process]:
    """Start a command of ours, and end it with the block."""
    named = {
        "kafka": settings.kafka,
        "redis": settings.redis_url,
        "bundle": str(settings.bundle.absolute()),
        "partitions": str(settings.partitions),
        "http_port": str(settings.http_port),
        "holdout": str(settings.holdout),
        "serve_host": settings.serve_host,
        "serve_port": str(settings.serve_port),
    }
    environment = {**os.environ, **{f"INTENT_{name.upper()}": value for name, value in named.items()}}
    log = folder / f"{command}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", "from stream.cli import main; main()", command],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for this process to act on
        )
    guarding = guard(process)
    try:
        yield _Process(command, process, log)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        unguard(guarding)


def _wait_ready(process: _Process, address: str) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while _get(f"{address}/readyz") is None:
        process.check()
        if time.monotonic() > deadline:
            raise ServiceError(
                f"`intent {process.name}` was not ready within {_READY_SECONDS:.0f} s: stop other programs and retry"
            )
        time.sleep(_POLL_SECONDS)


def _finish(
    worker: _Process,
    settings: Settings,
    sending: Future[ReplayReport],
    rows: int,
    on_progress: Progress | None,
    look: Callable[[], None] | None,
) -> tuple[ReplayReport, dict[str, float]]:
    """Wait until the worker has done all that is sent; return the replay's report and the worker's counters."""
    done, moved, looked = -1.0, time.monotonic(), time.monotonic()
    while True:
        worker.check()
        events = sending.result().events if sending.done() else rows
        counters = _counters(_get(f"http://{settings.http_host}:{settings.http_port}/metrics") or "")
        now = counters.get("intent_events_total", 0.0)
        if on_progress is not None:
            on_progress(int(now), events)
        if sending.done() and now >= sending.result().events:
            return sending.result(), counters
        if look is not None and time.monotonic() - looked > _LOOK_SECONDS:
            look()
            looked = time.monotonic()
        if now > done:
            done, moved = now, time.monotonic()
        elif time.monotonic() - moved > _SILENCE_SECONDS:
            raise ServiceError(
                f"the worker made no progress for {_SILENCE_SECONDS:.0f} s, after {done:.0f} of {events} events"
            )
        time.sleep(_POLL_SECONDS)


def _look(newest: NewestRecords, on_scores: OnScores) -> None:
    scores = []
    for value in newest.read():
        with suppress(Undecodable):
            scores.append(decoded(decode_score, value))
    on_scores(scores)


async def _collect(settings: Settings) -> tuple[list[Score], int]:
    scores: list[Score] = []
    async with TopicReader(settings, settings.scores_topic) as reader:
        async for _, records in reader.read():
            scores += [decode_score(record.value) for record in records if record.value is not None]
    async with TopicReader(settings, settings.dead_letters_topic) as reader:
        return scores, sum(reader.ends.values())


def _get(url: str) -> str | None:
    """Return an answer; ``None`` until somebody listens there and is ready."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:  # also urllib.error.URLError
        return None


def _counters(metrics: str) -> dict[str, float]:
    rows = (line.rsplit(" ", 1) for line in metrics.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, value in rows}

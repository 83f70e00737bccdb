"""What look-ups over HTTP cost, and how soon they are answered: ``python -m benchmarks.serving [SECONDS] [RATE ...]``.

Starts a broker, a Redis with the states of 20,000 simulated customers, and one ``intent serve``. For each RATE a client
asks for random customers at so many a second, whether earlier answers have come or not (an open loop), over 64
connections. A time is that from the moment at which a request was due to the last byte of its answer, so a service that
falls behind cannot hide it. The last line asks for 100 customers at a time.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import httpx
import msgspec
import numpy as np
import psutil

from benchmarks.workload import PARTITIONS, simulated, write_bundle
from features.bundle import Bundle
from features.columns import from_events
from features.events import decode_many
from features.partition import partitions_of
from features.state import empty
from features.store.partition_record import PartitionRecord
from features.store.redis_store import RedisStore
from stream.kafka.topics import create_topics
from stream.scoring.engine import engine_of, slots_of
from stream.services.process import free_port
from stream.services.services import EmbeddedServices
from stream.settings import Settings

_CUSTOMERS: Final = 20_000
_EVENTS: Final = 200_000
_CONNECTIONS: Final = 64
_AT_ONCE: Final = 100
_BATCH_RATE: Final = 20.0
_WARM_SECONDS: Final = 3.0


class Measured(NamedTuple):
    """What a run said: answers a second, milliseconds (median, 99 %), CPU microseconds a customer, and failures."""

    rate: float
    median: float
    high: float
    cost: float
    failed: int


class _Client(asyncio.Protocol):
    """One connection that asks again and again; answers have a length."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._due: deque[float] = deque()
        self._got = b""
        self.times: list[float] = []
        self.failed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self, request: bytes, due: float) -> None:
        assert self.transport is not None
        self._due.append(due)
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        while (end := self._got.find(b"\r\n\r\n")) >= 0:
            head = self._got[:end].lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            if len(self._got) < end + 4 + length:
                return
            self.failed += not head.startswith(b"http/1.1 200")
            self._got = self._got[end + 4 + length :]
            self.times.append(time.perf_counter() - self._due.popleft())


async def _asked(port: int, rate: float, seconds: float, request: Callable[[], bytes]) -> list[_Client]:
    """Ask at a rate, at random moments; return the connections once all is answered."""
    loop = asyncio.get_running_loop()
    clients = [(await loop.create_connection(_Client, "127.0.0.1", port))[1] for _ in range(_CONNECTIONS)]
    chooser = random.Random(7)
    due = began = time.perf_counter()
    number = 0
    while (due := due + chooser.expovariate(rate)) < began + seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        clients[number % _CONNECTIONS].ask(request(), due)
        number += 1
    until = time.perf_counter() + 20.0
    while sum(len(one.times) for one in clients) < number and time.perf_counter() < until:
        await asyncio.sleep(0.05)
    for one in clients:
        assert one.transport is not None
        one.transport.close()
    return clients


def _look_up() -> Callable[[], bytes]:
    chooser = random.Random(11)
    return lambda: (
        b"GET /v1/customers/%b HTTP/1.1\r\nhost: localhost\r\n\r\n"
        % _customer(chooser.randrange(_CUSTOMERS)).encode()
    )


def _batch() -> Callable[[], bytes]:
    chooser = random.Random(13)

    def request() -> bytes:
        ids = [_customer(chooser.randrange(_CUSTOMERS)) for _ in range(_AT_ONCE)]
        body = msgspec.json.encode({"customer_ids": ids})
        head = b"POST /v1/customers:batch HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        return head + b"content-length: %d\r\n\r\n%b" % (len(body), body)

    return request


def _measured(
    service: psutil.Process, port: int, rate: float, seconds: float, request: Callable[[], bytes], each: int
) -> Measured:
    before = _cpu(service)
    clients = asyncio.run(_asked(port, rate, seconds, request))
    used = _cpu(service) - before
    times = np.array([one for client in clients for one in client.times])
    median, high = np.quantile(times, [0.5, 0.99]) * 1000
    failed = sum(one.failed for one in clients)
    return Measured(len(times) / seconds, median, high, used / (len(times) * each) * 1e6, failed)


def _cpu(service: psutil.Process) -> float:
    times = service.cpu_times()
    return float(times.user + times.system)


def _customer(number: int) -> str:
    return _NAMES[number % len(_NAMES)]


_NAMES: list[str] = []


def _fill(settings: Settings) -> None:
    """Write the states of simulated customers, as workers would have saved them."""
    engine = engine_of(settings, Bundle.load(settings.bundle))
    events = decode_many(simulated(_EVENTS, _CUSTOMERS).values).events
    columns = from_events(events, engine.bundle.manifest.currency)
    customers, slots = slots_of(columns.customers)
    states = empty(len(customers))
    engine.score(columns, customers, slots, states)
    _NAMES.extend(customers)
    homes = partitions_of([one.encode() for one in customers], PARTITIONS)
    store = RedisStore(settings.redis_url, settings.redis_prefix)
    for partition in range(PARTITIONS):
        own = np.flatnonzero(homes == partition)
        watermark = int(columns.time.max()) - settings.lateness_ms
        record = PartitionRecord(1, bytes(16), 0, watermark, PARTITIONS)
        store.claim(partition, None, record)
        store.save(partition, record, record, [customers[at] for at in own.tolist()], states[own])
    store.close()


def _wait(port: int, service: subprocess.Popen[bytes]) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        while True:
            assert service.poll() is None, "the service has ended"
            try:
                if client.get("/readyz").status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                time.sleep(0.1)


def main(seconds: float = 20.0, rates: Sequence[float] = (200.0, 1_000.0)) -> None:
    """Print a line for each rate, and one for batches."""
    with EmbeddedServices() as servers, tempfile.TemporaryDirectory() as folder:
        write_bundle(Path(folder))
        settings = Settings(
            _env_file=None, kafka=servers.kafka, redis=servers.redis, bundle=Path(folder), partitions=PARTITIONS,
            serve_port=free_port(),
        )  # fmt: skip
        create_topics(settings)
        _fill(settings)
        values = settings.masked() | {"redis": settings.redis_url}
        environment = os.environ | {f"INTENT_{n.upper()}": str(v) for n, v in values.items() if v is not None}
        command = [sys.executable, "-c", "from stream.cli import main; main()", "serve"]
        service = subprocess.Popen(command, env=environment)
        try:
            port = settings.serve_port
            _wait(port, service)
            process = psutil.Process(service.pid)
            _measured(process, port, rates[0], _WARM_SECONDS, _look_up(), 1)
            for rate in rates:
                _tell(f"{rate:g} look-ups/s", _measured(process, port, rate, seconds, _look_up(), 1))
            told = _measured(process, port, _BATCH_RATE, seconds, _batch(), _AT_ONCE)
            _tell(f"{_BATCH_RATE:g} batches of {_AT_ONCE} a second", told)
        finally:
            service.terminate()
            service.wait()


def _tell(what: str, found: Measured) -> None:
    print(
        f"{what}: {found.rate:.0f} answers/s, p50 {found.median:.2f} ms, p99 {found.high:.2f} ms, "
        f"{found.cost:.0f} us of CPU a customer, {found.failed} failed",
        flush=True,
    )


if __name__ == "__main__":
    main(
        *(float(one) for one in sys.argv[1:2]),
        *([[float(one) for one in sys.argv[2:]]] if sys.argv[2:] else []),
    )

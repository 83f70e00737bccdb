"""What a worker costs at a low rate, and how soon it answers.

``python -m benchmarks.idle [RATE] [SECONDS] [LINGER ...]`` starts a broker, a Redis and, for each linger
(milliseconds), one ``intent worker``. It emits RATE events a second at random moments, and prints the worker's CPU time
in per cent of a core, and the latency from an event's arrival at the broker to the acknowledgement of its score, as the
worker's own histogram has it.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil
from kafka import KafkaProducer

from benchmarks.workload import write_bundle
from features.events import Event, encode
from stream.kafka.topics import create_topics
from stream.services.process import free_port
from stream.services.services import EmbeddedServices
from stream.settings import Settings

_CUSTOMERS = 2_000
# As in a shop's life, the broker's code is compiled and customers are known before the rate is low.
_WARM_RATE, _WARM_SECONDS = 1_000.0, 10.0
_BUCKET = re.compile(r'^intent_latency_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE)


def main(rate: float = 100.0, seconds: float = 20.0, *lingers: int) -> None:
    """Print a line for each linger."""
    with EmbeddedServices() as servers, tempfile.TemporaryDirectory() as folder:
        write_bundle(Path(folder))
        for linger in lingers or (0, 100):
            settings = Settings(
                _env_file=None,
                kafka=servers.kafka,
                redis=servers.redis,
                topic_prefix=f"linger{linger}.",
                redis_prefix=f"linger{linger}",
                group=f"linger{linger}",
                bundle=Path(folder),
                http_port=free_port(),
                linger=linger,
            )
            create_topics(settings)
            core, rounds, (median, high) = _measured(settings, rate, seconds)
            print(
                f"linger {linger} ms, {rate:g} events/s: {core:.1f}% of a core, {rounds:.0f} rounds/s, "
                f"p50 {1000 * median:.1f} ms, p99 {1000 * high:.1f} ms",
                flush=True,
            )


def _measured(settings: Settings, rate: float, seconds: float) -> tuple[float, float, tuple[float, float]]:
    values = settings.masked() | {"redis": settings.redis_url}
    environment = os.environ | {f"INTENT_{n.upper()}": str(v) for n, v in values.items() if v is not None}
    command = [sys.executable, "-c", "from stream.cli import main; main()", "worker"]
    worker = subprocess.Popen(command, env=environment)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{settings.http_port}") as client:
            while not _ready(client):
                assert worker.poll() is None, "the worker has ended"
                time.sleep(0.1)
            _emit(settings, _WARM_RATE, _WARM_SECONDS)
            time.sleep(1.0)  # until all of that is scored
            before, rounds = _latencies(client), _rounds(client)
            used, began = _cpu(worker), time.monotonic()
            _emit(settings, rate, seconds)
            used, took = _cpu(worker) - used, time.monotonic() - began
            counted = {le: n - before[le] for le, n in _latencies(client).items()}
            rounds = _rounds(client) - rounds
        return 100 * used / took, rounds / took, (_quantile(counted, 0.5), _quantile(counted, 0.99))
    finally:
        worker.terminate()
        worker.wait()


def _ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _emit(settings: Settings, rate: float, seconds: float) -> None:
    chooser, producer = random.Random(7), KafkaProducer(bootstrap_servers=settings.kafka)
    until = at = time.monotonic()
    until += seconds
    while (at := at + chooser.expovariate(rate)) < until:
        time.sleep(max(0.0, at - time.monotonic()))
        now, customer = time.time_ns(), f"c{chooser.randrange(_CUSTOMERS)}"
        event = Event(event_id=f"e{now}", type="view_item", customer_id=customer, event_time=now // 1_000_000)
        producer.send(settings.events_topic, key=customer.encode(), value=encode(event))
    producer.close()


def _cpu(worker: subprocess.Popen[bytes]) -> float:
    times = psutil.Process(worker.pid).cpu_times()
    return float(times.user + times.system)


def _rounds(client: httpx.Client) -> float:
    [number] = re.findall(r"^intent_batch_seconds_count (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return float(number)


def _latencies(client: httpx.Client) -> dict[float, float]:
    return {float(le): float(n) for le, n in _BUCKET.findall(client.get("/metrics").text)}


def _quantile(counts: dict[float, float], share: float) -> float:
    """Return a quantile of cumulative counts by bucket, interpolated within the bucket."""
    total, below, former = counts[float("inf")], 0.0, 0.0
    for bound, number in counts.items():
        if number >= share * total:
            part = (share * total - former) / max(number - former, 1e-9)
            return below if bound == float("inf") else below + part * (bound - below)
        below, former = bound, number
    return below


if __name__ == "__main__":
    main(*map(float, sys.argv[1:3]), *map(int, sys.argv[3:]))

"""What the service counts. With several processes all of them count into one place (prometheus-client's own way)."""

from __future__ import annotations

import os

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

#: The folder into which several processes count.
FOLDER = "PROMETHEUS_MULTIPROC_DIR"

_SECONDS = (0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0)


class ServiceMetrics:
    """Counters of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "intent_serve_requests", "Requests by route and status", ["method", "route", "status"],
            registry=self.registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "intent_serve_seconds", "Time of an answer", ["route"], buckets=_SECONDS, registry=self.registry
        )
        self.events = Counter(
            "intent_serve_events", "Events that were sent, by what became of them", ["outcome"],
            registry=self.registry,
        )  # fmt: skip
        self.streams = Gauge(
            "intent_serve_streams", "Open streams", ["topic"], registry=self.registry,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self.dropped = Counter(
            "intent_serve_streams_dropped", "Streams that were ended because the client was too slow",
            registry=self.registry,
        )  # fmt: skip

    def exposed(self) -> tuple[bytes, str]:
        """Return all figures as Prometheus text, and its media type."""
        registry = self.registry
        if os.environ.get(FOLDER):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry), CONTENT_TYPE_LATEST

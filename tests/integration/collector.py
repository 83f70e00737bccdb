"""A collector of spans: takes ``POST /v1/traces`` as OpenTelemetry's does (OTLP over HTTP), and keeps what came."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """Listens from the beginning to the end of a ``with`` block.

    Attributes
    ----------
    requests
        What came, oldest first.
    """

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        requests = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                assert self.path == "/v1/traces"
                requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.end_headers()
                self.wfile.write(ExportTraceServiceResponse().SerializeToString())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        """For ``OTEL_EXPORTER_OTLP_ENDPOINT``."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def services(self) -> set[str]:
        """The names of the services that sent something."""
        sent = (resource.resource.attributes for one in self.requests for resource in one.resource_spans)
        return {str(values(attributes)["service.name"]) for attributes in sent}

    def spans(self, name: str) -> list[Span]:
        """Return the spans of a name, in the order in which they came."""
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
            if span.name == name
        ]

    def everything(self) -> str:
        """Return all that came, as text."""
        return "".join(map(str, self.requests))


def values(attributes: object) -> dict[str, str | int | list[str]]:
    """Return attributes as plain values."""
    found: dict[str, str | int | list[str]] = {}
    pairs: list[KeyValue] = list(attributes)  # type: ignore[call-overload]
    for pair in pairs:
        kind = pair.value.WhichOneof("value")
        found[pair.key] = (
            [one.string_value for one in pair.value.array_value.values]
            if kind == "array_value"
            else getattr(pair.value, kind)
        )
    return found

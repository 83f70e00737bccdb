"""``python -m benchmarks.collector PORT``: takes spans as a collector does (OTLP over HTTP), and forgets them."""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open, as those of a collector do

    def do_POST(self) -> None:
        """Take a request, and say how much it was."""
        size = len(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")  # an empty answer: all spans were taken
        self.end_headers()
        print(f"{size} bytes", flush=True)

    def log_message(self, *_: object) -> None:
        """Say nothing else."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()

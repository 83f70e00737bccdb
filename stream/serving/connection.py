"""One connection: uvicorn's HTTP protocol, with bounds on the head of a request, which the application never sees."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Bounds what a head takes in memory. An id has up to 128 characters, 1.5 kB as a URL; keys and cookies have the rest.
HEAD_BYTES: Final = 32 * 1024
# Bounds how long a client may take for a head; without it, connections that say nothing are held for ever.
HEAD_SECONDS: Final = 10.0


class Connection(HttpToolsProtocol):
    """Closes connections whose heads are too large or too slow."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._in_head = True
        self._head = 0
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection."""
        super().connection_made(transport)
        self._late = self.loop.call_later(HEAD_SECONDS, self._close_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let a connection go."""
        self._forget_late()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes, unless they are too many for a head."""
        if self._in_head:
            self._head += len(data)
            if self._late is None and self.timeout_keep_alive_task is not None:
                self._late = self.loop.call_later(HEAD_SECONDS, self._close_late)
        super().data_received(data)
        if self._in_head and self._head > HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
            self.transport.close()

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """End a head."""
        self._in_head, self._head = False, 0
        self._forget_late()
        super().on_headers_complete()

    def _close_late(self) -> None:
        self._late = None
        if self._in_head and not self.transport.is_closing():
            self.transport.close()

    def _forget_late(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

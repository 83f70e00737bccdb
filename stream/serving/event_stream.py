"""An answer that goes on: server-sent events, until the client goes, is too slow, or the process ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

#: How long a client may take for a piece, of up to 500 events.
SEND_SECONDS: Final = 30.0


class EventStream(Response):
    """Sends pieces as they come.

    Parameters
    ----------
    pieces
        Of the stream; the first is awaited before the answer begins, so that what is wrong can still be said.
    on_slow
        Called when the client has not taken a piece in time.
    """

    media_type = "text/event-stream"

    def __init__(self, pieces: AsyncGenerator[bytes], first: bytes, on_slow: Callable[[], None]) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        self._pieces = pieces
        self._first = first
        self._on_slow = on_slow

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until there is nothing more to send, or nobody takes it."""
        headers = [pair for pair in self.raw_headers if pair[0] != b"content-length"]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        sending = asyncio.create_task(self._send(send))
        gone = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            gone.cancel()
            await asyncio.wait({sending, gone})
        if not sending.cancelled() and (error := sending.exception()) is not None:
            if not isinstance(error, TimeoutError):
                raise error
            self._on_slow()

    async def _send(self, send: Send) -> None:
        async with aclosing(self._pieces) as pieces:
            await _piece(send, self._first)
            async for piece in pieces:
                await _piece(send, piece)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _piece(send: Send, piece: bytes) -> None:
    async with asyncio.timeout(SEND_SECONDS):
        await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

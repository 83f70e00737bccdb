"""A TCP proxy in front of a server: it passes bytes on, stalls, cuts all connections, or delays every answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Final, Self

from stream.services.process import LOCALHOST, free_port

PASS: Final = "pass"
STALL: Final = "stall"
CUT: Final = "cut"
SLOW: Final = "slow"

_PIECE: Final = 1 << 16
_SLOW_SECONDS: Final = 0.1


class Proxy:
    """The proxy, in a thread of its own.

    Parameters
    ----------
    target
        Port of the server on this machine.

    Attributes
    ----------
    port
        Where clients connect.
    """

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._mode = PASS
        self._loop = asyncio.new_event_loop()
        self._passes = asyncio.Event()
        self._passes.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._accept, LOCALHOST, self.port))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _close(self) -> None:
        """Take no more connections, and end those that there are."""
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the next turn of the loop

    def switch(self, mode: str) -> None:
        """Treat connections in another way from now on."""
        self._loop.call_soon_threadsafe(self._switch, mode)

    def _switch(self, mode: str) -> None:
        self._mode = mode
        if mode == CUT:
            for writer in self._writers:
                writer.transport.abort()
        if mode == STALL:
            self._passes.clear()
        else:
            self._passes.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode == CUT:
            writer.transport.abort()
            return
        try:
            server_reader, server_writer = await asyncio.open_connection(LOCALHOST, self._target)
        except OSError:  # the server is down: so is this way to it
            writer.transport.abort()
            return
        both = {writer, server_writer}
        self._writers |= both
        pumps = [
            asyncio.create_task(self._pump(reader, server_writer)),
            asyncio.create_task(self._pump(server_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            self._writers -= both
            for one in both:
                one.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(_PIECE):
                await self._passes.wait()
                if self._mode == SLOW:
                    await asyncio.sleep(_SLOW_SECONDS)
                writer.write(piece)
                await writer.drain()
        except OSError:  # one side is gone: the other one follows
            return

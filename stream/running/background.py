"""Endless work beside the main one: restarted with pauses when it fails, and what failed is known to readiness."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

from features.causes import cause

logger = logging.getLogger(__name__)

# Pauses after the first, second, ... failure in a row; the last stands for all that follow.
_PAUSES: Final = (1.0, 5.0, 30.0)

# Work that has run for so long since its restart counts as mended. Longer than any of it sleeps between two looks.
_MENDED_SECONDS: Final = 15.0

# Bounds the wait for work that is to end; it holds nothing that has to be finished.
_CANCEL_SECONDS: Final = 1.0


class Background:
    """Runs endless work beside a block.

    Parameters
    ----------
    pauses, mended_seconds
        Seconds before a restart, by failures in a row; seconds after which a restart counts as a success.

    Attributes
    ----------
    troubles
        What has failed and has not run since for long enough, by the name of the work.
    """

    def __init__(
        self, *, pauses: tuple[float, ...] = _PAUSES, mended_seconds: float = _MENDED_SECONDS
    ) -> None:
        self.troubles: dict[str, str] = {}
        self._pauses = pauses
        self._mended_seconds = mended_seconds

    @property
    def trouble(self) -> str:
        """What has failed, empty when all is well."""
        return "; ".join(self.troubles.values())

    @property
    def ready(self) -> bool:
        """Whether all is well."""
        return not self.troubles

    @asynccontextmanager
    async def beside(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
        """Run ``work()``, again and again where it fails, for as long as the block lasts."""
        task = asyncio.create_task(self._keep_up(name, work), name=name)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=_CANCEL_SECONDS)

    async def _keep_up(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            began = loop.time()
            mended = loop.call_later(self._mended_seconds, self.troubles.pop, name, None)
            try:
                await work()
                return
            except Exception as error:
                failures = 1 if loop.time() - began >= self._mended_seconds else failures + 1
                pause = self._pauses[min(failures, len(self._pauses)) - 1]
                self.troubles[name] = f"{name} failed: {cause(error)}"
                logger.exception("%s failed, starting it again in %s s", name, pause)
            finally:
                mended.cancel()
            await asyncio.sleep(pause)

"""Whether the service can answer: what Redis and Kafka have lately answered, not what they once did."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from features.exceptions import IntentError
from stream.health import Readiness

# An answer of so long ago is asked for again.
_RECENT_SECONDS: Final = 5.0
# Bounds a look; a probe of Kubernetes waits for one second unless it is told otherwise.
_ANSWER_SECONDS: Final = 3.0


class ServiceReadiness:
    """Asks Redis, unless look-ups have just done so, and knows what runs in the background.

    Parameters
    ----------
    answered_at
        Returns when Redis last answered, seconds of `time.monotonic`.
    ask
        Asks it.
    background
        What else has to be well.

    Attributes
    ----------
    trouble
        Why the service is not ready; empty where it is.
    """

    def __init__(
        self, answered_at: Callable[[], float], ask: Callable[[], Awaitable[object]], background: Readiness
    ) -> None:
        self._answered_at = answered_at
        self._ask = ask
        self._background = background
        self._failed = ""

    @property
    def trouble(self) -> str:
        """See above."""
        return self._failed or self._background.trouble

    async def ask(self) -> None:
        """Find out."""
        if time.monotonic() - self._answered_at() <= _RECENT_SECONDS:
            self._failed = ""
            return
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await self._ask()
        except TimeoutError:
            self._failed = f"Redis has not answered within {_ANSWER_SECONDS:.0f} s"
        except IntentError as error:
            self._failed = str(error)
        else:
            self._failed = ""

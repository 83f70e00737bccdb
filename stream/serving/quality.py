"""The live figures and the refused records, for who asks over HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import msgspec

from stream.learning.report import decode_report, intervals_of
from stream.learning.snapshot_store import SnapshotStore
from stream.logs.letters import latest_letters
from stream.serving import problems
from stream.settings import Settings

# Looks at the dead letters, at a time: each opens a reader of its own.
_AT_A_TIME: Final = 2
#: Letters of an answer.
MOST_LETTERS: Final = 200


class Insight:
    """Answers about the system.

    Parameters
    ----------
    settings
        Where Kafka and Redis are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._snapshots = SnapshotStore(settings.redis_url, settings.redis_prefix)
        self._looking = asyncio.Semaphore(_AT_A_TIME)

    def close(self) -> None:
        """Close all connections."""
        self._snapshots.close()

    async def quality(self) -> dict[str, Any]:
        """Return the live figures of the learner, as `intent quality --json` prints them.

        Raises
        ------
        NotFound
            There are none yet.
        """
        raw = await asyncio.to_thread(self._snapshots.quality)
        if raw is None:
            raise problems.NotFound(
                "no figures yet: a learner makes them once the horizon of some events has passed"
            )
        report = decode_report(raw)
        intervals = msgspec.to_builtins(intervals_of(report))
        found: dict[str, Any] = json.loads(raw.decode(errors="replace")) | {"intervals": intervals}
        return found

    async def letters(self, limit: int, reason: str | None) -> list[dict[str, Any]]:
        """Return the latest dead letters, the newest last."""
        async with self._looking:
            found = await latest_letters(self._settings, limit, reason)
        return [letter.as_dict() for letter in found]

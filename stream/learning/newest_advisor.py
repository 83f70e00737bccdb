"""Keeps a scorer's advisor the newest one: looks into Redis, and swaps it between two batches, without a pause.

What an advisor is and what it says stands in `stream.learning.model.advisor`; here is only how a scorer gets it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import numpy as np

from features.bundle import Bundle
from features.exceptions import IntentError, StoreError
from features.vector import WIDTH
from stream.learning.model.advisor import Advisor
from stream.learning.model.history import Version
from stream.learning.model.inputs import Inputs
from stream.learning.model.linear import LinearPredictor
from stream.learning.model.snapshot import Snapshot
from stream.learning.snapshot_store import SnapshotStore

logger = logging.getLogger(__name__)

# How old a snapshot may become before scorers notice a newer one, on top of the learner's own pace.
_LOOK_SECONDS: Final = 1.0


class NewestAdvisor:
    """Looks for a newer snapshot every second, and loads it in a thread.

    Parameters
    ----------
    store
        Where snapshots are.
    bundle
        Who scores; what was learned for another bundle is left alone.

    Attributes
    ----------
    current
        The newest advisor, ``None`` until one exists for this bundle.
    """

    def __init__(self, store: SnapshotStore, bundle: Bundle) -> None:
        self.current: Advisor | None = None
        self._store = store
        self._bundle = bundle
        self._seen = ""

    def warm_up(self) -> None:
        """Compile what is compiled at first use, before events wait for it."""
        inputs = len(Inputs(self._bundle).names)
        nothing = LinearPredictor(np.zeros(inputs), np.ones(inputs), np.zeros(inputs), 0.0, 0.0)
        advisor = Advisor(self._bundle, 0, Version((nothing,), np.array([1.0, 0.0]), (1.0, 0.0)))
        advisor.advise(np.zeros((1, WIDTH), np.float32), np.zeros(1), np.zeros(1, np.int64))

    async def run(self) -> None:
        """Look forever; errors leave the current advisor in place."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Take the newest snapshot."""
        try:
            found = await asyncio.to_thread(self._newer)
        except StoreError:
            return  # the worker's own store says so, loudly enough
        except IntentError as error:
            logger.warning("scores come from the network alone: %s", error)
            self.current = None
            return
        if found is not None:
            self.current = found[0]

    def _newer(self) -> tuple[Advisor | None] | None:
        """Return the newest advisor if it is another one than before."""
        if self._store.version() == self._seen:
            return None
        self._seen, raw = self._store.for_scorers()
        return (None if raw is None else Advisor.of(Snapshot.from_bytes(raw), self._bundle),)

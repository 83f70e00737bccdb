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
        Who scores; what was learned for another bundle is left alone. If this one was learned before that, what was
        learned then is used until it is learned again.

    Attributes
    ----------
    current
        The newest advisor for this bundle, ``None`` until one exists.
    """

    def __init__(self, store: SnapshotStore, bundle: Bundle) -> None:
        self.current: Advisor | None = None
        self._store = store
        self._bundle = bundle
        self._seen = ""
        self._passed: set[str] = set()
        self._asked = False  # for what was learned for this bundle before another one

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
        """Take the newest snapshot, if it was learned for this bundle."""
        try:
            found = await asyncio.to_thread(self._newer)
        except StoreError:
            return  # the worker's own store says so, loudly enough
        except IntentError as error:
            logger.warning("scores come from the network alone: %s", error)
            self.current = None
            return
        if isinstance(found, Snapshot):
            self._pass_over(str(found.meta.get("bundle")))
        elif found is not None:
            self.current = found[0]

    def _pass_over(self, other: str) -> None:
        """Say once for each other bundle that its snapshots are left alone: bundles change one process at a time."""
        if other not in self._passed:
            self._passed.add(other)
            logger.info(
                "the learner learns for bundle %s, this worker scores with %s and %s until both have one bundle",
                other,
                self._bundle.manifest.version,
                "uses the network alone" if self.current is None else "keeps what was learned for it before",
            )

    def _newer(self) -> tuple[Advisor | None] | Snapshot | None:
        """Return the newest advisor if it is another one than before, or the snapshot of another bundle."""
        if self._store.version() == self._seen:
            return None
        self._seen, raw = self._store.for_scorers()
        if raw is None:
            return (None,)
        snapshot = Snapshot.from_bytes(raw)
        if snapshot.meta.get("bundle") != self._bundle.manifest.version:
            return self._former() or snapshot
        return (Advisor.of(snapshot, self._bundle),)

    def _former(self) -> tuple[Advisor] | None:
        """Return what was learned for this bundle before another one took its place, once."""
        if self._asked or self.current is not None:
            return None
        self._asked = True
        raw = self._store.former_for_scorers(self._bundle.manifest.version)
        return None if raw is None else (Advisor.of(Snapshot.from_bytes(raw), self._bundle),)

"""Whose examples are learned where bundles stand on a shelf: the live one's, once all of the former one's are learned.

Examples of the former bundle wait for their labels when another one becomes live. They are learned and judged first,
and the learner goes over to the live one in a running process. It begins where the first example of that one was passed
over, so none is lost. Until then workers score with the network of the live bundle alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from features.bundle import Bundle, question_differs
from features.exceptions import BundleError, IntentError
from features.shelf import FollowedSlots
from stream.learning.learning import Learning
from stream.learning.model.snapshot import Snapshot
from stream.settings import Settings

logger = logging.getLogger(__name__)

# How often a bundle that was refused is tried again: files may arrive after the slots that name them.
_AGAIN_SECONDS: Final = 10.0


class LearnedBundle:
    """Follows the live bundle of a shelf.

    Parameters
    ----------
    slots
        Of the shelf.
    bundle
        What is live, as it was loaded.
    key
        The public key that has to have signed a bundle, if any.
    clock
        Returns seconds.

    Attributes
    ----------
    refusal
        Why the live bundle of the shelf is not taken although its turn has come; empty where nothing is wrong.
    """

    def __init__(
        self,
        slots: FollowedSlots,
        bundle: Bundle,
        key: Path | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.refusal = ""
        self._slots = slots
        self._bundle = bundle
        self._key = key
        self._left = ""
        self._clock = clock
        self._refused = ""  # the live bundle, if it cannot be loaded
        self._again_at = 0.0

    @classmethod
    def of(cls, settings: Settings, bundle: Bundle) -> LearnedBundle | None:
        """Return who follows the shelf that the settings name; ``None`` where they name a bundle."""
        slots = FollowedSlots.of(settings.bundle, settings.bundle_key)
        return None if slots is None else cls(slots, bundle, settings.bundle_key)

    def going_on(self, stored: bytes | None) -> Bundle:
        """Return the bundle to begin with, given the newest snapshot: its own, unless that was left already."""
        learned = "" if stored is None else str(Snapshot.from_bytes(stored).meta.get("bundle"))
        if learned not in {"", self._left, self._slots.slots.live}:
            try:
                return self._take(learned)
            except IntentError as error:
                logger.warning("examples of bundle %s that wait are not learned: %s", learned, error)
        return self._take(self._slots.slots.live)

    def left(self, learning: Learning) -> bool:
        """Whether another bundle is live that can be loaded, and nothing is left to be learned of the present one."""
        try:
            if self._slots.look() or self._clock() >= self._again_at:
                self._refused = ""
            live = self._slots.slots.live
            if live == self._refused:
                return False
            if live == learning.bundle.manifest.version:
                self.refusal = ""
                return False
            if not learning.waiting.left_for(live):
                return False
            self._refused, self._again_at = live, self._clock() + _AGAIN_SECONDS  # unless it can be loaded
            self._take(live)
        except IntentError as error:
            if str(error) != self.refusal:
                logger.warning("bundle %s goes on being learned: %s", learning.bundle.manifest.version, error)
            self.refusal = str(error)
            return False
        self._refused = self.refusal = ""
        return True

    def leave(self, learning: Learning) -> None:
        """Note that the snapshot of the bundle that was learned is saved."""
        self._left = learning.bundle.manifest.version
        logger.info(
            "all examples of bundle %s are learned, those of %s come next",
            self._left,
            self._bundle.manifest.version,
        )

    def _take(self, version: str) -> Bundle:
        """Load a bundle of the shelf, unless it is the one that was loaded last."""
        if version != self._bundle.manifest.version:
            found = Bundle.of_shelf(self._slots.shelf, version, key=self._key)
            differs = question_differs(self._bundle.manifest, found.manifest)
            if differs:
                raise BundleError(f"bundle {version} does not foresee the same: {differs}; restart with it")
            self._bundle = found
        return self._bundle

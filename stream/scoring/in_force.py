"""The bundle in force: what follows it while a worker runs, and the switch to another one without a restart.

A worker whose setting INTENT_BUNDLE names a shelf looks every second whether ``slots.json`` names another live bundle.
It loads that one in a thread while the former one goes on, and takes it between two rounds: each round is scored with
one bundle as a whole. A bundle that does not fit is told in one line, and the former one stays. A shadow is loaded
likewise, and a canary; where one cannot be, the live bundle scores alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from features.bundle import Bundle, question_differs
from features.exceptions import BundleError, IntentError
from features.shelf import FollowedSlots, Slots
from features.store.offer_store import OfferStore
from features.traffic import rules_differ
from stream.decisions.following import FollowedExclusions, FollowedPolicy
from stream.learning.newest_advisor import NewestAdvisor
from stream.learning.snapshot_store import SnapshotStore
from stream.running.background import Background
from stream.scoring.canary import CanaryBundle
from stream.scoring.deciding import warm_up
from stream.scoring.engine import Engine, engine_of
from stream.scoring.recommending import NewestRecommender
from stream.scoring.recorder import LearnerRecords, recorder_of
from stream.scoring.scorer import Models
from stream.settings import Settings

logger = logging.getLogger(__name__)

# How long a change of the shelf may stay unnoticed. A look is one stat.
_LOOK_SECONDS: Final = 1.0
# How often a bundle that was refused is tried again: files may arrive after the slots that name them.
_AGAIN_SECONDS: Final = 10.0


class UsesModels(Protocol):
    """Who scores: a `stream.scoring.scorer.Scorer`, or who answers in its way."""

    @property
    def partitions(self) -> int:
        """Of how many partitions the customers are."""
        ...

    @property
    def models(self) -> Models:
        """What is scored with next."""
        ...

    def use(self, models: Models) -> None:
        """Score with these from now on."""
        ...


@dataclass(slots=True)
class Served:
    """What somebody scores with who is no `stream.scoring.scorer.Scorer`: the bundle in force, and what is its own."""

    partitions: int
    current: Models | None = None

    @property
    def models(self) -> Models:
        """See `UsesModels`."""
        if self.current is None:
            raise RuntimeError("no bundle is in force yet")
        return self.current

    def use(self, models: Models) -> None:
        """See `UsesModels`."""
        self.current = models


class InForce:
    """Keeps a scorer's models those that the settings name. Use it as a context manager.

    Parameters
    ----------
    settings
        Name a bundle or a shelf, and what follows a bundle: a policy file, the learner, offers.
    background
        Where that runs.

    Attributes
    ----------
    refusal
        Why the live bundle of the shelf is not used, empty where it is.
    """

    def __init__(self, settings: Settings, background: Background) -> None:
        self.refusal = ""
        self._settings = settings
        self._background = background
        self._slots = FollowedSlots.of(settings.bundle, settings.bundle_key)
        self._stores = AsyncExitStack()
        self._followers = AsyncExitStack()
        self._snapshots: SnapshotStore | None = None
        self._offers: OfferStore | None = None
        self._scorer: UsesModels | None = None
        self._tried_at = 0.0
        self._told_of = ""
        self.engine = engine_of(settings, self._first())
        self._beside: tuple[Bundle, ...] = ()

    async def __aenter__(self) -> InForce:
        settings = self._settings
        if settings.learning:
            self._snapshots = SnapshotStore(settings.redis_url, settings.redis_prefix)
            self._stores.callback(self._snapshots.close)
        if settings.recommendations:
            self._offers = OfferStore(settings.redis_url, settings.redis_prefix)
            self._stores.callback(self._offers.close)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._followers.aclose()
        await self._stores.aclose()

    async def begin(self, scorer: UsesModels) -> None:
        """Have a scorer score with the bundle in force from now on, whichever that is."""
        self._scorer = scorer
        if self._slots is not None:
            self._beside = await asyncio.to_thread(self._loaded_beside, self._slots.slots)
            self.engine = _with_canary(self.engine, self._slots.slots, self._beside)
        await self._use(self.engine)

    async def run(self) -> None:
        """Follow the shelf forever; returns at once where there is none."""
        while self._slots is not None:
            await asyncio.sleep(_LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Take the bundles of the shelf that its slots name now, and that fit."""
        assert self._slots is not None  # see `run`
        refusal = self.refusal
        try:
            again = bool(self.refusal) and time.monotonic() - self._tried_at >= _AGAIN_SECONDS
            if not (self._slots.look() or again):
                return
            self._tried_at = time.monotonic()
            slots, engine = self._slots.slots, self.engine
            self.refusal = ""
            if slots.live != engine.bundle.manifest.version:
                engine = await asyncio.to_thread(self._ready, slots.live)
            beside = await asyncio.to_thread(self._loaded_beside, slots, refusal)
            engine = _with_canary(engine, slots, beside)
            if engine is self.engine and beside == self._beside:
                return
            self._beside = beside
            await self._use(engine)
            names = " and ".join(one.manifest.version for one in beside)
            logger.info(
                "bundle %s is in force%s",
                engine.bundle.manifest.version,
                f", {names} beside it" if names else "",
            )
        except IntentError as error:
            if str(error) != refusal:
                logger.warning("bundle %s stays in force: %s", self.engine.bundle.manifest.version, error)
            self.refusal = str(error)

    def idle(self, offset: int, watermark: int) -> LearnerRecords:
        """Return the records that declare a partition idle; see `stream.scoring.recorder.Recorder.idle`."""
        recorder = None if self._scorer is None else self._scorer.models.recorder
        return LearnerRecords() if recorder is None else recorder.idle(offset, watermark)

    def _first(self) -> Bundle:
        if self._slots is None:
            return Bundle.load(self._settings.bundle, key=self._settings.bundle_key)
        return self._of_shelf(self._slots.slots.live)

    def _of_shelf(self, version: str) -> Bundle:
        assert self._slots is not None
        return Bundle.of_shelf(self._slots.shelf, version, key=self._settings.bundle_key)

    def _fitting(self, version: str) -> Bundle:
        """Return a bundle of the shelf that can stand beside the one in force."""
        bundle = self._of_shelf(version)
        differs = question_differs(self.engine.bundle.manifest, bundle.manifest)
        if differs:
            raise BundleError(f"bundle {version} does not foresee the same: {differs}; restart with it")
        return bundle

    def _ready(self, version: str) -> Engine:
        """Return an engine that can score at once, unless its bundle does not fit."""
        engine = engine_of(self._settings, self._fitting(version))
        warm_up(engine)
        return engine

    def _loaded_beside(self, slots: Slots, refusal: str = "") -> tuple[Bundle, ...]:
        """Return the bundles that score beside the live one; what cannot be used is told, and left out."""
        loaded = {one.manifest.version: one for one in self._beside}
        found = []
        for version in slots.beside:
            try:
                found.append(loaded.get(version) or self._fitting(version))
            except IntentError as error:
                self.refusal = str(error)
                if self.refusal != refusal:
                    logger.warning("nothing is scored beside the live bundle by %s: %s", version, error)
        return tuple(found)

    async def _use(self, engine: Engine) -> None:
        """Put together what belongs to a bundle, then give it to the scorer, and let go of the former."""
        assert self._scorer is not None
        models = await self._models(engine, self._scorer.partitions)
        followers = AsyncExitStack()
        for name, work in _followers(models):
            await followers.enter_async_context(self._background.beside(name, work))
        former, self._followers = self._followers, followers
        if engine.bundle.manifest.version != self._told_of:
            self._told_of = engine.bundle.manifest.version
            tell_of_bots(engine)
        self.engine = engine
        self._scorer.use(models)
        await former.aclose()

    async def _models(self, engine: Engine, partitions: int) -> Models:
        bundle, recorder, newest, recommending = engine.bundle, None, None, None
        if self._snapshots is not None:
            recorder = recorder_of(self._settings, bundle, self._beside)
            newest = NewestAdvisor(self._snapshots, bundle)
            await asyncio.to_thread(newest.warm_up)
            await newest.look()
        if self._offers is not None:
            recommending = NewestRecommender(self._offers, bundle, partitions)
            await recommending.look()
        return Models(engine, recorder, newest, recommending)


async def models_now(settings: Settings, partitions: int) -> Models:
    """Return what a worker would score with that started now.

    Raises
    ------
    BundleError
        There is no bundle, or it is none.
    """
    served = Served(partitions)
    async with InForce(settings, Background()) as in_force:
        await in_force.begin(served)
        return served.models


def tell_of_bots(engine: Engine) -> None:
    """Say in one line if the policy knows bots by other rules than the training of the bundle."""
    trained, here = engine.bundle.manifest.bots, engine.rulebook.policy.bots
    if trained is None:
        return
    parts = (
        ("only the policy has", rules_differ(here, trained)),
        ("only the training had", rules_differ(trained, here)),
    )
    said = "; ".join(f"{who} {', '.join(names)}" for who, names in parts if names)
    if said:
        logger.warning(
            "the policy knows bots by other rules than the training of bundle %s: %s; train again with this policy, or "
            "set its rules back",
            engine.bundle.manifest.version,
            said,
        )


def _with_canary(engine: Engine, slots: Slots, beside: tuple[Bundle, ...]) -> Engine:
    """Return an engine that also scores with the canary of the slots; the same one where that is so already."""
    canary = None
    for bundle in beside:
        if slots.canary is not None and bundle.manifest.version == slots.canary.version:
            canary = CanaryBundle(bundle, slots.canary.share, slots.canary.salt)
    return engine if canary == engine.canary else replace(engine, canary=canary)


def _followers(models: Models) -> Iterator[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]:
    """Yield what runs for as long as these models are in force."""
    if isinstance(models.engine.policy, FollowedPolicy):
        yield "following the policy file", models.engine.policy.run
    if isinstance(models.engine.exclusions, FollowedExclusions):
        yield "following the excluded customers", models.engine.exclusions.run
    if models.newest is not None:
        yield "following the learner", models.newest.run
    if models.recommending is not None:
        yield "following offers", models.recommending.run

"""Recommendations in scores: what offline jobs left in Redis (`features.offers`), put to the customers of a batch.

Which items a score shows, from the most particular to the most general: the customer's own, those of the offer for the
customer's segment and band, what is popular. Scores themselves never depend on any of this.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.bundle import BANDS, Bundle
from features.exceptions import IntentError, SchemaMismatch, StoreError
from features.offers import CustomerItems, OfferPolicy
from features.store.offer_store import OfferStore
from stream.messages.score import Recommendation
from stream.scoring.engine import Scored

logger = logging.getLogger(__name__)

# How old a policy may become before scorers notice a newer one. Policies are written once a day or so; a look is one
# GET of some kilobytes.
_LOOK_SECONDS: Final = 10.0


class Recommended(NamedTuple):
    """What `Recommender.recommend` returns: one for each score, and how many stored items could not be read."""

    each: list[Recommendation | None]
    unreadable: int


class Recommender:
    """Recommends what one policy says.

    Parameters
    ----------
    policy
        For the bundle that scores.
    segments
        How many the bundle has.
    item_names
        Ids of items by their hashes: actions tell by them what is in a cart.
    """

    def __init__(
        self, policy: OfferPolicy, segments: int, item_names: Mapping[int, str] | None = None
    ) -> None:
        self.policy = policy
        self.item_names = item_names or {}
        self._general = [
            [_general(policy, segment, band) for band in range(len(BANDS))] for segment in range(segments)
        ]

    def one(self, segment: int, band: int, items: CustomerItems | None) -> Recommendation | None:
        """Return the recommendation for a segment, a band (index into `BANDS`) and the customer's own items, if any."""
        general = self._general[segment][band]
        if general is None or items is None:
            return general
        return Recommendation(
            general.offer, general.text, items.items, "customer", general.policy_version, items.new_items
        )

    def recommend(
        self, scored: Scored, slots: NDArray[np.int64], stored: Sequence[bytes | None]
    ) -> Recommended:
        """Return a recommendation for every score, ``None`` for customers in the holdout and for what is no customer's.

        Parameters
        ----------
        scored, slots
            A batch's scores, and for each of its events the position of its customer.
        stored
            For each customer the stored items. What cannot be read counts as none.
        """
        own: list[CustomerItems | None] = []
        unreadable = 0
        for raw in stored:
            try:
                own.append(None if raw is None else CustomerItems.from_bytes(raw))
            except SchemaMismatch as error:
                logger.debug("%s", error)
                own.append(None)
                unreadable += 1
        rows = zip(
            scored.segment.tolist(),
            scored.band.tolist(),
            slots[scored.rows].tolist(),
            (scored.holdout | ~scored.of_customers).tolist(),
            strict=True,
        )
        each = [
            None if left_alone else self.one(segment, band, own[slot])
            for segment, band, slot, left_alone in rows
        ]
        return Recommended(each, unreadable)


def _general(policy: OfferPolicy, segment: int, band: int) -> Recommendation | None:
    offer = policy.offer(segment, BANDS[band])
    if offer is None:
        return None
    if offer.items:
        return Recommendation(offer.offer, offer.text, offer.items, "segment", policy.version)
    return Recommendation(offer.offer, offer.text, policy.popular, "popular", policy.version)


class NewestRecommender:
    """Looks for a newer policy now and then, in a thread.

    A policy for another bundle or another number of partitions is told in one line, once, and left alone.

    Parameters
    ----------
    store
        Where offers are.
    bundle, partitions
        Who scores, and of how many partitions the customers are.

    Attributes
    ----------
    current
        Recommends by the newest policy, ``None`` as long as there is none that fits.
    refusal
        Why the newest policy is not used, empty where it is or there is none.
    """

    def __init__(self, store: OfferStore, bundle: Bundle, partitions: int) -> None:
        self.current: Recommender | None = None
        self.refusal = ""
        self._store = store
        self._bundle = bundle
        self._partitions = partitions

    async def run(self) -> None:
        """Look for ever; while Redis is away, the policy that is there stays."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Take the newest policy."""
        try:
            policy = await asyncio.to_thread(self._store.policy)
            newer = policy is not None and (self.current is None or policy != self.current.policy)
            if policy is not None and newer:
                policy.check(bundle=self._bundle.manifest.version, partitions=self._partitions)
                names = await asyncio.to_thread(self._store.item_names, policy)
        except StoreError:
            return  # the worker's own store says so, loudly enough
        except IntentError as error:
            if str(error) != self.refusal:
                logger.warning("scores carry no recommendations: %s", error)
            self.current, self.refusal = None, str(error)
            return
        self.refusal = ""
        if policy is None:
            self.current = None
        elif newer:
            self.current = Recommender(policy, len(self._bundle.segmenter.segments), names)
            logger.info("scores carry recommendations by policy %s of %s", policy.version, policy.created_at)

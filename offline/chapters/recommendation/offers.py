"""Offers per segment and intent, and items per customer, in the form that the stream reads."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from xxhash import xxh3_64_hexdigest

from features.items import named
from features.offers import MOST_CATALOGUED, Band, CustomerItems, Offer, OfferPolicy
from offline.chapters.recommendation.interactions import Interactions
from offline.chapters.recommendation.recommenders import RECENT, Recipe, fit
from offline.chapters.recommendation.trial import TOP
from offline.progress import OnProgress

BANDS: Final[tuple[Band, ...]] = ("high", "medium", "low")
#: Items in an offer for a segment.
SEGMENT_ITEMS: Final = 5
_AT_ONCE: Final = 5_000
_SHRINK: Final = 20.0  # customers of the average that a segment's share is drawn to
_LEAST_CUSTOMERS, _LEAST_SHARE = 3, 0.01
_LOYAL: Final = 3.0
_CARTS: Final = 0.5


class Kind(NamedTuple):
    """Short name and sentence of a kind of offer."""

    name: str
    text: str


#: By life stage and band. Who is likely to buy anyway is helped, not discounted; an incentive goes to those in between.
OFFERS: Final[dict[str, dict[Band, Kind]]] = {
    "loyal": {
        "high": Kind("reorder", "No discount: put what they buy again at hand, and what goes with it"),
        "medium": Kind("early_access", "Early access or a loyalty benefit instead of a discount"),
        "low": Kind("news", "News on what they like; no incentive"),
    },
    "buyer": {
        "high": Kind("cross_sell", "No discount: show what goes with what they look at"),
        "medium": Kind("next_order", "A small incentive for the next order"),
        "low": Kind("inspire", "Favourites of their group, by e-mail at most once a week"),
    },
    "lapsed": {
        "high": Kind("welcome_back", "Welcome back: what they bought before, one click away; no discount"),
        "medium": Kind("win_back", "A time-limited incentive to come back"),
        "low": Kind("remind", "One reminder with favourites of their group, then leave them alone"),
    },
    "cart": {
        "high": Kind("assist", "Help to finish: delivery, payment, questions; no discount"),
        "medium": Kind("remind_of_cart", "Remind of the cart, free delivery if needed"),
        "low": Kind("keep_cart", "Keep the cart and mention it once"),
    },
    "visitor": {
        "high": Kind("first_order", "Make the first order easy; no discount"),
        "medium": Kind("first_incentive", "An incentive for the first order"),
        "low": Kind("browse", "Show favourites; spend no money on contacts"),
    },
}


@dataclass(frozen=True)
class Groups:
    """Which customer is in which segment, and what is needed to choose the kind of an offer.

    Attributes
    ----------
    names
        Of the segments, by id.
    members
        Segment of each customer of the interactions, by its number; -1 where unknown.
    stages
        Life stage of every segment, a key of `OFFERS`.
    """

    names: Sequence[str]
    members: NDArray[np.int64]
    stages: Sequence[str]


def stage_of(name: str, *, buyers: float, purchases: float, carts: float) -> str:
    """Return the life stage of a segment by its name and the means of its members."""
    if name.startswith("Lapsed"):
        return "lapsed"
    if buyers >= 0.5:  # noqa: PLR2004  (most of them bought)
        return "loyal" if purchases >= _LOYAL else "buyer"
    return "cart" if carts >= _CARTS else "visitor"


def offers_of(known: Interactions, groups: Groups) -> list[Offer]:
    """Return an offer for every segment and band.

    High intent gets what the segment's customers have to do with most, medium and low what is typical of the segment:
    bought there more than elsewhere, drawn to the average where the segment is small.
    """
    seen = known.matrix(now_ms=int(known.time_ms[-1]))
    binary = (seen > 0).astype(np.float64)
    overall = np.asarray(binary.sum(axis=0)).ravel()
    everybody = max(int((np.diff(seen.indptr) > 0).sum()), 1)
    offers = []
    for segment, name in enumerate(groups.names):
        own = np.asarray(binary[np.flatnonzero(groups.members == segment)].sum(axis=0)).ravel()
        members = max(int((groups.members == segment).sum()), 1)
        expected = overall / everybody
        share = (own + _SHRINK * expected) / (members + _SHRINK)
        # Between what is bought most (lift left out) and what is bought nowhere else (share left out).
        typical = share * np.sqrt(share / np.maximum(expected, 1e-12))
        often = own >= max(_LEAST_CUSTOMERS, _LEAST_SHARE * members)
        most = _ids(known, own if own.any() else overall)
        special = _ids(known, np.where(often, typical, -np.inf)) if often.any() else most
        for band in BANDS:
            kind, text = OFFERS[groups.stages[segment]][band]
            offers.append(
                Offer(segment=segment, segment_name=name, band=band, offer=kind, text=text,
                      items=most if band == "high" else special)
            )  # fmt: skip
    return offers


def policy_of(
    known: Interactions, groups: Groups, *, bundle: str, partitions: int, now: dt.datetime | None = None
) -> OfferPolicy:
    """Return the policy for a bundle's segments."""
    offers = offers_of(known, groups)
    now_ms = int(known.time_ms[-1]) + 1
    popular = fit(Recipe(RECENT), known, now_ms=now_ms).recommend(np.zeros(1, np.int64), TOP)[0]
    ids = [known.item_ids[item] for item in popular if item >= 0]
    made = (now or dt.datetime.now(dt.UTC)).isoformat(timespec="seconds")
    text = repr((bundle, partitions, offers, ids, made))
    return OfferPolicy(
        version=xxh3_64_hexdigest(text.encode())[:8], bundle=bundle, partitions=partitions, created_at=made,
        offers=offers, popular=ids,
    )  # fmt: skip


def catalogue_of(known: Interactions) -> list[str]:
    """Return the ids of the items that customers had most to do with, as many as a catalogue holds."""
    counts = np.bincount(known.items, minlength=len(known.item_ids))
    return [known.item_ids[item] for item in np.argsort(-counts, kind="stable")[:MOST_CATALOGUED].tolist()]


def customer_items(
    known: Interactions,
    recipe: Recipe,
    new_recipe: Recipe,
    version: str,
    *,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Iterator[tuple[str, CustomerItems]]:
    """Yield the items of every customer, by recommenders learned from everything that is known."""
    now_ms = int(known.time_ms[-1]) + 1
    fitted = fit(recipe, known, now_ms=now_ms, seed=seed)
    other = fit(new_recipe, known, now_ms=now_ms, seed=seed)
    customers = np.unique(known.customers)
    for start in range(0, len(customers), _AT_ONCE):
        some = customers[start : start + _AT_ONCE]
        made = fitted.recommend(some, TOP)
        new = other.recommend(some, TOP, only_new=True)
        for customer, items, fresh in zip(some, made, new, strict=True):
            yield (
                known.customer_ids[customer],
                CustomerItems(version, _names(known, items), _names(known, fresh)),
            )
        if on_progress is not None:
            on_progress(min(start + _AT_ONCE, len(customers)), len(customers))


def offers_table(
    offers: Sequence[Offer],
    names: Mapping[str, str] = MappingProxyType({}),
    customers: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return the offers for people.

    Parameters
    ----------
    names
        Of items.
    customers
        One row for each customer: ``segment``, ``intent`` (None where no customer has one) and ``money`` so far. With
        it, every row says how many customers it is for and what they have spent.
    """
    return pd.DataFrame(
        [
            {
                "segment": o.segment_name,
                "intent": o.band,
                **({} if customers is None else _addressed(customers, o)),
                "offer": o.text,
                "items": ", ".join(named(item, names) for item in o.items),
            }
            for o in offers
        ]
    )


def _addressed(customers: pd.DataFrame, offer: Offer) -> dict[str, float]:
    """Return who an offer is for: of the segment, and, where intents are known, of the band in it."""
    own = customers[customers["segment"] == offer.segment_name]
    found = {"customers in segment": len(own), "money of segment": float(own["money"].sum())}
    if customers["intent"].notna().any():
        band = own[own["intent"] == offer.band]
        found = {"customers": len(band), "money": float(band["money"].sum()), **found}
    return found


def _ids(known: Interactions, score: NDArray[np.float64]) -> list[str]:
    order = np.argsort(-score, kind="stable")[:SEGMENT_ITEMS]
    return [known.item_ids[item] for item in order if np.isfinite(score[item]) and score[item] > -1]


def _names(known: Interactions, items: NDArray[np.int64]) -> list[str]:
    return [known.item_ids[item] for item in items if item >= 0]

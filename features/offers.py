"""What marketing may offer, as it lies in Redis: one policy for segments and intent, and items for single customers.

``{prefix.offers}:policy``
    The `OfferPolicy`, JSON: an offer for each segment and band, and items for customers nobody knows.
``{prefix.offers}:catalogue``
    The `Catalogue`, JSON: the shop's items, of which states hold hashes alone.
``{prefix.partition}:o:<customer id>``
    The `CustomerItems`, JSON. The hash tag is that of the customer's state, so one round trip fetches both on a cluster
    too. Every entry expires.

**Items lie beside a state, or nowhere.** Offline jobs write them only where the customer has a state at that moment,
and the partition's owner deletes them in the transaction that deletes the state. So a job that runs while a customer
is erased, or long after, never brings an entry back. Who came back has a state again, and an old log still knows the
time before: after erasures, `intent archive` makes a log that has forgotten.

A number of partitions other than the topic's would put items where nobody looks for them, so the policy carries it and
`OfferPolicy.check` compares.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from xxhash import xxh3_64_intdigest

from features.decoding import Undecodable, decoded
from features.exceptions import SchemaMismatch

#: Layout of what is written; a reader refuses a newer one.
SCHEMA: Final = 1
#: Items in one list, at most.
MOST_ITEMS: Final = 20
#: Items in the catalogue, at most: about 10 MB of a worker's memory.
MOST_CATALOGUED: Final = 50_000

Band = Literal["low", "medium", "high"]
Items = Annotated[list[str], msgspec.Meta(max_length=MOST_ITEMS)]


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What customers of one segment and one band of intent are offered.

    Attributes
    ----------
    segment
        Id of the segment in the bundle that the policy was made for.
    band
        Of the purchase intent.
    offer
        Short name of the kind of offer, for campaign tools: "win_back".
    text
        The same as a sentence for people.
    items
        Items to show, best first, for whom nothing personal is known.
    """

    segment: int
    segment_name: str
    band: Band
    offer: str
    text: str
    items: Items


class OfferPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """All offers, and what they were made for.

    Attributes
    ----------
    version
        Names the policy.
    bundle
        Version of the bundle whose segments are meant.
    partitions
        Partitions of the events topic that the customers' items were written for.
    popular
        Items for customers of whom nothing is known.
    """

    version: str
    bundle: str
    partitions: int
    created_at: str
    offers: list[Offer]
    popular: Items
    schema: int = SCHEMA

    def offer(self, segment: int, band: Band) -> Offer | None:
        """Return the offer for a segment and a band."""
        return next((o for o in self.offers if o.segment == segment and o.band == band), None)

    def check(self, *, bundle: str, partitions: int) -> None:
        """Refuse a policy that was made for another bundle or another number of partitions.

        Raises
        ------
        SchemaMismatch
            With what differs and what to do.
        """
        if self.bundle != bundle:
            raise SchemaMismatch(
                f"the offers were made for bundle {self.bundle}, this is {bundle}: run `intent recommend` with it again"
            )
        if self.partitions != partitions:
            raise SchemaMismatch(
                f"the offers were written for {self.partitions} partitions, the topic has {partitions}: run "
                "`intent recommend` again with INTENT_PARTITIONS set to the topic's"
            )

    def to_bytes(self) -> bytes:
        """Return the stored form."""
        return msgspec.json.encode(self)

    @classmethod
    def from_bytes(cls, raw: bytes) -> OfferPolicy:
        """Return what `to_bytes` wrote.

        Raises
        ------
        SchemaMismatch
            It has another layout.
        """
        try:
            found = decoded(_decode_policy, raw)
        except Undecodable as error:
            raise SchemaMismatch(f"the offers in Redis cannot be read ({error}): {_AGAIN}") from None
        if found.schema != SCHEMA:
            raise SchemaMismatch(
                f"the offers in Redis have layout {found.schema}, ours is {SCHEMA}: {_AGAIN}"
            )
        return found


class CustomerItems(msgspec.Struct, frozen=True, array_like=True):
    """Items for one customer, best first: whatever the customer may want, and what would be new to the customer.

    Examples
    --------
    >>> CustomerItems("1f", ["a"], ["b"]).to_bytes()
    b'["1f",["a"],["b"]]'
    """

    version: str
    items: Items
    new_items: Items = []

    def to_bytes(self) -> bytes:
        """Return the stored form."""
        return msgspec.json.encode(self)

    @classmethod
    def from_bytes(cls, raw: bytes) -> CustomerItems:
        """Return what `to_bytes` wrote.

        Raises
        ------
        SchemaMismatch
            It has another layout.
        """
        try:
            return decoded(_decode_items, raw)
        except Undecodable as error:
            raise SchemaMismatch(f"a customer's items in Redis cannot be read ({error}): {_AGAIN}") from None


class Catalogue(msgspec.Struct, frozen=True, array_like=True):
    """The ids of a shop's items, the most frequent ones of a log.

    Attributes
    ----------
    version
        That of the policy that was written with it.

    Examples
    --------
    >>> Catalogue("1f", ["a"]).to_bytes()
    b'["1f",["a"]]'
    """

    version: str
    items: Annotated[list[str], msgspec.Meta(max_length=MOST_CATALOGUED)]

    def by_hash(self) -> dict[int, str]:
        """Return the ids by their hashes, as carts hold them."""
        return {xxh3_64_intdigest(item.encode()): item for item in self.items}

    def to_bytes(self) -> bytes:
        """Return the stored form."""
        return msgspec.json.encode(self)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Catalogue:
        """Return what `to_bytes` wrote.

        Raises
        ------
        SchemaMismatch
            It has another layout.
        """
        try:
            return decoded(_decode_catalogue, raw)
        except Undecodable as error:
            raise SchemaMismatch(f"the catalogue in Redis cannot be read ({error}): {_AGAIN}") from None


_decode_policy = msgspec.json.Decoder(OfferPolicy).decode
_decode_catalogue = msgspec.json.Decoder(Catalogue).decode
_decode_items = msgspec.json.Decoder(CustomerItems).decode

_AGAIN: Final = "run `intent recommend` again"

"""What marketing may offer, as it lies in Redis: one policy for segments and intent, and items for single customers.

``{prefix.offers}:policy``
    The `OfferPolicy`, JSON: an offer for each segment and band, and items for customers nobody knows.
``{prefix.partition}:o:<customer id>``
    The `CustomerItems`, JSON. The hash tag is that of the customer's state, so one MGET fetches both on a cluster too,
    and the partition's owner can delete both in one transaction. Every entry expires, and an offer never brings back
    an erased customer: it is not read where there is no state.

Offline jobs write, the stream reads. A number of partitions other than the topic's would put items where nobody looks
for them, so the policy carries it and `OfferPolicy.check` compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final, Literal, cast

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from features.exceptions import SchemaMismatch, StoreUnavailable
from features.partition import partitions_of

#: Layout of what is written; a reader refuses a newer one.
SCHEMA: Final = 1
#: Items in one list, at most.
MOST_ITEMS: Final = 20
#: How long an entry lives unless it is written again.
DEFAULT_TTL_SECONDS: Final = 30 * 86_400

Band = Literal["low", "medium", "high"]

# Bounds one answer of Redis: 1,000 entries of a few hundred bytes each, milliseconds on a good day.
_ANSWER_SECONDS: Final = 4.0
_CONNECT_SECONDS: Final = 2.0
_AT_ONCE: Final = 1_000


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
    items: list[str]


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
    popular: list[str]
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
            found = msgspec.json.decode(raw, type=cls)
        except msgspec.MsgspecError as error:
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
    items: list[str]
    new_items: list[str] = []

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
            return msgspec.json.decode(raw, type=cls)
        except msgspec.MsgspecError as error:
            raise SchemaMismatch(f"a customer's items in Redis cannot be read ({error}): {_AGAIN}") from None


_AGAIN: Final = "run `intent recommend` again"


def policy_key(prefix: str) -> str:
    """Return the key of the policy."""
    return f"{{{prefix}.offers}}:policy"


def items_keys(prefix: str, partition: int, customers: Sequence[str]) -> list[bytes]:
    """Return the keys of customers of one partition.

    Examples
    --------
    >>> items_keys("intent", 3, ["c-17"])
    [b'{intent.3}:o:c-17']
    """
    start = f"{{{prefix}.{partition}}}:o:"
    return [(start + customer).encode() for customer in customers]


class OfferStore:
    """Offers in Redis.

    Every method raises `StoreUnavailable` where Redis does not answer.

    Parameters
    ----------
    url
        Where Redis is, as ``redis://[[user]:password@]host:port/database``.
    prefix
        What the keys start with, as for the customers' states.
    """

    def __init__(self, url: str, prefix: str = "intent") -> None:
        self._redis = redis.Redis.from_url(
            url,
            protocol=2,
            socket_timeout=_ANSWER_SECONDS,
            socket_connect_timeout=_CONNECT_SECONDS,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
        )
        self._prefix = prefix

    def close(self) -> None:
        """Close all connections."""
        self._redis.close()

    def write(
        self,
        policy: OfferPolicy,
        customers: Iterable[tuple[str, CustomerItems]],
        *,
        ttl_seconds: int = DEFAULT_TTL_SECONDS,
    ) -> int:
        """Write customers' items and then the policy; return how many customers were written.

        Who reads meanwhile sees old and new items side by side; each names its version.
        """
        written = 0
        rest = iter(customers)
        while chunk := list(islice(rest, _AT_ONCE)):
            names = [customer for customer, _ in chunk]
            of = partitions_of([name.encode() for name in names], policy.partitions)
            pipeline = self._redis.pipeline(transaction=False)
            for (customer, items), partition in zip(chunk, of.tolist(), strict=True):
                (key,) = items_keys(self._prefix, partition, [customer])
                pipeline.set(key, items.to_bytes(), ex=ttl_seconds)
            with self._answers():
                pipeline.execute()
            written += len(chunk)
        with self._answers():
            self._redis.set(policy_key(self._prefix), policy.to_bytes(), ex=ttl_seconds)
        return written

    def policy(self) -> OfferPolicy | None:
        """Return the policy, ``None`` where none was written or it has expired."""
        with self._answers():
            raw = cast("bytes | None", self._redis.get(policy_key(self._prefix)))
        return None if raw is None else OfferPolicy.from_bytes(raw)

    def items(self, partition: int, customers: Sequence[str]) -> list[CustomerItems | None]:
        """Return the items of customers of one partition, by one command."""
        if not customers:
            return []
        with self._answers():
            values = cast("list[Any]", self._redis.mget(items_keys(self._prefix, partition, customers)))
        return [None if raw is None else CustomerItems.from_bytes(raw) for raw in values]

    @contextmanager
    def _answers(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError as error:
            raise StoreUnavailable(f"Redis failed ({error}): start it, or set INTENT_REDIS") from error

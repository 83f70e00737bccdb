"""What marketing may offer, as it lies in Redis: one policy for segments and intent, and items for single customers.

``{prefix.offers}:policy``
    The `OfferPolicy`, JSON: an offer for each segment and band, and items for customers nobody knows.
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

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import Annotated, Any, Final, Literal, NamedTuple, cast

import msgspec
import numpy as np
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from features.exceptions import SchemaMismatch, StoreUnavailable
from features.keys import items_keys, policy_key, state_keys
from features.partition import partitions_of

#: Layout of what is written; a reader refuses a newer one.
SCHEMA: Final = 1
#: Items in one list, at most.
MOST_ITEMS: Final = 20
#: How long an entry lives unless it is written again.
DEFAULT_TTL_SECONDS: Final = 30 * 86_400

Band = Literal["low", "medium", "high"]
Items = Annotated[list[str], msgspec.Meta(max_length=MOST_ITEMS)]

# Bounds one answer of Redis: a script that writes 1,000 entries of a few hundred bytes, 2 ms on a good day. Nobody else
# is answered meanwhile.
_ANSWER_SECONDS: Final = 4.0
_CONNECT_SECONDS: Final = 2.0
_AT_ONCE: Final = 1_000
# Customers whose entries are in this process's memory at a time.
_CHUNK: Final = 10_000

# KEYS: state, items, state, items, ...; ARGV: seconds, items, items, ... A state cannot go between look and write.
_WRITE: Final = """
local written = 0
for at = 1, #KEYS, 2 do
    if redis.call('EXISTS', KEYS[at]) == 1 then
        redis.call('SET', KEYS[at + 1], ARGV[(at + 3) / 2], 'EX', ARGV[1])
        written = written + 1
    end
end
return written
"""


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
            return msgspec.json.decode(raw, type=cls)
        except msgspec.MsgspecError as error:
            raise SchemaMismatch(f"a customer's items in Redis cannot be read ({error}): {_AGAIN}") from None


_AGAIN: Final = "run `intent recommend` again"


class Written(NamedTuple):
    """For how many customers items were written, and for how many not, since they have no state."""

    customers: int
    without_state: int


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
    ) -> Written:
        """Write the items of customers who have a state, and then the policy.

        Who reads meanwhile sees old and new items side by side; each names its version.
        """
        written = seen = 0
        rest = iter(customers)
        while chunk := list(islice(rest, _CHUNK)):
            of = partitions_of([customer.encode() for customer, _ in chunk], policy.partitions)
            for partition in np.unique(of).tolist():
                own = (chunk[at] for at in np.flatnonzero(of == partition))
                entries = {customer: items.to_bytes() for customer, items in own}
                written += self.write_items(partition, entries, ttl_seconds=ttl_seconds)
            seen += len(chunk)
        with self._answers():
            self._redis.set(policy_key(self._prefix), policy.to_bytes(), ex=ttl_seconds)
        return Written(written, seen - written)

    def write_items(
        self, partition: int, items: Mapping[str, bytes], *, ttl_seconds: int = DEFAULT_TTL_SECONDS
    ) -> int:
        """Write stored items of customers of one partition, where they have a state; return how many have one."""
        written = 0
        rest = iter(items.items())
        while entries := list(islice(rest, _AT_ONCE)):
            names = [customer for customer, _ in entries]
            states = state_keys(self._prefix, partition, names)
            keys = chain.from_iterable(zip(states, items_keys(self._prefix, partition, names), strict=True))
            values = (raw for _, raw in entries)
            with self._answers():
                answer: Any = self._redis.eval(_WRITE, 2 * len(names), *keys, ttl_seconds, *values)
            written += int(answer)
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

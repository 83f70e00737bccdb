"""Offers in Redis, beside the states of the customers: see `features.offers` for what they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final, NamedTuple, cast

import numpy as np

from features.offers import Catalogue, CustomerItems, OfferPolicy
from features.partition import partitions_of
from features.store.keys import catalogue_key, items_keys, policy_key, record_key, state_keys
from features.store.partition_record import PartitionRecord
from features.store.redis_client import connect, store_errors

#: How long an entry lives unless it is written again.
DEFAULT_TTL_SECONDS: Final = 30 * 86_400
# Entries that one script writes: while it runs (2 ms on a good day), Redis answers nobody else.
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
        Where Redis is; see `features.store.redis_client.connect`.
    prefix
        What the keys start with, as for the customers' states.
    """

    def __init__(self, url: str, prefix: str = "intent") -> None:
        self._redis = connect(url)
        self._prefix = prefix

    def close(self) -> None:
        """Close all connections."""
        self._redis.close()

    def write(
        self,
        policy: OfferPolicy,
        customers: Iterable[tuple[str, CustomerItems]],
        *,
        catalogue: Sequence[str] = (),
        ttl_seconds: int = DEFAULT_TTL_SECONDS,
    ) -> Written:
        """Write the items of customers who have a state, then the ids of the shop's items, and then the policy.

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
        with store_errors(self._redis):
            if catalogue:
                raw = Catalogue(policy.version, list(catalogue)).to_bytes()
                self._redis.set(catalogue_key(self._prefix), raw, ex=ttl_seconds)
            self._redis.set(policy_key(self._prefix), policy.to_bytes(), ex=ttl_seconds)
        return Written(written, seen - written)

    def write_items(
        self, partition: int, items: Mapping[str, bytes], *, ttl_seconds: int = DEFAULT_TTL_SECONDS
    ) -> int:
        """Write stored items of customers of one partition, where they have a state; return how many have one."""
        with store_errors(self._redis):
            stored = cast("bytes | None", self._redis.get(record_key(self._prefix, partition)))
        incarnation = 0 if stored is None else PartitionRecord.from_bytes(stored).incarnation
        written = 0
        rest = iter(items.items())
        while entries := list(islice(rest, _AT_ONCE)):
            names = [customer for customer, _ in entries]
            states = state_keys(self._prefix, partition, names, incarnation)
            keys = chain.from_iterable(zip(states, items_keys(self._prefix, partition, names), strict=True))
            values = (raw for _, raw in entries)
            with store_errors(self._redis):
                answer: Any = self._redis.eval(_WRITE, 2 * len(names), *keys, ttl_seconds, *values)
            written += int(answer)
        return written

    def policy(self) -> OfferPolicy | None:
        """Return the policy, ``None`` where none was written or it has expired."""
        with store_errors(self._redis):
            raw = cast("bytes | None", self._redis.get(policy_key(self._prefix)))
        return None if raw is None else OfferPolicy.from_bytes(raw)

    def item_names(self, policy: OfferPolicy) -> dict[int, str]:
        """Return the ids of items by their hashes, none where the catalogue is of another policy."""
        with store_errors(self._redis):
            raw = cast("bytes | None", self._redis.get(catalogue_key(self._prefix)))
        catalogue = Catalogue("", []) if raw is None else Catalogue.from_bytes(raw)
        return catalogue.by_hash() if catalogue.version == policy.version else {}

    def items(self, partition: int, customers: Sequence[str]) -> list[CustomerItems | None]:
        """Return the items of customers of one partition, by one command."""
        if not customers:
            return []
        with store_errors(self._redis):
            values = cast("list[Any]", self._redis.mget(items_keys(self._prefix, partition, customers)))
        return [None if raw is None else CustomerItems.from_bytes(raw) for raw in values]

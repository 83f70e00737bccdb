"""Names of keys in Redis. All keys of a partition carry one hash tag: its transactions hold on a Redis Cluster too.

``{prefix.partition}:record``
    The partition's `features.store.customer_store.PartitionRecord`.
``{prefix.partition}:c:<customer id>``, ``{prefix.partition}:o:<customer id>``
    The state of one of its customers, and the customer's items (`features.offers.CustomerItems`).
``{prefix.offers}:policy``
    The `features.offers.OfferPolicy`.
"""

from __future__ import annotations

from collections.abc import Sequence


def record_key(prefix: str, partition: int) -> str:
    """Return the key of a partition's record."""
    return f"{_tag(prefix, partition)}:record"


def state_keys(prefix: str, partition: int, customers: Sequence[str]) -> list[bytes]:
    """Return the keys of the states of customers of one partition."""
    start = f"{_tag(prefix, partition)}:c:"
    return [(start + customer).encode() for customer in customers]


def state_pattern(prefix: str, partition: int) -> str:
    """Return the pattern that the keys of all states of a partition match.

    Examples
    --------
    >>> state_pattern("shop*", 3)
    '{shop[*].3}:c:*'
    """
    return "".join(f"[{c}]" if c in "*?[" else c for c in _tag(prefix, partition)) + ":c:*"


def items_keys(prefix: str, partition: int, customers: Sequence[str]) -> list[bytes]:
    """Return the keys of the items of customers of one partition.

    Examples
    --------
    >>> items_keys("intent", 3, ["c-17"])
    [b'{intent.3}:o:c-17']
    """
    start = f"{_tag(prefix, partition)}:o:"
    return [(start + customer).encode() for customer in customers]


def items_key_of(state_key: bytes) -> bytes:
    """Return the key of the items of the customer whose state has ``state_key``.

    Examples
    --------
    >>> items_key_of(b"{intent.3}:c:a:c:b")
    b'{intent.3}:o:a:c:b'
    """
    tag, _, customer = state_key.partition(b"}:c:")
    return tag + b"}:o:" + customer


def policy_key(prefix: str) -> str:
    """Return the key of the policy."""
    return f"{{{prefix}.offers}}:policy"


def _tag(prefix: str, partition: int) -> str:
    return f"{{{prefix}.{partition}}}"

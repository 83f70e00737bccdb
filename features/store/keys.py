"""Names of keys in Redis. All keys of a partition carry one hash tag: its transactions hold on a Redis Cluster too.

``{prefix.partition}:record``
    The partition's `features.store.partition_record.PartitionRecord`.
``{prefix.partition}:c<incarnation>:<customer id>``
    The state of one of its customers; in incarnation 0 without the number. Which incarnation counts says the record.
``{prefix.partition}:l<incarnation>:<customer id>``
    How an id stands to others (`features.links.Link`), where it does.
``{prefix.partition}:t<incarnation>``
    Its customers' timers: a sorted set of customer ids by the moment at which they are due, epoch ms.
``{prefix.partition}:p<incarnation>``
    Its prices: a hash of item ids (`features.price_table`).
``{prefix.partition}:outbox``
    What the last save has promised to publish.
``{prefix.partition}:sweep``
    How far the sweep of its states has come, a cursor of SCAN.
``{prefix.partition}:o:<customer id>``
    The customer's items (`features.offers.CustomerItems`).
``{prefix.offers}:policy``
    The `features.offers.OfferPolicy`.
``{prefix.offers}:catalogue``
    The `features.offers.Catalogue`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Final

from features.exceptions import UnreadableState

_STATE: Final = re.compile(rb"\}:[cl](\d*):")
_OWN: Final = re.compile(rb"\}:([cl])\d*:")


def record_key(prefix: str, partition: int) -> str:
    """Return the key of a partition's record."""
    return f"{_tag(prefix, partition)}:record"


def state_keys(prefix: str, partition: int, customers: Sequence[str], incarnation: int = 0) -> list[bytes]:
    """Return the keys of the states of customers of one partition.

    Examples
    --------
    >>> state_keys("intent", 3, ["c-17"]), state_keys("intent", 3, ["c-17"], 9)
    ([b'{intent.3}:c:c-17'], [b'{intent.3}:c9:c-17'])
    """
    start = f"{_tag(prefix, partition)}:c{incarnation or ''}:"
    return [(start + customer).encode() for customer in customers]


def link_keys(prefix: str, partition: int, customers: Sequence[str], incarnation: int = 0) -> list[bytes]:
    """Return the keys of the links of ids of one partition.

    Examples
    --------
    >>> link_keys("intent", 3, ["a-17"], 9)
    [b'{intent.3}:l9:a-17']
    """
    start = f"{_tag(prefix, partition)}:l{incarnation or ''}:"
    return [(start + customer).encode() for customer in customers]


def state_pattern(prefix: str, partition: int) -> str:
    """Return the pattern that the keys of all states and links of a partition match, whatever their incarnation.

    Examples
    --------
    >>> state_pattern("shop*", 3)
    '{shop[*].3}:[cl]*'
    """
    return "".join(f"[{c}]" if c in "*?[" else c for c in _tag(prefix, partition)) + ":[cl]*"


def is_link(key: bytes) -> bool:
    """Whether a key that `state_pattern` matches is one of a link.

    Examples
    --------
    >>> is_link(b"{intent.3}:l9:c"), is_link(b"{intent.3}:c:x}:l:a")
    (True, False)
    """
    found = _OWN.search(key)
    return found is not None and found[1] == b"l"


def incarnation_of(state_key: bytes) -> int:
    """Return the incarnation of the state, or the link, that has ``state_key``.

    Examples
    --------
    >>> incarnation_of(b"{intent.3}:c:a"), incarnation_of(b"{intent.3}:c9:c1:a")
    (0, 9)
    """
    return int(_parsed(state_key)[1] or 0)


def in_incarnation(state_key: bytes, incarnation: int) -> bytes:
    """Return the key that the state of the same customer has in another incarnation.

    Examples
    --------
    >>> in_incarnation(b"{intent.3}:c:a", 9)
    b'{intent.3}:c9:a'
    """
    tag, _, customer = _parsed(state_key)
    return b"%b}:c%b:%b" % (tag, b"%d" % incarnation if incarnation else b"", customer)


def customer_of(state_key: bytes) -> bytes:
    """Return the customer whose state has ``state_key``.

    Examples
    --------
    >>> customer_of(b"{intent.3}:c:a:c:b"), customer_of(b"{intent.3}:c9:a")
    (b'a:c:b', b'a')
    """
    return _parsed(state_key)[2]


def timers_key(prefix: str, partition: int, incarnation: int = 0) -> str:
    """Return the key of the timers of a partition's customers.

    Examples
    --------
    >>> timers_key("intent", 3), timers_key("intent", 3, 9)
    ('{intent.3}:t', '{intent.3}:t9')
    """
    return f"{_tag(prefix, partition)}:t{incarnation or ''}"


def prices_key(prefix: str, partition: int, incarnation: int = 0) -> str:
    """Return the key of the prices of a partition.

    Examples
    --------
    >>> prices_key("intent", 3), prices_key("intent", 3, 9)
    ('{intent.3}:p', '{intent.3}:p9')
    """
    return f"{_tag(prefix, partition)}:p{incarnation or ''}"


def outbox_key(prefix: str, partition: int) -> str:
    """Return the key of what the partition's last save has promised to publish."""
    return f"{_tag(prefix, partition)}:outbox"


def sweep_key(prefix: str, partition: int) -> str:
    """Return the key of how far the sweep of a partition's states has come."""
    return f"{_tag(prefix, partition)}:sweep"


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
    >>> items_key_of(b"{intent.3}:c9:a")
    b'{intent.3}:o:a'
    """
    tag, _, customer = _parsed(state_key)
    return tag + b"}:o:" + customer


def policy_key(prefix: str) -> str:
    """Return the key of the policy."""
    return f"{{{prefix}.offers}}:policy"


def catalogue_key(prefix: str) -> str:
    """Return the key of the catalogue."""
    return f"{{{prefix}.offers}}:catalogue"


def unreadable_state(fault: str, partition: int, customer: str, key: bytes) -> UnreadableState:
    """Return what to say where what lies under a state's ``key`` is no state; ``fault`` goes on from "the state"."""
    name = shlex.quote(key.decode())
    return UnreadableState(
        f"the state of customer {customer!r} of partition {partition} {fault}; put the value of the key {name} in "
        f"Redis back from a backup, or give that customer's history up with `redis-cli DEL {name}`"
    )


def _parsed(state_key: bytes) -> tuple[bytes, bytes, bytes]:
    """Return what stands before the incarnation, the incarnation, and the customer."""
    found = _STATE.search(state_key)
    if found is None:
        raise ValueError(f"{state_key!r} is not the key of a state")
    return state_key[: found.start()], found[1], state_key[found.end() :]


def _tag(prefix: str, partition: int) -> str:
    return f"{{{prefix}.{partition}}}"

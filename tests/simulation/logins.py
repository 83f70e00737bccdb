"""What simulated shops emit where people log in, and the states that one known id would have had."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from random import Random
from typing import Final

import msgspec
import numpy as np
from aiokafka import ConsumerRecord

from features.columns import from_events
from features.events import Event, decode
from features.fold import fold
from features.identity import Identify, decode_identity, is_identity_type
from features.partition import partitions_of
from features.state import States, empty
from stream.kafka.record_columns import Record
from tests.simulation.shop import LOGS, MINUTE_MS, PARTITIONS, START_MS

_ANONYMOUS: Final = ("a-1", "a-2", "a-3", "a-4")
_KNOWN: Final = ("ada", "grace")
#: An id may also turn out to be another anonymous one's, and two may be each other's.
_LINKS: Final = {"a-1": "ada", "a-2": "a-1", "a-3": "a-4", "a-4": "a-3"}
_HOMES: Final = dict(
    zip(
        (*_ANONYMOUS, *_KNOWN),
        partitions_of([name.encode() for name in (*_ANONYMOUS, *_KNOWN)], PARTITIONS).tolist(),
        strict=True,
    )
)
_TYPES: Final = ("view_item", "search", "add_to_cart", "purchase", "refund")
_LOGIN: Final = 0.25


@lru_cache(4 * LOGS)
def emitted_with_logins(seed: int, count: int) -> Sequence[list[Record]]:
    """Return the records of each partition by offset: events of known and of anonymous ids, and logins."""
    chance = Random(seed)
    partitions: list[list[Record]] = [[] for _ in range(PARTITIONS)]
    now = START_MS
    for number in range(count):
        now += chance.choice((0, 1, 2, 12)) * MINUTE_MS
        customer = chance.choice((*_ANONYMOUS, *_KNOWN))
        fields: dict[str, object] = {"event_id": f"e-{number}", "event_time": now}
        if customer in _LINKS and chance.random() < _LOGIN:
            fields |= {"type": "identify", "anonymous_id": customer, "customer_id": _LINKS[customer]}
        else:
            fields |= {
                "type": chance.choice(_TYPES), "customer_id": customer, "item_id": f"i-{chance.randint(0, 5)}",
                "price": float(chance.randint(1, 50)),
            }  # fmt: skip
        home = _HOMES[customer]
        append(partitions[home], home, customer, msgspec.json.encode(fields), now + seed)
    return partitions


def append(log: list[Record], partition: int, key: str, value: bytes | None, timestamp: int) -> None:
    """Append a record to the log of a partition."""
    raw = key.encode()
    log.append(
        ConsumerRecord(
            "events", partition, len(log), timestamp, 1, raw, value, None, len(raw), len(value or b""), ()
        )  # fmt: skip
    )


def of_known_ids(logs: Sequence[Sequence[Record]]) -> dict[str, States]:
    """Return the states of all who have done something, as if every event had had the id that is known at the end."""
    links: dict[str, str] = {}
    happened: list[Event] = []
    for record in (record for log in logs for record in log):
        value = record.value or b""
        if not is_identity_type(value):
            happened.append(decode(value))
        elif isinstance(identity := decode_identity(value), Identify):
            links[identity.anonymous_id] = identity.customer_id
    states = {}
    for holder in {_holder(event.customer_id, links) for event in happened}:
        own = [event for event in happened if _holder(event.customer_id, links) == holder]
        own.sort(key=lambda event: event.event_time)
        states[holder] = empty(1)
        fold(states[holder], np.zeros(len(own), np.int64), from_events(own, "EUR"), with_vectors=False)
    return states


def _holder(customer: str, links: dict[str, str]) -> str:
    path = [customer]
    while path[-1] in links and links[path[-1]] not in path:
        path.append(links[path[-1]])
    if path[-1] not in links:
        return path[-1]
    return min(path[path.index(links[path[-1]]) :])


_EXACT: Final = (
    "events",
    "first_time",
    "last_time",
    "type_counts",
    "type_times",
    "purchase_times",
    "ring_at",
)
_ROUNDED: Final = ("spend", "refunded", "decayed")


def difference(found: dict[str, States], wanted: dict[str, States]) -> str:
    """Return in what states differ from those of known ids, empty if in nothing that is exact in any order."""
    if found.keys() != wanted.keys():
        return f"{sorted(found)} have a state, {sorted(wanted)} should have"
    for customer, state in wanted.items():
        for name in _EXACT:
            if not np.array_equal(found[customer][name], state[name]):
                return f"{name} of {customer} is {found[customer][name]}, not {state[name]}"
        for name in _ROUNDED:
            if not np.allclose(found[customer][name], state[name], rtol=1e-9, atol=1e-9):
                return f"{name} of {customer} is {found[customer][name]}, not {state[name]}"
    return ""
